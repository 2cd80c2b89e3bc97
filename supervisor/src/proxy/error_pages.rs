//! Pages of the configuration for errors of the proxy.

use crate::router::answers::{ErrorPage, Page as Spec};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
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
pub(super) struct ErrorPages(Box<[(u16, Arc<Page>)]>);

impl ErrorPages {
    pub(super) fn new(rules: &[ErrorPage], pages: &Pages) -> Self {
        let known = rules.iter().filter_map(|rule| {
            let page = pages.0.get(&rule.page)?;
            Some((rule.status, Arc::clone(page)))
        });
        Self(known.collect())
    }

    pub(super) fn of(&self, status: StatusCode) -> Option<&Page> {
        let found = self.0.iter().find(|(known, _)| *known == status.as_u16());
        found.map(|(_, page)| &**page)
    }
}
