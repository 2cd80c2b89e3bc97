//! Messages to the supervisor, as sd_notify(3) sends them.

use crate::error::Error;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A supervisor that does not read its socket for so long is not waited for.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Speaks to the supervisor; clones speak for the same worker. Without a supervisor nothing is sent.
#[derive(Debug, Clone)]
pub struct Notifier {
    channel: Option<Arc<Channel>>,
}

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    supervisor: SocketAddr,
    ready: AtomicBool,
}

impl Notifier {
    /// `address` is the value of `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub(crate) fn new(address: Option<&OsStr>) -> Result<Notifier, Error> {
        let channel = address
            .map(Channel::open)
            .transpose()
            .map_err(Error::Notify)?;
        Ok(Notifier {
            channel: channel.map(Arc::new),
        })
    }

    /// Says what the worker is doing: shown by `paster status`, and as the failing step when a start fails. One line;
    /// line breaks become spaces.
    pub fn status(&self, text: &str) {
        self.try_send(&format!("STATUS={}", text.replace(['\n', '\r'], " ")));
    }

    /// Says that the worker can serve. `serve` does this; say it earlier only where something else serves. The second
    /// time nothing is sent.
    ///
    /// # Errors
    /// When the supervisor cannot be reached: it would wait for this worker until `start_timeout`.
    pub fn ready(&self) -> Result<(), Error> {
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        if channel.ready.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        channel.send("READY=1").map_err(|error| {
            // It has to be said again.
            channel.ready.store(false, Ordering::Release);
            Error::Notify(error)
        })
    }

    /// Asks for `more` time from now, while starting or stopping; after it the supervisor's own limit counts again.
    pub fn extend_timeout(&self, more: Duration) {
        self.try_send(&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()));
    }

    pub(crate) fn stopping(&self) {
        self.try_send("STOPPING=1");
    }

    pub(crate) fn alive(&self) {
        self.try_send("WATCHDOG=1");
    }

    /// What is only good to know is no reason to fail.
    fn try_send(&self, message: &str) {
        if let Some(channel) = &self.channel {
            let _ = channel.send(message);
        }
    }
}

impl Channel {
    fn open(address: &OsStr) -> io::Result<Channel> {
        let supervisor = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Channel {
            socket,
            supervisor,
            ready: AtomicBool::new(false),
        })
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.socket
            .send_to_addr(message.as_bytes(), &self.supervisor)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(supervisor: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = supervisor
            .recv(&mut buffer)
            .expect("a message within the timeout");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn messages_reach_the_supervisor_and_readiness_is_said_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).expect("a socket");
        supervisor
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");

        let notifier = Notifier::new(Some(path.as_os_str())).expect("a notifier");
        notifier.status("opening\nthe shop");
        notifier.ready().expect("sent");
        notifier.clone().ready().expect("nothing to send");
        notifier.extend_timeout(Duration::from_secs(3));
        assert_eq!(received(&supervisor), "STATUS=opening the shop");
        assert_eq!(received(&supervisor), "READY=1");
        assert_eq!(received(&supervisor), "EXTEND_TIMEOUT_USEC=3000000");
    }

    #[test]
    fn readiness_that_was_not_heard_is_said_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let notifier = Notifier::new(Some(path.as_os_str())).expect("a notifier");
        assert!(notifier.ready().is_err());
        let supervisor = UnixDatagram::bind(&path).expect("a socket");
        supervisor
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        notifier.ready().expect("sent");
        assert_eq!(received(&supervisor), "READY=1");
    }

    #[test]
    fn abstract_sockets_are_reached() {
        let name = format!("paster-worker-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).expect("a name");
        let supervisor = UnixDatagram::bind_addr(&address).expect("a socket");
        supervisor
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        Notifier::new(Some(OsStr::new(&format!("@{name}"))))
            .expect("a notifier")
            .stopping();
        assert_eq!(received(&supervisor), "STOPPING=1");
    }

    #[test]
    fn readiness_that_nobody_hears_is_an_error_and_without_a_supervisor_none() {
        let gone = Notifier::new(Some(OsStr::new("/nonexistent/notify"))).expect("a notifier");
        assert!(matches!(gone.ready(), Err(Error::Notify(_))));
        Notifier::new(None)
            .expect("a notifier")
            .ready()
            .expect("nobody to tell");
    }
}
