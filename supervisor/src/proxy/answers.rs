//! What is done with the answers of an app, or of the site where no app is concerned, ready for use.

use super::error_pages::{ErrorPages, Pages};
use super::header_rules::HeaderRules;
use crate::router::answers::{Answers as Spec, Compress};

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) compress: Compress,
    pub(super) headers: HeaderRules,
    pub(super) pages: ErrorPages,
}

impl Answers {
    pub(super) fn new(spec: Spec, pages: &Pages) -> Self {
        Self {
            compress: spec.compress,
            headers: HeaderRules::new(spec.headers),
            pages: ErrorPages::new(&spec.pages, pages),
        }
    }
}
