//! What is known of a request when it is over.

use super::program::Program;
use crate::proxy::origin::Origin;
use crate::proxy::rewrite::Client;
use crate::proxy::tls::Secured;
use crate::proxy::trace::Trace;
use crate::proxy::traffic::End;
use crate::proxy::upstream::Upstream;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Status of a request whose client has left before there was an answer, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// One request.
#[derive(Debug)]
pub(in super::super) struct Entry {
    pub(super) time: SystemTime,
    pub(super) peer: Option<SocketAddr>,
    pub(super) secured: Option<Secured>,
    pub(super) scheme: Option<HeaderValue>,
    pub(super) server_port: Option<u16>,
    pub(super) line: RequestLine,
    pub(super) host: Option<HeaderValue>,
    /// Where a line shows the user.
    pub(super) authorization: Option<HeaderValue>,
    /// As the program names them.
    pub(super) request_fields: Box<[Option<HeaderValue>]>,
    pub(super) response_fields: Box<[Option<HeaderValue>]>,
    pub(in super::super) request_id: Option<HeaderValue>,
    /// As the worker was told.
    pub(in super::super) trace: Option<Trace>,
    pub(in super::super) app: Option<Arc<str>>,
    /// Whoever was given it last.
    pub(in super::super) upstream: Option<Arc<Upstream>>,
    pub(in super::super) last_try: Option<Try>,
    pub(super) total: End,
}

/// The moments of a try at a worker.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Try {
    pub(in super::super) began: Instant,
    pub(in super::super) connected: Option<Instant>,
    /// The head of the answer was there.
    pub(in super::super) answered: Option<Instant>,
    /// Of that answer.
    pub(in super::super) status: Option<u16>,
    /// None until the end of the request.
    pub(super) ended: Option<Instant>,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum RequestLine {
    Parsed(Method, Uri, Version),
    /// Of a head that was refused: as it came.
    Raw(Vec<u8>),
}

impl RequestLine {
    /// Method, target and version; what is not known is empty.
    pub(super) fn parts(&self) -> (Cow<'_, str>, Cow<'_, str>, Cow<'_, str>) {
        match self {
            Self::Parsed(method, uri, version) => (
                method.as_str().into(),
                match uri.authority() {
                    None => uri
                        .path_and_query()
                        .map_or("", |target| target.as_str())
                        .into(),
                    Some(_) => uri.to_string().into(),
                },
                version_name(*version).into(),
            ),
            Self::Raw(line) => {
                let mut words = line
                    .splitn(3, |&byte| byte == b' ')
                    .map(String::from_utf8_lossy);
                let mut next = || words.next().unwrap_or_default();
                (next(), next(), next())
            }
        }
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

impl Entry {
    pub(in super::super) fn start<B>(
        program: &Program,
        request: &Request<B>,
        client: &Client,
        server_port: u16,
    ) -> Self {
        let headers = request.headers();
        let line = RequestLine::Parsed(
            request.method().clone(),
            request.uri().clone(),
            request.version(),
        );
        Self {
            scheme: Some(client.scheme().clone()),
            server_port: Some(server_port),
            host: headers.get(HOST).cloned(),
            authorization: match program.shows_user() {
                true => headers.get(AUTHORIZATION).cloned(),
                false => None,
            },
            request_fields: pick(program.request_fields(), headers),
            ..Self::bare(line, client.peer, client.secured.clone())
        }
    }

    /// A head that never became a request.
    pub(in super::super) fn refused(
        line: Vec<u8>,
        peer: Option<SocketAddr>,
        secured: Option<Secured>,
        status: u16,
        sent: u64,
    ) -> Self {
        let mut entry = Self::bare(RequestLine::Raw(line), peer, secured);
        entry.total.status = Some(status);
        entry.total.sent = sent;
        entry
    }

    /// A trusted peer has told of the client.
    pub(in super::super) fn comes_from(&mut self, origin: Origin) {
        self.peer = origin.or(self.peer);
    }

    fn bare(line: RequestLine, peer: Option<SocketAddr>, secured: Option<Secured>) -> Self {
        Self {
            time: SystemTime::now(),
            peer,
            secured,
            scheme: None,
            server_port: None,
            line,
            host: None,
            authorization: None,
            request_fields: Box::default(),
            response_fields: Box::default(),
            request_id: None,
            trace: None,
            app: None,
            upstream: None,
            last_try: None,
            total: End::default(),
        }
    }

    /// What the client is answered with.
    pub(in super::super) fn answered(&mut self, program: &Program, headers: &HeaderMap) {
        self.response_fields = pick(program.response_fields(), headers);
    }

    pub(in super::super) fn ended(&mut self, total: &End, at: Instant) {
        self.total = *total;
        if let Some(last) = &mut self.last_try {
            last.ended = Some(at);
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.total.status.unwrap_or(CLIENT_GONE)
    }
}

fn pick(names: &[HeaderName], headers: &HeaderMap) -> Box<[Option<HeaderValue>]> {
    names
        .iter()
        .map(|name| headers.get(name).cloned())
        .collect()
}

impl Try {
    pub(in super::super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            connected: None,
            answered: None,
            status: None,
            ended: None,
        }
    }

    /// Time to a connection; on one that was open already about none.
    pub(super) fn connect(&self) -> Option<Duration> {
        self.connected.map(|then| then - self.began)
    }

    /// Time to the head of the answer.
    pub(super) fn header(&self) -> Option<Duration> {
        self.answered.map(|then| then - self.began)
    }

    /// Time to the end of the answer, or to when it was given up.
    pub(super) fn response(&self) -> Option<Duration> {
        self.ended.map(|then| then - self.began)
    }
}
