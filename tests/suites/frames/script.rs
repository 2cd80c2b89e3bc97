//! A backend of a few lines for each test.

use crate::harness::DEADLINE;
use crate::harness::front::served;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// A connection from the proxy, of which a head has been read.
pub(super) struct Asked {
    /// Method and target.
    pub(super) line: String,
    pub(super) connection: BufReader<TcpStream>,
}

impl Asked {
    pub(super) fn say(&mut self, text: &str) -> bool {
        self.connection.get_mut().write_all(text.as_bytes()).is_ok()
    }

    /// Whether the proxy ends the connection before it sends anything.
    pub(super) fn is_given_up(&mut self) -> bool {
        matches!(self.connection.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// Calls `answer` for each request, in a thread for each connection. One connection serves until it says false.
pub(super) fn backend(answer: impl Fn(&mut Asked) -> bool + Send + Sync + 'static) -> SocketAddr {
    served(move |stream| serve(stream, &answer))
}

fn serve(stream: TcpStream, answer: &impl Fn(&mut Asked) -> bool) {
    let mut asked = Asked {
        line: String::new(),
        connection: BufReader::new(stream),
    };
    loop {
        asked.line.clear();
        if !matches!(asked.connection.read_line(&mut asked.line), Ok(1..)) {
            return;
        }
        let mut field = String::new();
        while matches!(asked.connection.read_line(&mut field), Ok(3..)) {
            field.clear();
        }
        if !answer(&mut asked) {
            return;
        }
    }
}

/// Answers `/N` with N bytes, and waits before it answers anything else for as long as the proxy does.
pub(super) fn sized() -> SocketAddr {
    backend(|asked| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        let Ok(length) = path.trim_start_matches('/').parse::<usize>() else {
            asked.is_given_up();
            return false;
        };
        asked.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        )) && asked.say(&"x".repeat(length))
    })
}

/// What a backend tells the test.
#[track_caller]
pub(super) fn told<T>(by: &Receiver<T>, what: &str) -> T {
    match by.recv_timeout(DEADLINE) {
        Ok(told) => told,
        Err(RecvTimeoutError::Timeout) => panic!("not in time: {what}"),
        Err(RecvTimeoutError::Disconnected) => panic!("the backend has ended before: {what}"),
    }
}
