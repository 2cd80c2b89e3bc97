//! Lines as entries of the systemd journal, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>, systemd.journal-fields(7)).

use super::datagram::Datagrams;
use super::priority::{Message, Priority};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// `LOG_DAEMON`.
const FACILITY: u8 = 3;

/// Sends one line.
///
/// # Errors
/// The journal does not take it.
pub(super) fn send(socket: &mut Datagrams, message: &Message) -> io::Result<()> {
    let entry = entry(message);
    match socket.send(&entry) {
        Err(error) if is_too_large(&error) => socket.send_file(sealed(&entry)?.as_fd()),
        sent => sent,
    }
}

fn is_too_large(error: &io::Error) -> bool {
    let too_large = [Errno::EMSGSIZE, Errno::ENOBUFS];
    too_large
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// An anonymous file with `entry` that nobody can change any more, as the protocol asks for.
fn sealed(entry: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("journal-entry", flags)?);
    file.write_all(entry)?;
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// The fields of a line; none of the values contains a line end, so each is `NAME=value`.
fn entry(message: &Message) -> Vec<u8> {
    let mut entry = Vec::with_capacity(message.text.len() + 256);
    let mut field = |name: &str, value: &[u8]| {
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'=');
        entry.extend_from_slice(value);
        entry.push(b'\n');
    };
    let Priority(priority) = message.priority;
    field("MESSAGE", message.text);
    field("PRIORITY", priority.to_string().as_bytes());
    field("SYSLOG_FACILITY", FACILITY.to_string().as_bytes());
    field("SYSLOG_IDENTIFIER", message.app.as_bytes());
    field("PASTER_APP", message.app.as_bytes());
    field("PASTER_STREAM", message.stream.name().as_bytes());
    if let Some(source) = message.source {
        field("PASTER_SLOT", source.slot.to_string().as_bytes());
        field(
            "PASTER_GENERATION",
            source.generation.to_string().as_bytes(),
        );
        if let Some(pid) = source.pid() {
            field("PASTER_PID", pid.to_string().as_bytes());
            field("SYSLOG_PID", pid.to_string().as_bytes());
        }
    }
    if let Some(dropped) = message.dropped {
        field("PASTER_DROPPED", dropped.to_string().as_bytes());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::source::{Source, Stream};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
    use std::io::{IoSliceMut, Read};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    fn message<'a>(text: &'a [u8], source: &'a Source) -> Message<'a> {
        Message {
            app: "blog",
            stream: Stream::Stderr,
            source: Some(source),
            time: 0,
            priority: Priority(4),
            text,
            dropped: None,
        }
    }

    #[test]
    fn a_line_is_an_entry_with_its_fields() {
        let source = Source::new(1, 2, 3, Some(4120));
        let text = String::from_utf8(entry(&message(b"oh \xc3\xa4", &source))).expect("text");
        let expected = [
            "MESSAGE=oh ä",
            "PRIORITY=4",
            "SYSLOG_FACILITY=3",
            "SYSLOG_IDENTIFIER=blog",
            "PASTER_APP=blog",
            "PASTER_STREAM=stderr",
            "PASTER_SLOT=2",
            "PASTER_GENERATION=3",
            "PASTER_PID=4120",
            "SYSLOG_PID=4120",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_too_large_for_a_datagram_comes_as_a_sealed_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("bound");
        let mut socket = Datagrams::new(&path);
        let connected = socket.connect().expect("it is there");
        setsockopt(connected, sockopt::SndBuf, &4096).expect("set");
        let (source, long) = (Source::new(1, 0, 1, None), vec![b'x'; 60_000]);
        send(&mut socket, &message(&long, &source)).expect("sent");

        let mut bytes = [0; 64];
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let mut space = nix::cmsg_space!([i32; 1]);
        let (fd, flags) = (journal.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
        let received = recvmsg::<()>(fd, &mut buffers, Some(&mut space), flags).expect("received");
        assert_eq!(received.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(descriptors)) =
            received.cmsgs().expect("complete").next()
        else {
            panic!("a descriptor")
        };
        // The descriptor itself is left open: only `unsafe` could own it.
        let by_number = format!("/proc/self/fd/{}", descriptors[0]);
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(by_number)
            .expect("open");
        assert!(file.write_all(b"x").is_err(), "it is sealed");
        let mut text = Vec::new();
        file.read_to_end(&mut text).expect("readable");
        assert_eq!(text, entry(&message(&long, &source)));
    }
}
