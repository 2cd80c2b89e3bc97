//! Lines as messages to the local syslog daemon, in the form that syslog(3) sends them and every daemon reads
//! (`<PRI>Mon dd hh:mm:ss tag[pid]: text`, local time).

use super::datagram::Datagrams;
use super::priority::{Message, Priority};
use chrono::{DateTime, Local};
use std::io::{self, Write};

/// `LOG_DAEMON`.
const FACILITY: u8 = 3;
/// A longer text is sent in pieces: daemons cut messages that are longer than 8 KiB.
const LONGEST: usize = 8 * 1024 - 256;

/// Sends one line.
///
/// # Errors
/// The daemon does not take it.
pub(super) fn send(socket: &mut Datagrams, message: &Message) -> io::Result<()> {
    let head = head(message);
    if message.text.is_empty() {
        return socket.send(&head);
    }
    for piece in message.text.chunks(LONGEST) {
        socket.send(&[&head, piece].concat())?;
    }
    Ok(())
}

fn head(message: &Message) -> Vec<u8> {
    let Priority(severity) = message.priority;
    let time = i64::try_from(message.time)
        .ok()
        .and_then(DateTime::from_timestamp_micros);
    let time = time
        .unwrap_or_default()
        .with_timezone(&Local)
        .format("%b %e %H:%M:%S");
    let mut head = Vec::with_capacity(64);
    // Writing to memory does not fail.
    let _ = write!(head, "<{}>{time} {}", FACILITY * 8 + severity, message.app);
    if let Some(pid) = message.source.and_then(|source| source.pid()) {
        let _ = write!(head, "[{pid}]");
    }
    head.extend_from_slice(b": ");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::source::{Source, Stream};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_line_is_a_message_and_a_long_one_is_several() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let daemon = UnixDatagram::bind(&path).expect("bound");
        let mut socket = Datagrams::new(&path);
        let source = Source::new(1, 0, 1, Some(77));
        let mut send_line = |text: &[u8]| {
            let message = Message {
                app: "blog",
                stream: Stream::Stdout,
                source: Some(&source),
                time: 1_763_721_060_000_000,
                priority: Priority(6),
                text,
                dropped: None,
            };
            send(&mut socket, &message).expect("sent");
        };
        let receive = || {
            let mut message = vec![0; 16 * 1024];
            let length = daemon.recv(&mut message).expect("received");
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        send_line(b"hello");
        let message = receive();
        let (head, text) = message.split_once(" blog[77]: ").expect("a tag");
        assert!(head.starts_with("<30>Nov 21 "), "{head}");
        assert_eq!(text, "hello");
        send_line(&vec![b'x'; LONGEST + 10]);
        assert_eq!(receive().len() - receive().len(), LONGEST - 10);
    }
}
