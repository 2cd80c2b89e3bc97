//! Files that the proxy sends itself: apps of `egg:Paste#static`, and what other apps name in `X-Sendfile` (`sendfile`).
//!
//! ```text
//! path ──▶ lookup (roots) ──▶ coding ──▶ validators ──▶ range ──▶ body
//! which    opened below its   a smaller   304, 412      206, 416  as fast as the
//! file     directory, only    copy of it                          client takes it
//! ```
//!
//! An answer is first made as if the whole were sent; then the rules of the app apply, then `compress`, and at last it is cut to the
//! [`Share`] that the request gets.
//!
//! No disk keeps a request thread: what is in the caches of the kernel is opened (`RESOLVE_CACHED`) and read (`RWF_NOWAIT`) at
//! once, all else by the thread for files (`disk`). What is large and in the cache is sent by the kernel where that can be (`direct`).

mod body;
mod coding;
mod compressed;
mod content;
mod lookup;
mod media;
mod path;
mod range;
mod roots;
mod sendfile;
mod validators;

pub(super) use body::FileBody;
pub(super) use compressed::{CompressedFile, Places};
pub(super) use roots::Roots;
pub(super) use sendfile::{Client, conditions, is_named, send};

use super::accept_encoding::Accepted;
use super::asked;
use super::body::ResponseBody;
use super::compress;
use super::encoder::Encoder;
use super::error::ProxyError;
use super::exchange::Finish;
use super::record::Record;
use super::request::Conversation;
use super::snapshot::App;
use super::thread::Thread;
use crate::router::answers::{Coding, Compress};
use crate::router::message::{FromProxy, StaticFiles};
use compressed::Place;
use content::{Share, put};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES,
    LAST_MODIFIED, LOCATION, VARY,
};
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use lookup::{Found, Lookup, Miss, Opened};
use path::Wanted;
use roots::Root;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use validators::Validators;

/// A request for a file.
pub(super) struct Asked<'a> {
    pub(super) head: &'a http::request::Parts,
    pub(super) path_info: &'a [u8],
    pub(super) target: &'a PathAndQuery,
    /// That the client means.
    pub(super) host: Option<&'a HeaderValue>,
}

/// Where the proxy cannot serve a file, but another could.
const HINT: &str = "others must be able to read it, and no link may lead out of the directory; or let a worker serve it: `static = off`";

/// Answers as `paste.urlparser.StaticURLParser` does; docs/proxy.md says what is done better.
///
/// # Errors
/// There is no such file, or it cannot be had: whatever is not a file or a redirection.
pub(super) async fn answer(
    conversation: &Conversation,
    app: &App,
    files: &StaticFiles,
    asked: &Asked<'_>,
    request: asked::Asked,
    record: &mut Record,
) -> Result<Response<ResponseBody>, ProxyError> {
    let thread = &conversation.thread;
    let root = directory(thread, &files.root).await?;
    let accepted = Accepted::by(&asked.head.headers);
    let answer = match path::wanted(asked.path_info) {
        Wanted::Redirection => (to_directory(conversation, asked), None),
        Wanted::Below(wanted) => match find(thread, &root, wanted, accepted, HINT).await {
            // What was replaced still serves what it has, until the next proxy does; it does not say what there is not.
            Err(ProxyError::NotFound) if root.was_replaced() => {
                return Err(ProxyError::FileUnavailable);
            }
            Err(error) => return Err(error),
            Ok(Found::Directory) => (to_directory(conversation, asked), None),
            Ok(Found::File(opened)) => {
                let head = &asked.head;
                let (response, share) =
                    represent(&opened, &head.method, &head.headers, files.cache_max_age)?;
                let in_memory = root.in_memory();
                let codings = Some(accepted);
                let chosen = Chosen {
                    opened,
                    share,
                    in_memory,
                    codings,
                };
                (response, Some(chosen))
            }
        },
    };
    Ok(finish(conversation, app, answer, request, record))
}

/// The file that is an answer.
struct Chosen {
    opened: Opened,
    share: Share,
    in_memory: bool,
    /// That the client takes, where it may be compressed.
    codings: Option<Accepted>,
}

/// The answer, as it goes to the client: the rules for its fields apply, and its end is that of the request.
fn finish(
    conversation: &Conversation,
    app: &App,
    (response, chosen): (Response<()>, Option<Chosen>),
    asked: asked::Asked,
    record: &mut Record,
) -> Response<ResponseBody> {
    let thread = &conversation.thread;
    let (mut head, ()) = response.into_parts();
    app.answers.headers.apply(&mut head.headers);
    let is_head = asked.method == Method::HEAD;
    let content = chosen.map(|chosen| {
        let encoder = encode(
            thread,
            &app.answers.compress,
            &chosen,
            &asked.method,
            &mut head,
        );
        let pieces = chosen.share.cut(chosen.opened.size, &mut head);
        (chosen.opened.file, pieces, chosen.in_memory, encoder)
    });
    record.becomes(head.status);
    record.fields(&head.headers);
    let finish = Finish {
        thread: Rc::clone(thread),
        state: Arc::clone(&conversation.state),
        lease: None,
        asked,
        record: record.take(),
    };
    let body = match content {
        Some((file, pieces, in_memory, Some((encoder, place)))) => {
            let file = FileBody::new(file, pieces, in_memory, finish);
            ResponseBody::CompressedFile(Box::new(CompressedFile::new(file, encoder, place)))
        }
        Some((file, pieces, in_memory, None)) if !is_head => {
            FileBody::start(file, pieces, in_memory, finish)
        }
        _ => {
            finish.complete(None);
            ResponseBody::Empty
        }
    };
    Response::from_parts(head, body)
}

/// What the file goes through, if it is compressed for this client. The head says so, also where the body is not sent.
fn encode(
    thread: &Thread,
    rules: &Compress,
    chosen: &Chosen,
    method: &Method,
    head: &mut Parts,
) -> Option<(Encoder, Place)> {
    let codings = chosen.codings.filter(|_| chosen.opened.size > 0)?;
    let coding = compress::choose(rules, &codings, head)?;
    match chosen.share {
        // Of the file as it is.
        Share::One(_) | Share::Several(_) => None,
        Share::Whole if *method != Method::HEAD => {
            let place = thread.places.take()?;
            Some((compress::encoder(coding, head)?, place))
        }
        Share::Whole | Share::Nothing => {
            compress::mark(&mut head.headers, coding);
            None
        }
    }
}

/// The directory. If another one [was put in its place](Root::was_replaced), the supervisor has been told, and the next proxy is about
/// to take over.
async fn directory(thread: &Thread, path: &Path) -> Result<Arc<Root>, ProxyError> {
    // A table that is newer than this process: the next proxy knows it.
    let root = thread.shared.roots.get(path);
    let root = Arc::clone(root.ok_or(ProxyError::FileUnavailable)?);
    if root.is_to_be_looked_at() {
        let looked_at = Arc::clone(&root);
        let replaced = thread.disk.run(move || Ok(looked_at.look_at())).await;
        if replaced.is_ok_and(|replaced| replaced) {
            let directory = path.to_owned();
            let told = FromProxy::DirectoryReplaced { directory };
            thread.shared.outbox.tell_if_room(told);
        }
    }
    Ok(root)
}

/// Opens what is wanted, or says why not, with a `hint` where it should be possible: at once, if the kernel has the way to it in its caches.
async fn find(
    thread: &Thread,
    root: &Arc<Root>,
    wanted: path::Below,
    accepted: Accepted,
    hint: &'static str,
) -> Result<Found, ProxyError> {
    let at_once = lookup::look(root, &wanted, accepted, root.quick_lookup());
    let found = match at_once {
        Err(Miss::NotCached) => {
            let (root, wanted) = (Arc::clone(root), wanted.clone());
            let look = move || Ok(lookup::look(&root, &wanted, accepted, Lookup::Complete));
            thread
                .disk
                .run(look)
                .await
                .unwrap_or_else(|error| Err(Miss::Failed(error)))
        }
        found => found,
    };
    found.map_err(|miss| {
        let (error, why) = match miss {
            Miss::NotFound => return ProxyError::NotFound,
            Miss::Outside => (
                ProxyError::FileForbidden,
                "a symbolic link leads out of the directory".to_owned(),
            ),
            Miss::Denied => (
                ProxyError::FileForbidden,
                "the user of the proxy may not read it".to_owned(),
            ),
            Miss::NotCached => (ProxyError::FileUnavailable, "directories are being moved".to_owned()),
            Miss::Failed(error) => (ProxyError::FileUnavailable, error.to_string()),
        };
        if thread.disk.may_complain() {
            let path = String::from_utf8_lossy(wanted.path());
            tracing::warn!(directory = %root.path().display(), %path, error = why, hint, "a file cannot be served");
        }
        error
    })
}

/// A directory without its slash: links in its index would be wrong.
fn to_directory(conversation: &Conversation, asked: &Asked<'_>) -> Response<()> {
    let mut location = conversation.info.scheme.clone().into_bytes();
    location.extend_from_slice(b"://");
    location.extend_from_slice(asked.host.map_or(b"", HeaderValue::as_bytes));
    location.extend_from_slice(asked.target.path().as_bytes());
    location.push(b'/');
    if let Some(query) = asked.target.query() {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_bytes(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The answer with the whole file, and what of it this method gets under these conditions.
fn represent(
    opened: &Opened,
    method: &Method,
    asked: &HeaderMap,
    max_age: Option<u64>,
) -> Result<(Response<()>, Share), ProxyError> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(ProxyError::FileReadOnly);
    }
    let validators = Validators::of(opened);
    let share = Share::of(opened, &validators, method, asked)?;
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(ETAG, validators.etag());
    if opened.coding.is_some() {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(seconds) = max_age {
        put(headers, CACHE_CONTROL, format!("public, max-age={seconds}"));
        let expires = SystemTime::now().checked_add(Duration::from_secs(seconds));
        let expires = expires.and_then(validators::http_date);
        headers.extend(expires.map(|expires| (EXPIRES, expires)));
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(opened.size));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(opened.media.kind));
    let coding = opened.coding.map(Coding::token);
    if let Some(coding) = coding.or(opened.media.coding) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    headers.extend(validators.last_modified().map(|at| (LAST_MODIFIED, at)));
    Ok((response, share))
}
