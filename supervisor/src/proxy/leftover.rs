//! What a client still sends of a request that was answered without it: by us, with a redirection, a 404, a refusal, or by a worker that
//! takes no more of it.
//!
//! hyper closes a connection as soon as it has answered a request whose body nobody reads, and the client, which was not told, sends
//! its next request in vain. So the rest is read and thrown away, or the answer says that the connection ends.

use super::arriving::Arriving;
use super::body::{ClientBody, ResponseBody, SharedAccount};
use super::connection::ConnectionState;
use super::hop::has_connection_option;
use super::limits;
use super::record::Record;
use super::seen::Seen;
use super::worker::AnswerBody;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::Body;
use std::sync::Arc;

/// Settles what becomes of a request body that `response` leaves unread. `is_last`: its client has no other request.
pub(super) fn settle(
    body: &SharedAccount,
    is_last: bool,
    state: &Arc<ConnectionState>,
    response: &mut Response<ResponseBody>,
) {
    if response.headers().contains_key(CONNECTION) {
        return;
    }
    match body.take_rest().filter(is_short) {
        // Whoever waits for 100 Continue will send nothing now (RFC 9110 section 10.1.1).
        Some(rest) if !is_last && !body.is_waited_for() => {
            let rest = ClientBody::new(rest, Arc::clone(state));
            tokio::task::spawn_local(rest.discard(limits::LINGER_BYTES as u64));
        }
        _ => announce_end(state, response.headers_mut()),
    }
}

/// Whether a worker that has answered takes no more of the request, which has not come as a whole.
pub(super) fn is_given_up(record: &Record, answer: &AnswerBody) -> bool {
    !answer.keeps_alive() && record.unread().is_some()
}

/// Says that the connection ends with this answer. A stream of HTTP/2 ends alone, and by itself.
pub(super) fn announce_end(state: &ConnectionState, headers: &mut HeaderMap) {
    if !state.is_multiplexed() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The client wants the connection to end with the answer.
pub(super) fn is_last(version: Version, fields: &HeaderMap, seen: Seen) -> bool {
    version == Version::HTTP_10 || seen.connection && has_connection_option(fields, b"close")
}

/// No more is announced than is worth a connection.
fn is_short(rest: &Arriving) -> bool {
    rest.size_hint().lower() <= limits::LINGER_BYTES as u64
}
