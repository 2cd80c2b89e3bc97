//! What comes before the first request on some listeners: a header of the PROXY protocol, a TLS handshake.
//!
//! Connections to listeners without any of it do not pass here.

use super::connection::Phase;
use super::http2;
use super::limits;
use super::proxy_header::{self, Source};
use super::serve::{Arrival, serve};
use super::socket::Socket;
use super::tls::{HTTP_2, Secured};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// One client connection, from its first byte to its end.
pub(super) async fn greet(mut arrival: Arrival, mut socket: Socket) {
    if arrival.info.greeting.proxy_protocol {
        match introduce(&arrival, &mut socket).await {
            Ok(Source::Client(client)) => arrival.peer = Some(client),
            Ok(Source::Peer) => {}
            Err(error) => {
                let peer = arrival.peer;
                tracing::debug!(?peer, %error, "a connection was not introduced, and is closed");
                return;
            }
        }
        arrival.open.state.enter(Phase::Fresh);
    }
    let Some(server) = &arrival.info.greeting.tls else {
        return serve(arrival, socket).await;
    };
    match shake_hands(&arrival, server, socket).await {
        Ok((stream, secured)) => {
            // Its time for a request begins now.
            arrival.open.state.enter(Phase::Fresh);
            arrival.secured = Some(secured);
            if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
                http2::serve(arrival, stream, Vec::new()).await;
            } else {
                serve(arrival, stream).await;
            }
        }
        Err(error) => {
            // Scanners, health checks, clients that distrust us: no news for anybody.
            let failed = &arrival.thread.shared.handshakes_failed;
            failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(peer = ?arrival.peer, %error, "no TLS connection came about");
        }
    }
}

/// For whom the connection is, in the words of a peer that we trust.
async fn introduce(arrival: &Arrival, socket: &mut Socket) -> io::Result<Source> {
    if !arrival.thread.table().trust.covers(arrival.peer) {
        return Err(io::Error::other("the peer is not in `trusted_proxy`"));
    }
    timeout(limits::PROXY_HEADER, proxy_header::receive(socket)).await?
}

/// For a client that was sent to `http://` where `https://` is meant: it would make nothing of an alert of TLS.
const IN_THE_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 58\r\n\
    Connection: close\r\n\
    \r\n\
    400 Bad Request\n\n\
    this port speaks TLS: ask it by https://\n";

/// Methods are written in capital letters; no record of TLS begins with one (RFC 8446 section 5.1).
async fn speaks_in_the_clear(socket: &Socket) -> io::Result<bool> {
    let mut first = [0];
    let there = socket.peek(&mut first).await?;
    Ok(there == 1 && first[0].is_ascii_uppercase())
}

/// Reads on for a while, so that the answer is not lost to a reset.
async fn refuse_in_the_clear(mut socket: Socket) -> io::Result<()> {
    socket.write_all(IN_THE_CLEAR).await?;
    socket.shutdown().await?;
    let mut rest = socket.take(limits::LINGER_BYTES as u64);
    timeout(limits::LINGER, copy(&mut rest, &mut sink())).await??;
    Ok(())
}

async fn shake_hands(
    arrival: &Arrival,
    server: &str,
    socket: Socket,
) -> io::Result<(TlsStream<Socket>, Secured)> {
    let server = arrival.thread.shared.tls.get(server);
    let server = server.ok_or_else(|| io::Error::other("there is no certificate"))?;
    let accepting = async {
        if speaks_in_the_clear(&socket).await? {
            refuse_in_the_clear(socket).await?;
            return Err(io::Error::other("the client speaks in the clear"));
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&server.config));
        acceptor.accept(socket).await
    };
    let stream = timeout(limits::HANDSHAKE, accepting).await??;
    let secured = Secured::of(stream.get_ref().1, &server)?;
    Ok((stream, secured))
}
