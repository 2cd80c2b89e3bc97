//! Limits that are not configured. `docs/proxy.md` lists them with the status that each leads to.

use std::time::Duration;

/// Request threads; more than this do not pay for a hop.
pub(super) const THREADS: usize = 4;
/// From accept to the end of a header of the PROXY protocol, which comes at once.
pub(super) const PROXY_HEADER: Duration = Duration::from_secs(5);
/// From there to the end of a TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Reading on after the last word, when the client may still be sending.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Bytes read in that time.
pub(super) const LINGER_BYTES: usize = 1 << 20;
/// A request that runs for so long has its client looked after.
pub(super) const PEER_CHECK: Duration = Duration::from_millis(500);
/// A connection between two requests gives back its buffers after this time.
pub(super) const REST: Duration = Duration::from_millis(500);
/// When so many have done that, the memory is given back to the system, too …
pub(super) const RESTS: usize = 500;
/// … but not more often than this, for it is soon wanted again where there is much to do.
pub(super) const TRIM_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks at all connections of a thread.
pub(super) const LOOK_AROUND: Duration = Duration::from_millis(250);
/// Idle connections live on for so long when the proxy is to stop, and get one more answer.
pub(super) const DRAIN_IDLE: Duration = Duration::from_millis(500);
/// Head of a response, what is read ahead of a body, what is held of later requests.
pub(super) const BUFFER: usize = 64 * 1024;
/// Of a request body, kept for a second try.
pub(super) const REPLAY: usize = 64 * 1024;
/// Of a request body that is kept: bytes written and read at a time.
pub(super) const SPOOL_CHUNK: usize = 64 * 1024;
/// One try to connect to a worker.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// A worker's backlog is full: wait so long and try again.
pub(super) const BACKLOG_PAUSE: Duration = Duration::from_millis(5);
/// A worker that failed gets nothing for so long, unless it answers something.
pub(super) const SUSPECT: Duration = Duration::from_millis(250);
/// A connection to a worker that nobody used for so long is closed (by us: workers never do).
pub(super) const POOL_IDLE: Duration = Duration::from_secs(30);
/// No connection to a worker is used for longer than this.
pub(super) const POOL_AGE: Duration = Duration::from_secs(300);
/// A request that could not be sent again takes no pooled connection that was idle for longer.
pub(super) const POOL_SURE: Duration = Duration::from_secs(1);
/// What an app sends besides the name of a file is read for so long, to use the connection again.
pub(super) const SENDFILE_REST: Duration = Duration::from_secs(1);
/// Without a byte in either direction of a tunnel.
pub(super) const TUNNEL_IDLE: Duration = Duration::from_secs(3600);
/// Under `debug`, how long an error page waits for the report of the death that it is about.
pub(super) const DEATH_REPORT: Duration = Duration::from_secs(1);
/// Requests at a time on an HTTP/2 connection.
pub(super) const STREAMS: u32 = 100;
/// Of request bodies, what an HTTP/2 client may send ahead of us: on a stream, on all of a connection.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// Requests that an HTTP/2 client takes back, beyond those that it waits for, before it is asked to go; with twice as
/// many it is sent away.
pub(super) const CANCELLED: u32 = 100;
/// An HTTP/2 client is asked so often whether it is still there …
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and has so long to answer.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(15);
