//! What a client still sends of a request that was answered by us without it: a redirection, a 404, a refusal.
//!
//! hyper closes a connection as soon as it has answered a request whose body nobody reads, and the client, which was not told, sends
//! its next request in vain. So the rest is read and thrown away, or the answer says that the connection ends.

use super::arriving::Arriving;
use super::body::{ClientBody, ResponseBody, SharedAccount};
use super::connection::ConnectionState;
use super::limits;
use http::header::CONNECTION;
use http::{HeaderValue, Response};
use http_body::Body;
use std::sync::Arc;

/// Settles what becomes of a request body that `response` leaves unread.
pub(super) fn settle(
    body: &SharedAccount,
    state: &Arc<ConnectionState>,
    response: &mut Response<ResponseBody>,
) {
    // A stream of HTTP/2 ends alone, and by itself.
    if state.is_multiplexed() || response.headers().contains_key(CONNECTION) {
        return;
    }
    match body.take_rest().filter(is_short) {
        // Whoever waits for 100 Continue will send nothing now (RFC 9110 section 10.1.1).
        Some(rest) if !body.is_waited_for() => {
            let rest = ClientBody::new(rest, Arc::clone(state));
            tokio::task::spawn_local(rest.discard(limits::LINGER_BYTES as u64));
        }
        _ => {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}

/// No more is announced than is worth a connection.
fn is_short(rest: &Arriving) -> bool {
    rest.size_hint().lower() <= limits::LINGER_BYTES as u64
}
