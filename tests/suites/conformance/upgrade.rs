//! Upgrades (RFC 9110 section 7.8): a tunnel only when it was asked for and agreed to, and only for WebSocket.

use super::case::{After, Case, Step, passes};
use crate::harness::cases::backend::Reply;

const ASK: &[u8] = b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const AGREED: Reply = Reply::Last(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello from the tunnel");

pub(super) const CASES: &[Case] = &[
    passes("websocket", "9110 7.8", ASK)
        .replied(AGREED)
        .answered(&[101])
        .then(After::Closed)
        .arrives(&["upgrade: websocket", "sec-websocket-key: dghlihnhbxbszsbub25jzq=="])
        .says(&["sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", "hello from the tunnel"]),
    passes("websocket-early-frames", "6455 4.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x05hello")
        .replied(AGREED)
        .answered(&[101])
        .then(After::Closed)
        .says(&["hello from the tunnel"]),
    passes("websocket-refused", "9110 7.8", ASK).answered(&[403])
        .replied(Reply::Bytes(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")),
    passes("websocket-ignored", "9110 7.8", ASK),
    passes("websocket-ignored-and-next", "9110 7.8", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2),
    passes("upgrade-to-h2c", "9113 3.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        .never_arrives(&["upgrade: h2c", "http2-settings"]),
    passes("upgrade-to-h2c-agreed", "9110 7.8", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .replied(Reply::Last(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\ncanary"))
        .answered(&[502])
        .never_says(&["canary"]),
    passes("upgrade-not-nominated", "9110 7.8", b"GET /{id} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").never_arrives(&["upgrade: "]),
    passes("upgrade-by-post", "6455 4.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nabc").never_arrives(&["upgrade: "]),
    // Nobody knows whether a tunnel begins behind the body or in it.
    passes("websocket-with-a-body", "9110 7.8", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nabc")
        .arrives(&["\r\n\r\nabc"])
        .never_arrives(&["upgrade: "])
        .or(&[&[400]]),
    passes("websocket-with-an-empty-body", "9110 7.8", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n")
        .replied(AGREED)
        .answered(&[101])
        .then(After::Closed)
        .arrives(&["upgrade: websocket"])
        .says(&["hello from the tunnel"]),
    passes("upgrade-list", "9110 7.8", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n").never_arrives(&["upgrade: h2c"]),
    passes("agreed-to-something-else", "9110 15.2.2", ASK)
        .replied(Reply::Last(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\ncanary"))
        .answered(&[502])
        .then(After::Either)
        .never_says(&["canary"]),
    passes("frames-as-a-request", "9110 7.8", b"")
        .steps(&[
            Step::Send(b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n"),
        ])
        .replied(AGREED)
        .answered(&[101])
        .then(After::Closed)
        .never_arrives(&["canary"]),
];
