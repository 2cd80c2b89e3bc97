//! The answers that are our own: short, in the client's language of markup, and silent about the inside unless the
//! site is being debugged.

use super::answers::Answers;
use super::body::ResponseBody;
use super::error::ProxyError;
use super::error_pages::Page;
use crate::router::message::Death;
use http::header::{ACCEPT, ALLOW, CONNECTION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::borrow::Cow;
use std::fmt::Write;

/// What a page may say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Markup {
    Html,
    #[default]
    Plain,
}

impl Markup {
    /// Html for those who name it; `*/*` is what programs send.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let html = headers.get_all(ACCEPT).iter().any(|value| {
            value
                .as_bytes()
                .windows(9)
                .any(|part| part.eq_ignore_ascii_case(b"text/html"))
        });
        if html { Self::Html } else { Self::Plain }
    }
}

/// Details for the developer, only under `debug`.
#[derive(Debug, Default)]
pub(super) struct Details<'a> {
    pub(super) app: Option<&'a str>,
    pub(super) death: Option<&'a Death>,
}

/// What an error is shown as, beyond the words for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    Briefly,
    /// By a page of the configuration.
    By(&'a Page),
    /// Under `debug` only.
    With(&'a Details<'a>),
}

impl<'a> Shown<'a> {
    /// Of an app, or of the site.
    pub(super) fn by(answers: &'a Answers, error: &ProxyError) -> Self {
        answers.pages.of(error).map_or(Self::Briefly, Self::By)
    }
}

/// The response to a request that failed.
pub(super) fn failure(
    error: &ProxyError,
    markup: Markup,
    shown: Shown<'_>,
) -> Response<ResponseBody> {
    let status = error.status();
    // A missing page says no more than that, as the original's.
    let markup = if status == StatusCode::NOT_FOUND {
        Markup::Plain
    } else {
        markup
    };
    let details = match shown {
        Shown::With(details) => Some(details),
        Shown::Briefly | Shown::By(_) => None,
    };
    let (text, content_type) = match (shown, markup) {
        (Shown::By(page), _) => (page.body.clone(), page.content_type.clone()),
        (_, Markup::Html) => (html(error, details).into(), HTML),
        (_, Markup::Plain) => (plain(error, details).into(), PLAIN),
    };
    let mut response = Response::new(ResponseBody::Whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if *error == ProxyError::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
    }
    if *error == ProxyError::FileReadOnly {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if let ProxyError::NoSuchRange { length } = error
        && let Ok(range) = HeaderValue::try_from(format!("bytes */{length}"))
    {
        headers.insert(CONTENT_RANGE, range);
    }
    if error.closes() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// The answer to `OPTIONS *`.
pub(super) fn server_options() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(ALLOWED));
    response
}

/// Sends a client to the same target by https at `port`. A method that is not safe stays what it is (308).
pub(super) fn to_https(
    host: Option<&HeaderValue>,
    port: u16,
    method: &Method,
    target: &PathAndQuery,
) -> Response<ResponseBody> {
    let host = host.map_or(&b""[..], HeaderValue::as_bytes);
    let mut location = b"https://".to_vec();
    location.extend_from_slice(without_port(host));
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    location.extend_from_slice(target.as_str().as_bytes());
    let status = match *method {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let location = HeaderValue::from_bytes(&location);
    redirect(
        status,
        location.expect("a host and a target are valid in a field"),
    )
}

/// Sends a client to `location`.
pub(super) fn redirect(status: StatusCode, location: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    response
}

/// `[::1]:80` and `a:80` without their ports; the colons of an address in brackets are none.
pub(super) fn without_port(host: &[u8]) -> &[u8] {
    let after = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    match host[after..].iter().position(|&byte| byte == b':') {
        Some(colon) => &host[..after + colon],
        None => host,
    }
}

fn title(status: StatusCode) -> String {
    format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error")
    )
}

fn reason(error: &ProxyError) -> Option<Cow<'_, str>> {
    match error {
        ProxyError::Unloadable { reason } => Some(Cow::Borrowed(reason)),
        ProxyError::Deadly { deaths, .. } => Some(Cow::Owned(format!(
            "Requests of this method and path were in flight at {deaths} deaths in a row of the app's workers, so they \
             are kept from them for a while. A restart of the app ends that."
        ))),
        _ => None,
    }
}

fn plain(error: &ProxyError, details: Option<&Details<'_>>) -> String {
    let mut text = format!("{}\n\n{error}\n", title(error.status()));
    let Some(details) = details else { return text };
    if let Some(app) = details.app {
        let _ = writeln!(text, "\napp: {app}");
    }
    if let Some(reason) = reason(error) {
        let _ = writeln!(text, "\n{reason}");
    }
    if let Some(death) = details.death {
        let _ = writeln!(text, "\n{}\n", death.what);
        for line in &death.last_output {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn html(error: &ProxyError, details: Option<&Details<'_>>) -> String {
    let title = title(error.status());
    let mut page = format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n",
        escape(&error.to_string())
    );
    if let Some(details) = details {
        if let Some(app) = details.app {
            let _ = writeln!(page, "<p>app: <code>{}</code></p>", escape(app));
        }
        if let Some(reason) = reason(error) {
            let _ = writeln!(page, "<pre>{}</pre>", escape(&reason));
        }
        if let Some(death) = details.death {
            let _ = writeln!(page, "<h2>{}</h2>", escape(&death.what));
            let _ = writeln!(page, "<pre>{}</pre>", escape(&death.last_output.join("\n")));
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: Response<ResponseBody>) -> String {
        match response.into_body() {
            ResponseBody::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => String::new(),
        }
    }

    fn death() -> Death {
        Death {
            worker: 1,
            what: "worker 0 of blog was killed by signal 11".into(),
            last_output: vec!["<script>alert(1)</script>".into()],
        }
    }

    #[test]
    fn a_client_is_sent_to_the_same_target_by_https() {
        let location = |host: &'static str, port, method: Method| {
            let host = HeaderValue::from_static(host);
            let target = PathAndQuery::from_static("/a%20b?c=d");
            let response = to_https(Some(&host), port, &method, &target);
            let location = response.headers()[LOCATION].to_str().unwrap().to_owned();
            (response.status().as_u16(), location)
        };
        assert_eq!(
            location("a.example:80", 443, Method::GET),
            (301, "https://a.example/a%20b?c=d".to_owned())
        );
        assert_eq!(
            location("[::1]", 8443, Method::POST),
            (308, "https://[::1]:8443/a%20b?c=d".to_owned())
        );
        assert_eq!(
            location("[::1]:80", 443, Method::HEAD),
            (301, "https://[::1]/a%20b?c=d".to_owned())
        );
    }

    #[test]
    fn pages_say_nothing_of_the_inside_without_debug() {
        let error = ProxyError::Unloadable {
            reason: "secret path".into(),
        };
        assert!(!text(failure(&error, Markup::Html, Shown::Briefly)).contains("secret"));
        assert!(!text(failure(&error, Markup::Plain, Shown::Briefly)).contains("secret"));
    }

    #[test]
    fn a_debug_page_shows_the_death_escaped() {
        let death = death();
        let details = Details {
            app: Some("blog"),
            death: Some(&death),
        };
        let page = text(failure(
            &ProxyError::WorkerGone,
            Markup::Html,
            Shown::With(&details),
        ));
        assert!(page.contains("killed by signal 11"));
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script>"));
        let page = text(failure(
            &ProxyError::WorkerGone,
            Markup::Plain,
            Shown::With(&details),
        ));
        assert!(page.contains("    <script>"), "plain text needs no escape");
    }

    #[test]
    fn browsers_get_html_and_programs_plain_text() {
        let mut headers = HeaderMap::new();
        assert_eq!(Markup::accepted(&headers), Markup::Plain);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Markup::accepted(&headers), Markup::Plain);
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("text/html,application/xml;q=0.9"),
        );
        assert_eq!(Markup::accepted(&headers), Markup::Html);
    }

    #[test]
    fn a_missing_page_is_plain() {
        let response = failure(&ProxyError::NotFound, Markup::Html, Shown::Briefly);
        assert_eq!(response.status(), 404);
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
    }

    #[test]
    fn refusals_say_what_to_do_next() {
        let response = failure(&ProxyError::QueueFull, Markup::Plain, Shown::Briefly);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let response = failure(&ProxyError::BadRequest("x"), Markup::Plain, Shown::Briefly);
        assert_eq!(response.headers()[CONNECTION], "close");
    }
}
