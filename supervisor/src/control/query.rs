//! What is asked of a stream: the query of its URI, written by the client and read by the server.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt::Write;

/// Which items of a feed, and whether those to come too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Go on with what comes.
    pub follow: bool,
    /// Of what is kept, only the last so many.
    pub last: Option<usize>,
    /// Only from this time on (RFC 3339, UTC, with milliseconds).
    pub since: Option<String>,
    /// Only of these apps; of all and of the site, if none is named.
    pub apps: Vec<String>,
}

impl Query {
    /// As the query of a URI.
    pub(super) fn write(&self) -> String {
        let mut text = format!("follow={}", self.follow);
        if let Some(last) = self.last {
            let _ = write!(text, "&last={last}");
        }
        let texts = self.since.iter().map(|since| ("since", since));
        for (key, value) in texts.chain(self.apps.iter().map(|app| ("app", app))) {
            let _ = write!(
                text,
                "&{key}={}",
                utf8_percent_encode(value, NON_ALPHANUMERIC)
            );
        }
        text
    }

    /// # Errors
    /// A sentence about the first key or value that is not understood.
    pub(super) fn read(text: &str) -> Result<Query, String> {
        let mut query = Query::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            let bad = || format!("`{value}` is no value of `{key}`");
            match key {
                "follow" => query.follow = value.parse().map_err(|_| bad())?,
                "last" => query.last = Some(value.parse().map_err(|_| bad())?),
                "since" => query.since = Some(value),
                "app" => query.apps.push(value),
                _ => return Err(format!("`{key}` is unknown: follow, last, since, app")),
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_is_written() {
        let query = Query {
            follow: true,
            last: Some(7),
            since: Some("2025-01-02T03:04:05.678Z".to_owned()),
            apps: vec!["a&b=c".to_owned(), "né".to_owned()],
        };
        assert_eq!(Query::read(&query.write()), Ok(query));
        assert_eq!(Query::read(""), Ok(Query::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(Query::read("last=-1").is_err_and(|error| error.contains("`last`")));
        assert!(Query::read("lats=1").is_err_and(|error| error.contains("`lats`")));
    }
}
