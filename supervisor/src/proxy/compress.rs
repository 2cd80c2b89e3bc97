//! Answers that are compressed on their way (RFC 9110 section 8.4): which, what their heads say then, and their bodies.

use super::accept_encoding::Accepted;
use super::body::{BodyError, WorkerBody};
use super::encoder::Encoder;
use super::hop::tokens;
use super::worker::Part;
use crate::router::answers::{Coding, Compress, TYPES};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, TRAILER, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Frame;
use memchr::memmem;
use std::task::{Context, Poll};

/// Digests of the body as it is (RFC 1864, 3230, 9530): an app that sends one wants it to arrive like that.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// So much that is out of the encoder goes on without waiting for more.
pub(super) const ENOUGH: usize = 8 * 1024;

/// What a client says that matters here, kept while a worker has its fields.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) accepted: Accepted,
    /// Its `If-None-Match`: the tags of what it has.
    held: Vec<HeaderValue>,
}

impl Client {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        Self {
            accepted: Accepted::by(headers),
            held: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
        }
    }

    /// Whether it has something under this tag, but weak.
    fn holds_weak(&self, tag: &HeaderValue) -> bool {
        let weak = weak(tag);
        let mut lines = self.held.iter();
        // A tag has no quotes inside.
        lines.any(|line| memmem::find(line.as_bytes(), &weak).is_some())
    }
}

fn weak(tag: &HeaderValue) -> Vec<u8> {
    [b"W/", tag.as_bytes()].concat()
}

/// Makes of the head of an answer to a request by `method` what it is to be. The body goes through the encoder that this returns; without
/// one it passes as it is.
pub(super) fn begin(
    rules: &Compress,
    client: &Client,
    method: &Method,
    head: &mut Parts,
) -> Option<Encoder> {
    if head.status == StatusCode::NOT_MODIFIED {
        confirm(client, &mut head.headers);
        return None;
    }
    let coding = choose(rules, &client.accepted, head)?;
    // The same fields as a GET would get (RFC 9110 section 9.3.2).
    if *method == Method::HEAD {
        mark(&mut head.headers, coding);
        return None;
    }
    encoder(coding, head)
}

/// An app knows its own tag only. What the client has under the weak one came through an encoder, and a 304 has the fields that this
/// answer would have again (RFC 9110 section 15.4.5).
fn confirm(client: &Client, headers: &mut HeaderMap) {
    if headers.get(ETAG).is_some_and(|tag| client.holds_weak(tag)) {
        weaken(headers);
        vary(headers);
    }
}

/// The coding that this answer is to have for this client, if any. Its head says that others may get another one.
pub(super) fn choose(rules: &Compress, accepted: &Accepted, head: &mut Parts) -> Option<Coding> {
    if rules.codings.is_empty() || !is_worth_it(rules, head.status, &head.headers) {
        return None;
    }
    vary(&mut head.headers);
    accepted.best(&rules.codings)
}

/// What the body goes through, if there is memory for it. Then the head says so.
pub(super) fn encoder(coding: Coding, head: &mut Parts) -> Option<Encoder> {
    let encoder = Encoder::new(coding, length(&head.headers)).ok()?;
    mark(&mut head.headers, coding);
    Some(encoder)
}

/// Has the head of an answer say that its body is in `coding`.
pub(super) fn mark(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    headers.remove(CONTENT_LENGTH);
    // Of ranges of the app's own bytes.
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
}

/// Another sequence of bytes, the same meaning (RFC 9110 section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
    {
        match HeaderValue::from_bytes(&weak(tag)) {
            Ok(weak) => headers.insert(ETAG, weak),
            Err(_) => headers.remove(ETAG),
        };
    }
}

/// Whether it would be compressed for a client that can decode it.
fn is_worth_it(rules: &Compress, status: StatusCode, headers: &HeaderMap) -> bool {
    let has_body = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
                | StatusCode::RANGE_NOT_SATISFIABLE
        );
    has_body
        && length(headers).is_none_or(|length| length >= rules.min_length)
        && is_of_type(rules, headers)
        && !headers.contains_key(CONTENT_ENCODING)
        && !forbids(headers)
        && !has_digest(headers)
}

fn has_digest(headers: &HeaderMap) -> bool {
    let mut trailers = headers.get_all(TRAILER).iter().flat_map(tokens);
    DIGESTS.iter().any(|name| headers.contains_key(name))
        || trailers.any(|name| {
            DIGESTS
                .iter()
                .any(|digest| name.eq_ignore_ascii_case(digest.as_str().as_bytes()))
        })
}

/// As announced. The worker is held to it.
fn length(headers: &HeaderMap) -> Option<u64> {
    std::str::from_utf8(headers.get(CONTENT_LENGTH)?.as_bytes())
        .ok()?
        .parse()
        .ok()
}

fn is_of_type(rules: &Compress, headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let essence = value.as_bytes().split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let is = |wanted: &str| {
        let wanted = wanted.as_bytes();
        match (wanted.strip_suffix(b"*"), wanted.strip_prefix(b"*")) {
            (Some(start), _) => essence
                .get(..start.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(start)),
            (None, Some(end)) => essence
                .len()
                .checked_sub(end.len())
                .is_some_and(|at| essence[at..].eq_ignore_ascii_case(end)),
            (None, None) => essence.eq_ignore_ascii_case(wanted),
        }
    };
    match rules.types.as_slice() {
        [] => TYPES.split(' ').any(is),
        types => types.iter().any(|wanted| is(wanted)),
    }
}

/// `Cache-Control: no-transform` (RFC 9111 section 5.2.2.6).
fn forbids(headers: &HeaderMap) -> bool {
    let mut directives = headers.get_all(CACHE_CONTROL).iter().flat_map(tokens);
    directives.any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

/// Says that the answer is another one for other clients (RFC 9110 section 12.5.5), also where it was not compressed for this one.
fn vary(headers: &mut HeaderMap) {
    let said = headers
        .get_all(VARY)
        .iter()
        .flat_map(tokens)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
    if !said {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// A worker's body on its way through an encoder. What the worker has sent goes on as soon as nothing more is there, so that an app that
/// streams still does.
#[derive(Debug)]
pub(super) struct Compressed {
    worker: WorkerBody,
    /// None: its end is out.
    encoder: Option<Encoder>,
    /// Something was written since the last flush.
    unflushed: bool,
    /// Nothing was there, and those who may bring more have had a turn.
    waited: bool,
    trailers: Option<HeaderMap>,
}

impl Compressed {
    pub(super) fn new(worker: WorkerBody, encoder: Encoder) -> Self {
        Self {
            worker,
            encoder: Some(encoder),
            unflushed: false,
            waited: false,
            trailers: None,
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else {
                return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t))));
            };
            match self.worker.poll_part(cx) {
                Poll::Pending => return self.pause(cx),
                Poll::Ready(Some(Ok(Part::Data(data)))) => {
                    if encoder.write(&data).is_err() {
                        return failed();
                    }
                    self.unflushed = true;
                    self.waited = false;
                    if self.worker.has_ended() {
                        return self.end();
                    }
                    if encoder.ready() >= ENOUGH {
                        return self.pass();
                    }
                }
                Poll::Ready(Some(Ok(Part::Trailers(trailers)))) => {
                    self.trailers = Some(trailers);
                    return self.end();
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return self.end(),
            }
        }
    }

    /// Nothing is there. Each flush costs some bytes, so first the others on this thread get a turn: one of them may be about to read more.
    fn pause(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| self.unflushed) else {
            return Poll::Pending;
        };
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.unflushed = false;
        match encoder.flush() {
            Ok(()) if encoder.ready() == 0 => Poll::Pending,
            Ok(()) => self.pass(),
            Err(_) => failed(),
        }
    }

    fn pass(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let out = self.encoder.as_mut().map(Encoder::take).unwrap_or_default();
        self.worker.sent(out.len());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(Ok(out)) = self.encoder.take().map(Encoder::finish) else {
            return failed();
        };
        self.worker.sent(out.len());
        self.worker.complete();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    }
}

fn failed() -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Poll::Ready(Some(Err(BodyError("the answer could not be compressed"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::ACCEPT_ENCODING;

    fn rules() -> Compress {
        Compress {
            codings: Coding::ALL.to_vec(),
            ..Compress::default()
        }
    }

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        response.into_parts().0
    }

    fn client(said: &'static str) -> Client {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(said));
        Client::by(&headers)
    }

    /// What becomes of an answer with these fields, for a client that takes all codings.
    fn compressed(status: u16, fields: &[(&'static str, &'static str)]) -> Option<Parts> {
        let mut head = head(status, fields);
        begin(&rules(), &client("gzip"), &Method::GET, &mut head).map(|_| head)
    }

    const TEXT: (&str, &str) = ("content-type", "text/html; charset=utf-8");

    #[test]
    fn the_head_says_what_the_body_has_become() {
        let head = compressed(
            200,
            &[
                TEXT,
                ("content-length", "5000"),
                ("etag", "\"a\""),
                ("accept-ranges", "bytes"),
                ("vary", "Cookie"),
            ],
        )
        .unwrap();
        assert_eq!(head.headers[CONTENT_ENCODING], "gzip");
        assert_eq!(head.headers[ETAG], "W/\"a\"");
        assert!(!head.headers.contains_key(CONTENT_LENGTH));
        assert!(!head.headers.contains_key(ACCEPT_RANGES));
        let vary: Vec<_> = head.headers.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Cookie", "Accept-Encoding"]);
    }

    #[test]
    fn a_weak_tag_stays_and_vary_is_not_repeated() {
        let fields = [
            TEXT,
            ("etag", "W/\"a\""),
            ("vary", "cookie, accept-encoding"),
        ];
        let head = compressed(200, &fields).unwrap();
        assert_eq!(head.headers[ETAG], "W/\"a\"");
        assert_eq!(head.headers.get_all(VARY).iter().count(), 1);
        let head = compressed(200, &[TEXT, ("vary", "*")]).unwrap();
        assert_eq!(head.headers[VARY], "*");
    }

    #[test]
    fn who_gets_it_as_it_is_learns_that_others_do_not() {
        let mut head = head(200, &[TEXT, ("content-length", "5000"), ("etag", "\"a\"")]);
        assert!(begin(&rules(), &client("br;q=0"), &Method::GET, &mut head).is_none());
        assert_eq!(head.headers[VARY], "Accept-Encoding");
        assert_eq!(head.headers[ETAG], "\"a\"");
        assert_eq!(head.headers[CONTENT_LENGTH], "5000");
    }

    #[test]
    fn an_answer_to_head_has_the_fields_of_one_to_get() {
        let fields = [TEXT, ("content-length", "5000"), ("etag", "\"a\"")];
        let mut answer = head(200, &fields);
        assert!(begin(&rules(), &client("gzip"), &Method::HEAD, &mut answer).is_none());
        assert_eq!(answer.headers, compressed(200, &fields).unwrap().headers);
    }

    #[test]
    fn who_has_it_compressed_is_confirmed_what_it_has() {
        let confirmed = |held: &'static str, tag: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
            headers.append(IF_NONE_MATCH, HeaderValue::from_static(held));
            let client = Client::by(&headers);
            let mut answer = head(304, &[("etag", tag)]);
            assert!(begin(&rules(), &client, &Method::GET, &mut answer).is_none());
            let tag = answer.headers[ETAG].to_str().unwrap().to_owned();
            (tag, answer.headers.contains_key(VARY))
        };
        let weak = ("W/\"a\"".to_owned(), true);
        assert_eq!(confirmed("W/\"a\"", "\"a\""), weak);
        assert_eq!(confirmed("\"b\", W/\"a\"", "\"a\""), weak);
        let own = ("\"a\"".to_owned(), false);
        assert_eq!(confirmed("\"a\"", "\"a\""), own, "as the app sent it");
        assert_eq!(confirmed("W/\"ba\"", "\"a\""), own);
        let weak_itself = ("W/\"a\"".to_owned(), false);
        assert_eq!(confirmed("W/\"a\"", "W/\"a\""), weak_itself);
    }

    #[test]
    fn these_pass_as_they_are() {
        let left_alone: [&[(&str, &str)]; 10] = [
            &[],
            &[TEXT, ("content-length", "1023")],
            &[TEXT, ("content-encoding", "br")],
            &[TEXT, ("content-encoding", "identity")],
            &[TEXT, ("cache-control", "max-age=1, No-Transform")],
            &[TEXT, ("content-md5", "x")],
            &[TEXT, ("trailer", "x-a, Repr-Digest")],
            &[TEXT, ("repr-digest", "sha-256=:x:")],
            &[("content-type", "image/png")],
            &[("content-type", "text")],
        ];
        for fields in left_alone {
            let fields: Vec<_> = fields.to_vec();
            let mut answer = head(200, &fields);
            let before = answer.headers.clone();
            let encoder = begin(&rules(), &client("gzip"), &Method::GET, &mut answer);
            assert!(encoder.is_none(), "{fields:?}");
            assert_eq!(answer.headers, before, "{fields:?}");
        }
        for status in [204, 205, 206, 304, 416] {
            assert!(compressed(status, &[TEXT]).is_none(), "{status}");
        }
        for status in [200, 201, 302, 403, 404, 500] {
            assert!(compressed(status, &[TEXT]).is_some(), "{status}");
        }
    }

    #[test]
    fn types_are_compared_without_parameters_and_case() {
        for kind in [
            "TEXT/Plain",
            "application/json ; charset=utf-8",
            "application/vnd.api+json",
            "image/svg+xml",
            "text/event-stream",
        ] {
            assert!(
                compressed(200, &[("content-type", kind)]).is_some(),
                "{kind}"
            );
        }
        for kind in [
            "image/jpeg",
            "application/jsonx",
            "+json/x",
            "application/zip",
        ] {
            assert!(
                compressed(200, &[("content-type", kind)]).is_none(),
                "{kind}"
            );
        }
    }
}
