//! A service manager, as far as paster speaks to it: it receives what is sent to `NOTIFY_SOCKET`, descriptors included.

use super::{DEADLINE, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use paster::sys::fd::inherit;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One datagram.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Notice {
    /// The value of a line `KEY=value`.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

/// The receiving end of `NOTIFY_SOCKET`.
pub(crate) struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    notices: Mutex<Vec<Notice>>,
}

impl Manager {
    pub(crate) fn new(dir: &Path) -> Manager {
        let path = dir.join("manager");
        let socket = UnixDatagram::bind(&path).expect("a short path in our own directory");
        socket.set_nonblocking(true).expect("our own socket");
        Manager {
            socket,
            path,
            notices: Mutex::default(),
        }
    }

    /// The value for `NOTIFY_SOCKET`.
    pub(crate) fn address(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    fn receive(&self, notices: &mut Vec<Notice>) {
        loop {
            let mut buffer = [0; 4096];
            let mut space = nix::cmsg_space!([i32; 4]);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut space),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            let Ok(received) = received else {
                return; // nothing more for now
            };
            let mut descriptors = Vec::new();
            for message in received.cmsgs().expect("there was room for it") {
                if let ControlMessageOwned::ScmRights(numbers) = message {
                    let own = |number| inherit(number).expect("the kernel has just made it for us");
                    descriptors.extend(numbers.into_iter().map(own));
                }
            }
            let length = received.bytes;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            notices.push(Notice { text, descriptors });
        }
    }

    /// What has come so far, oldest first; `look` may take things away.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Vec<Notice>) -> T) -> T {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        self.receive(&mut notices);
        look(&mut notices)
    }

    /// Waits for a notice with this line and forgets it and all before it.
    #[track_caller]
    pub(crate) fn wait_for(&self, line: &str) -> Notice {
        let wanted = |notice: &Notice| notice.text.lines().any(|found| found == line);
        let found = poll(DEADLINE, || {
            self.with(|notices| {
                let index = notices.iter().position(wanted)?;
                notices.drain(..=index).next_back()
            })
        });
        found.unwrap_or_else(|_| panic!("no `{line}`; there is {:#?}", self.texts()))
    }

    /// Waits until the last status that was told contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, part: &str) {
        let last = || {
            self.with(|notices| {
                let mut told = notices.iter().rev().filter_map(|n| n.value("STATUS"));
                told.next().is_some_and(|text| text.contains(part))
            })
        };
        let found = poll(DEADLINE, || last().then_some(()));
        found.unwrap_or_else(|_| panic!("no status `{part}`; there is {:#?}", self.texts()));
    }

    /// The texts of all notices that nobody waited for.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.with(|notices| notices.iter().map(|notice| notice.text.clone()).collect())
    }
}
