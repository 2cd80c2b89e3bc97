//! A worker's answer becomes the client's.

use super::arriving::ClientEnd;
use super::asked::Asked;
use super::body::{ResponseBody, Trailers};
use super::compress;
use super::error::ProxyError;
use super::exchange::{Answer, Finish};
use super::hop::{Peer, announced_trailers, strip_response};
use super::leftover;
use super::record::Record;
use super::request::Conversation;
use super::snapshot::App;
use super::upgrade;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};
use std::rc::Rc;
use std::sync::Arc;

/// What the client would have its answer like.
pub(super) struct Wishes {
    pub(super) on_upgrade: Option<ClientEnd>,
    pub(super) trailers: Trailers,
    /// None: nobody has asked, for nothing is compressed.
    pub(super) codings: Option<compress::Client>,
}

/// Passes on what a worker has answered, or begins a tunnel.
///
/// # Errors
/// The answer breaks the rules.
pub(super) fn accept_answer(
    conversation: &Conversation,
    app: &App,
    answer: Answer,
    wishes: Wishes,
    asked: Asked,
    record: &mut Record,
) -> Result<Response<ResponseBody>, ProxyError> {
    let Answer {
        mut head,
        seen,
        body,
        lease,
    } = answer;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(on_upgrade) = wishes.on_upgrade.filter(|_| upgrade::agreed(&head)) else {
            return Err(ProxyError::BadAnswer);
        };
        let answer = Answer {
            head,
            seen,
            body,
            lease,
        };
        let record = record.take();
        return Ok(upgrade::tunnel(
            conversation,
            on_upgrade,
            answer,
            asked,
            record,
        ));
    }
    if seen.transfer_encoding && !is_chunked(&head.headers) {
        return Err(ProxyError::BadAnswer);
    }
    let announced = match wishes.trailers {
        Trailers::Pass => announced_trailers(&head.headers, Peer::Trusted),
        Trailers::Drop => None,
    };
    let is_given_up = leftover::is_given_up(record, &body);
    strip_response(&mut head.headers, seen);
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6; hyper minds it only where there could be a body.
        head.headers.remove(CONTENT_LENGTH);
    }
    if let Some(announced) = announced {
        head.headers.insert(TRAILER, announced);
    }
    app.answers.headers.apply(&mut head.headers);
    if is_given_up {
        leftover::announce_end(&conversation.state, &mut head.headers);
    }
    head.version = Version::HTTP_11;
    let encoder = wishes.codings.and_then(|client| {
        compress::begin(&app.answers.compress, &client, &asked.method, &mut head)
    });
    record.fields(&head.headers);
    let finish = Finish {
        thread: Rc::clone(&conversation.thread),
        state: Arc::clone(&conversation.state),
        lease: Some(lease),
        asked,
        record: record.take(),
    };
    let body = match encoder {
        None => ResponseBody::worker(body, finish),
        Some(encoder) => ResponseBody::compressed(body, finish, encoder),
    };
    Ok(Response::from_parts(head, body))
}

/// Whether that is the only transfer coding.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}
