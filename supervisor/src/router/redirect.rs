//! Requests that are sent elsewhere before an app is looked for.

use serde::{Deserialize, Serialize};

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Only requests to it; none: to any.
    pub origin: Option<Origin>,
    /// As requests have it, without a query. With `below`, all that begins with it; it ends with a slash then.
    pub path: String,
    pub below: bool,
    /// A path or an absolute URL.
    pub to: String,
    /// What follows `path` in the request is put behind `to`, which ends with a slash.
    pub keeps_rest: bool,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Scheme and host of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// In lower case. Without a port any port is meant.
    pub host: String,
}
