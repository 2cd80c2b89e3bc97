//! The socket that requests come in on.

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncWrite};

/// A listening stream socket, for programs that serve it by themselves.
#[derive(Debug)]
pub enum Listener {
    /// What paster passes.
    Unix(UnixListener),
    /// Where the program runs alone, or paster was asked for a `{port}`.
    Tcp(TcpListener),
}

impl Listener {
    /// Accepts a passed descriptor if it is a listening stream socket.
    pub(crate) fn inherited(socket: OwnedFd) -> Result<Listener, String> {
        let describe = |errno: nix::Error| errno.desc().to_owned();
        let kind = getsockopt(&socket, sockopt::SockType).map_err(describe)?;
        if kind != SockType::Stream
            || !getsockopt(&socket, sockopt::AcceptConn).map_err(describe)?
        {
            return Err("it is not a listening stream socket".to_owned());
        }
        let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(describe)?;
        match address.family() {
            Some(AddressFamily::Unix) => Ok(Listener::Unix(socket.into())),
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Ok(Listener::Tcp(socket.into())),
            _ => Err("it is neither a unix socket nor a TCP socket".to_owned()),
        }
    }

    /// Listens on `HOST:PORT` or `unix:PATH`.
    pub(crate) fn bind(address: &str) -> io::Result<Listener> {
        match address.strip_prefix("unix:") {
            Some(path) => bind_unix(Path::new(path)).map(Listener::Unix),
            None => TcpListener::bind(address).map(Listener::Tcp),
        }
    }

    /// Where it listens, for people.
    pub(crate) fn address(&self) -> String {
        match self {
            Listener::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or_else(
                    || "a unix socket".to_owned(),
                    |path| format!("unix:{}", path.display()),
                )
            }
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(_) => "a TCP socket".to_owned(),
            },
        }
    }
}

/// A socket file that nobody listens on any more is replaced, as a crash leaves one behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

fn is_abandoned(path: &Path) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A listener that the serving loop accepts from.
pub(crate) trait Accept {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

impl Accept for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = self.accept().await?;
        // Small writes must not wait for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_that_a_crash_left_is_replaced_but_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        drop(UnixListener::bind(&path).expect("a socket"));
        let live = bind_unix(&path).expect("the file was abandoned");
        assert_eq!(
            bind_unix(&path).expect_err("in use").kind(),
            io::ErrorKind::AddrInUse
        );
        drop(live);
    }

    #[test]
    fn a_file_in_the_way_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s");
        std::fs::write(&path, "precious").expect("a file");
        assert!(bind_unix(&path).is_err());
        assert_eq!(
            std::fs::read_to_string(&path).expect("still there"),
            "precious"
        );
    }

    #[test]
    fn only_listening_stream_sockets_are_accepted() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(
            Listener::inherited(one.into()).expect_err("not listening"),
            "it is not a listening stream socket"
        );
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a socket");
        assert!(matches!(
            Listener::inherited(tcp.into()),
            Ok(Listener::Tcp(_))
        ));
        let file = tempfile::tempfile().expect("a file");
        assert!(Listener::inherited(file.into()).is_err());
    }
}
