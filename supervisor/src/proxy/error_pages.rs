//! Pages of the configuration for errors of the proxy.

use super::error::ProxyError;
use crate::router::answers::{ErrorPage, Page as Spec, When};
use bytes::Bytes;
use http::HeaderValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One page, ready to be sent.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
}

/// All pages of a table, by file.
pub(super) struct Pages(HashMap<String, Arc<Page>>);

impl Pages {
    pub(super) fn new(pages: &BTreeMap<String, Spec>) -> Self {
        let ready = pages.iter().filter_map(|(file, page)| {
            let page = Page {
                content_type: HeaderValue::from_str(&page.content_type).ok()?,
                body: Bytes::from(page.body.clone()),
            };
            Some((file.clone(), Arc::new(page)))
        });
        Self(ready.collect())
    }
}

/// Those of an app, or of the site.
#[derive(Debug)]
pub(super) struct ErrorPages(Box<[(When, Arc<Page>)]>);

impl ErrorPages {
    pub(super) fn new(rules: &[ErrorPage], pages: &Pages) -> Self {
        let known = rules.iter().filter_map(|rule| {
            let page = pages.0.get(&rule.page)?;
            Some((rule.when, Arc::clone(page)))
        });
        Self(known.collect())
    }

    /// That for maintenance comes before that for 503, but a message that clients are to read before the latter.
    pub(super) fn of(&self, error: &ProxyError) -> Option<&Page> {
        let status = When::Status(error.status().as_u16());
        match error {
            ProxyError::Maintenance { message: None, .. } => {
                self.get(When::Maintenance).or_else(|| self.get(status))
            }
            ProxyError::Maintenance {
                message: Some(_), ..
            } => self.get(When::Maintenance),
            _ => self.get(status),
        }
    }

    fn get(&self, when: When) -> Option<&Page> {
        let found = self.0.iter().find(|(known, _)| *known == when);
        found.map(|(_, page)| &**page)
    }
}
