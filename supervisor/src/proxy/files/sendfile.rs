//! Files that apps have sent by the proxy: `X-Sendfile: /srv/private/a.pdf`, as lighttpd and Apache know it, and
//! `X-Accel-Redirect: /private/a.pdf`, as nginx does. The worker is free as soon as it has said so.

use super::content::Share;
use super::lookup::{Found, Opened};
use super::path::Below;
use super::validators::Validators;
use super::{Chosen, directory, find, finish};
use crate::proxy::accept_encoding::Accepted;
use crate::proxy::asked::Asked;
use crate::proxy::body::ResponseBody;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{self, Answer};
use crate::proxy::hop::strip_response;
use crate::proxy::record::Record;
use crate::proxy::request::Conversation;
use crate::proxy::snapshot::App;
use crate::proxy::thread::Thread;
use crate::proxy::upstream::Lease;
use crate::proxy::worker::{AnswerBody, Part, WorkerConnection};
use crate::proxy::{clock, limits};
use crate::router::message::Sendfile;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");
const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// Where a file cannot be sent that an app names.
const HINT: &str = "it must be below the directory, and others must be able to read it";

/// What the client has said.
pub(in crate::proxy) struct Client<'a> {
    /// See [`conditions`].
    pub(in crate::proxy) conditions: &'a HeaderMap,
    /// That it takes; none where nothing is compressed.
    pub(in crate::proxy) codings: Option<Accepted>,
}

/// What a request says about ranges and conditions, kept while a worker has its fields.
pub(in crate::proxy) fn conditions(headers: &HeaderMap) -> HeaderMap {
    const NAMES: [HeaderName; 6] = [
        RANGE,
        IF_RANGE,
        IF_MATCH,
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
    ];
    let mut kept = HeaderMap::new();
    for name in NAMES {
        for value in headers.get_all(&name) {
            kept.append(&name, value.clone());
        }
    }
    kept
}

/// Whether the answer of an app names a file.
pub(in crate::proxy) fn is_named(headers: &HeaderMap) -> bool {
    headers.contains_key(X_SENDFILE) || headers.contains_key(X_ACCEL_REDIRECT)
}

/// Sends the file that `answer` names, with the fields that it has.
///
/// # Errors
/// The file is not where the setting has files (which is logged: the app is wrong), or is not there, or cannot be read.
pub(in crate::proxy) async fn send(
    conversation: &Conversation,
    app: &App,
    answer: Answer,
    client: Client<'_>,
    asked: Asked,
    record: &mut Record,
) -> Result<Response<ResponseBody>, ProxyError> {
    let thread = &conversation.thread;
    let Answer {
        mut head,
        seen,
        body,
        lease,
    } = answer;
    free(thread, body, lease).await;
    strip_response(&mut head.headers, seen);
    let named = name(&mut head.headers);
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let has_body = !matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let chosen = match named.filter(|_| has_body) {
        Some(named) => Some(choose(thread, app, &named, &mut response, client, &asked).await?),
        None => None,
    };
    Ok(finish(conversation, app, (response, chosen), asked, record))
}

/// What the app has to say besides is not for anybody; then the worker is free.
async fn free(thread: &Rc<Thread>, body: AnswerBody, lease: Lease) {
    let ended = body.has_ended();
    let worker = Rc::clone(thread);
    let rest = async move {
        if let Some(connection) = read_to_end(body).await {
            exchange::keep(&worker, connection, clock::now_ms());
        }
        drop(lease);
    };
    match ended {
        true => rest.await,
        false => drop(tokio::task::spawn_local(rest)),
    }
}

/// The file, and what of it is sent; `response` gets the fields that go with it.
async fn choose(
    thread: &Thread,
    app: &App,
    named: &Named,
    response: &mut Response<()>,
    client: Client<'_>,
    asked: &Asked,
) -> Result<Chosen, ProxyError> {
    let place = place(thread, &app.spec.sendfile, named).inspect_err(|_| {
        if thread.disk.may_complain() {
            let file = named.to_string();
            tracing::warn!(
                file,
                path = asked.path(),
                "an app names a file that is in no directory of its `sendfile`"
            );
        }
    })?;
    let root = directory(thread, &place.directory).await?;
    if root.was_replaced() {
        // The app means what is there now.
        return Err(ProxyError::FileUnavailable);
    }
    let opened = match find(thread, &root, place.below, Accepted::default(), HINT).await {
        Ok(Found::File(opened)) => opened,
        Ok(Found::Directory) => return Err(ProxyError::NotFound),
        // It is not the client who was wrong.
        Err(ProxyError::FileForbidden) => return Err(ProxyError::BadAnswer),
        Err(error) => return Err(error),
    };
    let share = with(&opened, response, &asked.method, client.conditions)?;
    Ok(Chosen {
        share,
        in_memory: root.in_memory(),
        // What is compressed by its kind (`.svgz`) gains nothing.
        codings: client.codings.filter(|_| opened.media.coding.is_none()),
        opened,
    })
}

/// Reads to the end, if that is near. The connection can carry another request then.
async fn read_to_end(mut body: AnswerBody) -> Option<WorkerConnection> {
    let read = async {
        let mut room = limits::REPLAY;
        while let Some(part) = std::future::poll_fn(|cx| body.poll_part(cx)).await {
            if let Part::Data(data) = part.ok()? {
                room = room.checked_sub(data.len())?;
            }
        }
        body.into_connection()
    };
    let read = tokio::time::timeout(limits::SENDFILE_REST, read);
    read.await.ok().flatten()
}

/// What an app names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// By its path.
    File(Vec<u8>),
    /// By the path of a URL that is ours alone.
    Inside(Vec<u8>),
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Named::File(path) | Named::Inside(path)) = self;
        f.write_str(&String::from_utf8_lossy(path))
    }
}

/// Takes both fields out. Their values are percent-encoded, as for nginx and Apache.
fn name(headers: &mut HeaderMap) -> Option<Named> {
    let decoded = |value: &HeaderValue| percent_decode(value.as_bytes()).collect::<Vec<u8>>();
    let inside = headers.remove(X_ACCEL_REDIRECT);
    let file = headers.remove(X_SENDFILE);
    match (file, inside) {
        (Some(file), _) => Some(Named::File(decoded(&file))),
        (None, Some(inside)) => {
            let bytes = inside.as_bytes();
            let path = bytes.split(|&byte| byte == b'?').next().unwrap_or(bytes);
            Some(Named::Inside(percent_decode(path).collect()))
        }
        (None, None) => None,
    }
}

/// Where a file is, by the setting.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    directory: std::path::PathBuf,
    below: Below,
}

/// The longest entry that has the file.
fn place(thread: &Thread, allowed: &[Sendfile], named: &Named) -> Result<Place, ProxyError> {
    let found = allowed.iter().filter_map(|entry| {
        let rest = match named {
            Named::Inside(path) => after(path, entry.prefix.as_ref()?.as_bytes()),
            Named::File(path) => {
                let root = thread.shared.roots.get(&entry.directory);
                let real = root.and_then(|root| root.real());
                let below = |directory: &Path| after(path, directory.as_os_str().as_bytes());
                below(&entry.directory).or_else(|| below(real?))
            }
        };
        Some((entry, rest?))
    });
    // The shortest rest has the longest beginning.
    let (entry, rest) = found
        .min_by_key(|(_, rest)| rest.len())
        .ok_or(ProxyError::BadAnswer)?;
    let below = Below::file(rest).ok_or(ProxyError::BadAnswer)?;
    Ok(Place {
        directory: entry.directory.clone(),
        below,
    })
}

/// What stands behind `beginning`, which ends where a component does.
fn after<'p>(path: &'p [u8], beginning: &[u8]) -> Option<&'p [u8]> {
    let beginning = beginning.strip_suffix(b"/").unwrap_or(beginning);
    path.strip_prefix(beginning)?.strip_prefix(b"/")
}

/// Makes of the answer of an app one with this whole file as its body, and says what of it is sent.
fn with(
    opened: &Opened,
    response: &mut Response<()>,
    method: &Method,
    conditions: &HeaderMap,
) -> Result<Share, ProxyError> {
    let headers = response.headers_mut();
    headers.remove(CONTENT_RANGE);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(opened.size));
    let validators = Validators::said(headers, opened);
    headers.insert(ETAG, validators.etag());
    let modified = validators.last_modified();
    let fields = [
        (LAST_MODIFIED, modified),
        (
            CONTENT_TYPE,
            Some(HeaderValue::from_static(opened.media.kind)),
        ),
    ];
    for (name, value) in fields {
        if let (false, Some(value)) = (headers.contains_key(&name), value) {
            headers.insert(name, value);
        }
    }
    // An app that knows the length may have looked at the range already; it has left the work to us.
    let is_plain = matches!(
        response.status(),
        StatusCode::OK | StatusCode::PARTIAL_CONTENT
    );
    if !is_plain || !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(Share::Whole);
    }
    let ranges = HeaderValue::from_static("bytes");
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(ACCEPT_RANGES, ranges);
    Share::of(opened, &validators, method, conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_nginx_and_apache_have_it() {
        let named = |fields: &[(HeaderName, &'static str)]| {
            let fields = fields.iter();
            let mut headers: HeaderMap = fields
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect();
            let named = name(&mut headers);
            assert!(headers.is_empty(), "no client sees them");
            named
        };
        let file = |path: &str| Some(Named::File(path.into()));
        assert_eq!(named(&[(X_SENDFILE, "/srv/a%20b")]), file("/srv/a b"));
        assert_eq!(named(&[(X_SENDFILE, "/srv/100%")]), file("/srv/100%"));
        assert_eq!(
            named(&[(X_ACCEL_REDIRECT, "/in/a%3Fb?c=d")]),
            Some(Named::Inside(b"/in/a?b".to_vec()))
        );
        let both = [(X_ACCEL_REDIRECT, "/in/a"), (X_SENDFILE, "/srv/a")];
        assert_eq!(named(&both), file("/srv/a"));
        assert_eq!(named(&[]), None);
    }

    #[test]
    fn a_beginning_ends_where_a_component_does() {
        let after = |path: &'static str, beginning: &str| {
            let rest = after(path.as_bytes(), beginning.as_bytes())?;
            std::str::from_utf8(rest).ok()
        };
        assert_eq!(after("/srv/private/a/b", "/srv/private"), Some("a/b"));
        assert_eq!(after("/in/a", "/in/"), Some("a"));
        assert_eq!(after("/a", "/"), Some("a"));
        assert_eq!(after("/srv/private-not/a", "/srv/private"), None);
        assert_eq!(after("/srv/private", "/srv/private"), None);
        assert_eq!(after("private/a", "/srv/private"), None);
    }
}
