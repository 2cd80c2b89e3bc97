//! The format of the log, made ready: which facts must be kept of a request, and how a line is written from them.

use super::entry::{Entry, RequestLine};
use super::json;
use super::moment::{Common, Iso, Moment, Unix};
use crate::proxy::client_certificate::{ClientCertificate, Holder};
use crate::router::access_log::LogFormat;
use crate::router::log_format::{Escape, Format, FormatError, Piece, Variable};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Where `json` finds these among the fields of a request.
pub(super) const JSON_REFERER: usize = 0;
pub(super) const JSON_USER_AGENT: usize = 1;

/// What is written of each request.
#[derive(Debug)]
pub(in super::super) struct Program {
    /// None: `json`.
    text: Option<(Escape, Vec<Piece>)>,
    request_fields: Vec<HeaderName>,
    response_fields: Vec<HeaderName>,
    shows_user: bool,
}

impl Program {
    /// # Errors
    /// A text that is no format; the supervisor has refused it before.
    pub(super) fn new(format: &LogFormat) -> Result<Self, FormatError> {
        let Some(format) = Format::of(format).transpose()? else {
            return Ok(Self {
                text: None,
                request_fields: vec![REFERER, USER_AGENT],
                response_fields: Vec::new(),
                shows_user: false,
            });
        };
        let names = |fields: Vec<String>| {
            let named = fields
                .into_iter()
                .map(|name| HeaderName::try_from(&name).map_err(|_| FormatError::Unknown(name)));
            named.collect::<Result<Vec<_>, _>>()
        };
        let user = Piece::Variable(Variable::RemoteUser);
        Ok(Self {
            request_fields: names(format.request_fields)?,
            response_fields: names(format.response_fields)?,
            shows_user: format.pieces.contains(&user),
            text: Some((format.escape, format.pieces)),
        })
    }

    pub(super) fn request_fields(&self) -> &[HeaderName] {
        &self.request_fields
    }

    pub(super) fn response_fields(&self) -> &[HeaderName] {
        &self.response_fields
    }

    pub(super) fn shows_user(&self) -> bool {
        self.shows_user
    }

    /// Adds the line of `entry`, with its end.
    pub(super) fn push_line(&self, out: &mut Vec<u8>, entry: &Entry) {
        match &self.text {
            None => json::push(out, entry),
            Some((escape, pieces)) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Variable(variable) => {
                            let escape = *escape;
                            Value { out, escape }.push(*variable, entry);
                        }
                    }
                }
            }
        }
        out.push(b'\n');
    }
}

/// Where the value of a variable is written to.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    escape: Escape,
}

impl Value<'_> {
    fn push(&mut self, variable: Variable, entry: &Entry) {
        let total = &entry.total;
        let last = entry.last_try.as_ref();
        let worker = entry.upstream.as_ref().map(|upstream| &upstream.worker);
        let time = Moment(entry.time);
        match variable {
            Variable::RemoteAddr => self.show(entry.peer.map(|peer| peer.ip().to_canonical())),
            // A trusted peer may have told of a client without.
            Variable::RemotePort => {
                let port = entry.peer.map(|peer| peer.port());
                self.show(port.filter(|&port| port != 0));
            }
            Variable::RemoteUser => self.user(entry.authorization.as_ref()),
            Variable::TimeLocal => self.show(Some(Common(time))),
            Variable::TimeIso8601 => self.show(Some(Iso(time))),
            Variable::Msec => self.show(Some(Unix(time))),
            Variable::Request => self.request(&entry.line),
            Variable::RequestMethod => self.text(&entry.line.parts().0),
            Variable::RequestUri => self.text(&entry.line.parts().1),
            Variable::Args | Variable::QueryString => {
                let target = entry.line.parts().1;
                self.text(target.split_once('?').map_or("", |(_, query)| query));
            }
            Variable::ServerProtocol => self.text(&entry.line.parts().2),
            Variable::Scheme => self.field(entry.scheme.as_ref()),
            Variable::Host => self.host(entry.host.as_ref()),
            Variable::ServerPort => self.show(entry.server_port),
            Variable::SslProtocol => {
                self.show(entry.secured.as_ref().map(|secured| secured.version))
            }
            Variable::SslCipher => {
                self.show(entry.secured.as_ref().map(|secured| secured.cipher));
            }
            Variable::SslClientVerify => self.field(client(entry).map(ClientCertificate::verify)),
            Variable::SslClientSDn => self.show(holder(entry).map(|holder| &holder.subject)),
            Variable::SslClientIDn => self.show(holder(entry).map(|holder| &holder.issuer)),
            Variable::SslClientSerial => self.show(holder(entry).map(|holder| &holder.serial)),
            Variable::Status => self.show(Some(entry.status())),
            Variable::BodyBytesSent => self.show(Some(total.sent)),
            Variable::BodyBytesReceived => self.show(Some(total.received)),
            Variable::RequestTime => self.seconds(Some(total.took)),
            Variable::QueueTime => self.seconds(Some(total.waited.unwrap_or_default())),
            Variable::UpstreamAddr => self.show(worker.map(|worker| &worker.address)),
            Variable::UpstreamTries => self.show(Some(total.tries)),
            Variable::UpstreamStatus => self.show(last.and_then(|last| last.status)),
            Variable::UpstreamConnectTime => self.seconds(last.and_then(|last| last.connect())),
            Variable::UpstreamHeaderTime => self.seconds(last.and_then(|last| last.header())),
            Variable::UpstreamResponseTime => self.seconds(last.and_then(|last| last.response())),
            Variable::App => self.show(entry.app.as_deref()),
            Variable::Slot => self.show(worker.map(|worker| worker.slot)),
            Variable::Generation => self.show(worker.map(|worker| worker.generation)),
            Variable::Pid => self.show(worker.map(|worker| worker.pid)),
            Variable::RequestId => self.field(entry.request_id.as_ref()),
            Variable::TraceId => self.show(entry.trace.map(|trace| Hex(trace.id))),
            Variable::SpanId => self.show(entry.trace.map(|trace| Hex(trace.span))),
            Variable::RequestField(at) => {
                self.field(entry.request_fields.get(at).and_then(Option::as_ref));
            }
            Variable::ResponseField(at) => {
                self.field(entry.response_fields.get(at).and_then(Option::as_ref));
            }
        }
    }

    fn none(&mut self) {
        if self.escape == Escape::Default {
            self.out.push(b'-');
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn field(&mut self, value: Option<&HeaderValue>) {
        self.bytes(value.map_or(b"", HeaderValue::as_bytes));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.none();
        }
        self.escaped(bytes);
    }

    fn show(&mut self, value: Option<impl fmt::Display>) {
        match value {
            // Escaping never fails.
            Some(value) => drop(write!(self, "{value}")),
            None => self.none(),
        }
    }

    /// Seconds with milliseconds, cut off as nginx does.
    fn seconds(&mut self, duration: Option<Duration>) {
        self.show(duration.map(Seconds));
    }

    fn request(&mut self, line: &RequestLine) {
        match line {
            RequestLine::Parsed(..) => {
                let (method, target, version) = line.parts();
                self.text(&method);
                self.out.push(b' ');
                self.text(&target);
                self.out.push(b' ');
                self.text(&version);
            }
            RequestLine::Raw(raw) => self.bytes(raw),
        }
    }

    /// Without its port, in lower case.
    fn host(&mut self, host: Option<&HeaderValue>) {
        let host = host.map_or(&b""[..], HeaderValue::as_bytes);
        let end = match host.iter().rposition(|&byte| byte == b':') {
            Some(colon) if host[colon..].contains(&b']') => host.len(),
            Some(colon) => colon,
            None => host.len(),
        };
        if end == 0 {
            return self.none();
        }
        for byte in &host[..end] {
            self.escaped(&[byte.to_ascii_lowercase()]);
        }
    }

    /// The name that came with Basic authentication (RFC 7617), which nobody here has checked.
    fn user(&mut self, authorization: Option<&HeaderValue>) {
        match authorization.and_then(basic_user) {
            Some(user) => self.bytes(&user),
            None => self.none(),
        }
    }

    /// Nothing that a client sends ends a line or a quoted value.
    fn escaped(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let hex = |byte: u8| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 0xf)],
            ]
        };
        match self.escape {
            Escape::Default => {
                for &byte in bytes {
                    match byte {
                        b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                            self.out.extend_from_slice(b"\\x");
                            self.out.extend_from_slice(&hex(byte));
                        }
                        byte => self.out.push(byte),
                    }
                }
            }
            Escape::Json => {
                for chunk in bytes.utf8_chunks() {
                    for byte in chunk.valid().bytes() {
                        match byte {
                            b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                            0..=0x1f | 0x7f => {
                                self.out.extend_from_slice(b"\\u00");
                                self.out.extend_from_slice(&hex(byte));
                            }
                            byte => self.out.push(byte),
                        }
                    }
                    if !chunk.invalid().is_empty() {
                        self.out.extend_from_slice("\u{fffd}".as_bytes());
                    }
                }
            }
        }
    }
}

impl fmt::Write for Value<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.escaped(text.as_bytes());
        Ok(())
    }
}

/// Of a fixed length, as ids of traces are written.
pub(super) struct Hex<T>(pub(super) T);

impl<T: fmt::LowerHex> fmt::Display for Hex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = 2 * size_of::<T>();
        write!(f, "{:0digits$x}", self.0)
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

fn basic_user(authorization: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, credentials) = authorization.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = BASE64_STANDARD.decode(credentials.trim_ascii()).ok()?;
    user.truncate(user.iter().position(|&byte| byte == b':')?);
    Some(user)
}

/// None where clients are not asked for certificates.
fn client(entry: &Entry) -> Option<&ClientCertificate> {
    entry.secured.as_ref()?.client.as_deref()
}

fn holder(entry: &Entry) -> Option<&Holder> {
    client(entry)?.holder.as_ref()
}

#[cfg(test)]
mod tests;
