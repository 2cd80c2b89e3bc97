//! The client's stream, and what its connection's state learns from each read and write.

use super::connection::{ConnectionState, Phase};
use super::direct::Next;
use super::error::ProxyError;
use super::gate::{Gate, Offer};
use super::interim::Form;
use super::limits;
use super::socket::ClientStream;
use crate::router::limits::ClientLimits;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `POLLRDHUP`: the other side has closed, at least its sending half. nix has no name for it.
const HANG_UP: PollFlags = PollFlags::from_bits_retain(0x2000);

/// The client's side of a connection.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    stream: S,
    state: Arc<ConnectionState>,
    lingered: usize,
    gate: Gate,
    /// What was read from a client that begins with HTTP/2.
    preface: Option<Vec<u8>>,
    /// hyper has refused a head by itself, which its client has not been told.
    is_unreadable: bool,
}

/// How the preface of HTTP/2 begins (RFC 9113 section 3.4), and no request of HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

impl<S: ClientStream> ClientIo<S> {
    pub(super) fn new(
        mut stream: S,
        state: Arc<ConnectionState>,
        logged: Logged,
        limits: ClientLimits,
    ) -> Self {
        state.interim.will_be_taken(Form::Bytes);
        if stream.plain().is_some() {
            state.direct.will_be_taken();
        }
        Self {
            stream,
            state,
            lingered: 0,
            gate: Gate::new(logged == Logged::Yes, limits),
            preface: None,
            is_unreadable: false,
        }
    }

    /// Waits until there may be something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(cx)
    }

    /// Whether another hyper may go on where the last one has stopped: what comes next is a head.
    pub(super) fn is_between_requests(&self) -> bool {
        self.gate.is_between_requests()
    }

    /// The stream, with what was read, of a client that speaks HTTP/2.
    pub(super) fn into_http2(self) -> Option<(S, Vec<u8>)> {
        let read = self.preface?;
        Some((self.stream, read))
    }

    /// After hyper has given up because of a head: whether another hyper may answer in its place what stands in for that.
    pub(super) fn refuse_unreadable(&mut self, error: ProxyError) -> bool {
        if self.is_unreadable {
            self.is_unreadable = false;
            self.gate.refuse_passed();
            self.refuse(error);
            return true;
        }
        false
    }

    /// Of what hyper writes, how much comes before an answer of its own to a head of which it can make nothing: `HTTP/1.1 400 Bad
    /// Request`, without a body. It writes nothing else between a head and the request.
    fn before_hypers_refusal(&self, data: &[u8]) -> Option<usize> {
        if self.state.phase() != Phase::Head {
            return None;
        }
        let start = memchr::memmem::rfind(data, b"HTTP/1.1 4")?;
        let (line, fields) = data[start..].split_at(memchr::memchr(b'\n', &data[start..])? + 1);
        let is_refusal = line.ends_with(b"\r\n")
            && fields.starts_with(b"connection: close\r\ncontent-length: 0\r\ndate: ")
            && memchr::memmem::find(fields, b"\r\n\r\n") == Some(fields.len() - 4);
        is_refusal.then_some(start)
    }

    /// hyper sees the end of a client only while it reads, and it does not read while a request body is left
    /// alone or a pipelined request is waiting. The kernel knows always.
    fn peer_is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.descriptor(), HANG_UP)];
        // Nothing else was asked for, so any event is the end (or an error, which is one too).
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|events| events > 0)
    }

    /// The client is to see an error, and not an end (RST; tcp(7), `SO_LINGER`). A unix socket knows no such thing.
    fn reset_at_the_end(&self) {
        let at_once = Some(Duration::ZERO);
        let _ = rustix::net::sockopt::set_socket_linger(self.stream.descriptor(), at_once);
    }

    /// The service that gets what stands in for the head is told why.
    fn refuse(&mut self, error: ProxyError) {
        self.state.refuse(error, self.gate.line());
    }

    /// Reads what hyper may not see yet: most of all, whether the client has gone.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [MaybeUninit::uninit(); 4096];
        while self.gate.holds() < limits::BUFFER {
            let mut buf = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.gate.hold(buf.filled());
        }
        // Whoever answers the request wakes the connection.
        Poll::Pending
    }

    /// Whether the client has gone whose request is being served; it may have sent the next one.
    fn has_left(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let left = self.poll_hold(cx)?;
        if self.gate.holds() > 0 {
            self.state.wants_next();
        }
        Ok(left.is_ready())
    }

    /// Reads into hyper's buffer, and leaves there what it may see. True at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buf)?.is_pending() {
            if self.gate.is_in_head() && self.state.take_head_is_late() {
                self.gate.refuse();
                self.refuse(ProxyError::HeadLate);
                return Poll::Ready(Ok(false));
            }
            return Poll::Pending;
        }
        let new = &buf.filled()[before..];
        if new.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if new.starts_with(PREFACE) && self.state.phase() == Phase::Fresh {
            self.preface = Some(new.to_vec());
            self.state.multiplexes();
            buf.set_filled(before);
            // Ends the conversation in HTTP/1 before it has begun.
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        self.state.was_read();
        let pass = match self.gate.filter(new) {
            Ok(pass) => pass,
            Err(error) => {
                self.refuse(error);
                0
            }
        };
        buf.set_filled(before + pass);
        Poll::Ready(Ok(pass > 0))
    }

    /// hyper flushes when it has written all that it has, so this is the place between two of its messages.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut self.stream;
        let mut outcome = Poll::Ready(Ok(0));
        while outcome.is_ready() && self.state.interim.waits() {
            self.state.interim.take_off(|bytes| {
                outcome = Pin::new(&mut *stream).poll_write(cx, bytes);
                match outcome {
                    Poll::Ready(Ok(written)) => written,
                    _ => 0,
                }
            });
            match outcome {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                _ => {}
            }
        }
        self.state.note_write(&outcome);
        if outcome.is_ready() {
            // The final answer may be waiting for this.
            self.state.wake();
        }
        outcome.map_ok(|_| ())
    }

    /// Writes what hyper has, and in their places the parts of files that it knows nothing of.
    fn poll_write_next(
        &mut self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let next = self.state.direct.next(data);
        if let (Next::Bytes, [bytes]) = (&next, data)
            && let Some(before) = self.before_hypers_refusal(bytes)
        {
            self.is_unreadable = true;
            return match before {
                0 => Poll::Ready(Ok(bytes.len())),
                _ => Pin::new(&mut self.stream).poll_write(cx, &bytes[..before]),
            };
        }
        match (next, self.stream.plain()) {
            (Next::Bytes, _) => Pin::new(&mut self.stream).poll_write_vectored(cx, data),
            (Next::Before(count), Some(socket)) => socket.poll_write_more(cx, &data[..count]),
            (Next::Part(part), Some(socket)) => {
                let sent = ready!(socket.poll_send_part(cx, &part))?;
                self.state.direct.sent(sent);
                Poll::Ready(Ok(sent))
            }
            (Next::Before(_) | Next::Part(_) | Next::Confused, _) => {
                let error = "what is to be written is not what was to be sent of a file";
                tracing::error!(
                    error,
                    "the connection of a client is closed: please report this"
                );
                Poll::Ready(Err(io::Error::other(error)))
            }
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.phase() != Phase::Lingering {
            self.state.enter(Phase::Lingering);
        }
        let mut scratch = [0; 4096];
        while self.lingered < limits::LINGER_BYTES && !self.state.closing() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether requests are logged, and so their lines kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    Yes,
    No,
}

impl<S: ClientStream> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.gate.offer(buf, this.state.progress()) {
                Offer::Given => {
                    this.state.was_read();
                    return Poll::Ready(Ok(()));
                }
                Offer::Read => {
                    if this.gate.is_in_head() {
                        // Its beginning came behind another request, and its time begins when that is answered.
                        this.state.was_read();
                    }
                    if ready!(this.poll_fill(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Offer::Hold => {
                    let held = this.poll_hold(cx);
                    if this.gate.holds() > 0 {
                        this.state.wants_next();
                    }
                    return held;
                }
                Offer::Silence => return Poll::Pending,
                Offer::Refuse(error) => this.refuse(error),
                // As if it ended here: hyper tells whoever reads the body.
                Offer::Broken => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: ClientStream> AsyncWrite for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = this.poll_write_next(cx, data);
        this.state.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes in each turn of a connection, with or without data: the place to notice what
    /// [`ConnectionState::look`] asked for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.take_check_peer() {
            if this.state.is_cut() {
                this.reset_at_the_end();
            }
            if this.peer_is_gone() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        if this.state.interim.waits() {
            ready!(this.poll_interim(cx))?;
        }
        if this.gate.waits_for_an_answer(this.state.progress()) && this.has_left(cx)? {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.preface.is_some() || this.is_unreadable {
            // It goes on in another language, or with another answer.
            return Poll::Ready(Ok(()));
        }
        this.state.is_leaving();
        if this.state.phase() != Phase::Lingering {
            this.state.set_last_line(this.gate.line());
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.state.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        this.poll_linger(cx)
    }
}
