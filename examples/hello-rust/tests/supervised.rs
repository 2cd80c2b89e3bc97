//! Plays the supervisor for the program, as docs/worker-contract.md says: what it passes, what it waits for, and how
//! the worker ends.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// Puts the socket on descriptor 3 and the configuration on 4, by way of copies with high numbers, and leaves
/// `LISTEN_PID` to be the pid after `exec`: a shell can do all this, so that the test needs no code between fork and exec.
const HAND_OVER: &str = r#"exec {s}<&"$SOCKET" {c}<&"$CONFIG"; exec 3<&"$s" 4<&"$c" {s}<&- {c}<&-
export LISTEN_PID=$$; exec "$0""#;

struct Supervised {
    child: Child,
    notifications: UnixDatagram,
    socket: PathBuf,
    _listener: UnixListener,
    _directory: TempDir,
}

impl Supervised {
    fn start(local_conf: serde_json::Value) -> Supervised {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let notify = directory.path().join("notify");
        let notifications = UnixDatagram::bind(&notify).expect("a socket");
        notifications
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout");

        let mut config = tempfile::tempfile().expect("a file");
        let document = serde_json::json!({
            "contract": 1, "app": "hello", "slot": 2, "generation": 3, "global_conf": {"debug": "true"},
            "local_conf": local_conf, "mounts": ["/hello"], "threads": 4, "debug": true,
            "config_file": "/srv/site.ini", "added_later": [1],
        });
        write!(config, "{document}").expect("written");
        config.rewind().expect("at the start");

        let (socket_fd, config_fd) = (inheritable(&listener), inheritable(&config));
        let child = Command::new("bash")
            .args(["-c", HAND_OVER, env!("CARGO_BIN_EXE_hello-rust")])
            .env("SOCKET", socket_fd.as_raw_fd().to_string())
            .env("CONFIG", config_fd.as_raw_fd().to_string())
            .envs([
                ("LISTEN_FDS", "1"),
                ("LISTEN_FDNAMES", "http"),
                ("PASTE_CONFIG_FD", "4"),
            ])
            .env("NOTIFY_SOCKET", &notify)
            .env("WATCHDOG_USEC", "20000")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash is there");
        Supervised {
            child,
            notifications,
            socket,
            _listener: listener,
            _directory: directory,
        }
    }

    fn next_message(&self) -> String {
        let mut buffer = [0; 512];
        let length = self
            .notifications
            .recv(&mut buffer)
            .expect("a message in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn wait_for(&self, wanted: &str) {
        let until = Instant::now() + DEADLINE;
        while self.next_message() != wanted {
            assert!(Instant::now() < until, "{wanted} did not come");
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("the worker listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream
    }

    /// A request whose body has begun: it is in flight until the caller writes the other five bytes.
    fn write_half_an_entry(&self) -> UnixStream {
        let mut writing = self.connect();
        let head =
            b"POST /entries HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n";
        writing.write_all(head).expect("sent");
        let mut go_on = [0; 25];
        writing
            .read_exact(&mut go_on)
            .expect("the worker reads the body");
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        writing.write_all(b"entry").expect("sent");
        writing
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("sent");
    }

    fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "the worker did not end");
            std::thread::yield_now();
        }
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut log)
            .expect("text");
        log
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Gone already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy that survives `exec`.
fn inheritable(fd: &impl AsFd) -> OwnedFd {
    let copy = dup(fd).expect("a free descriptor");
    fcntl(&copy, FcntlArg::F_SETFD(FdFlag::empty())).expect("an open descriptor");
    copy
}

/// Reads one response with `Content-Length`.
fn response(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(
            stream.read(&mut byte).expect("readable"),
            1,
            "closed after {}",
            String::from_utf8_lossy(&text)
        );
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).expect("text");
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).expect("the whole body");
    head + &String::from_utf8(body).expect("text")
}

#[test]
fn a_worker_becomes_ready_serves_and_drains() {
    let mut worker =
        Supervised::start(serde_json::json!({"greeting": "Hi <you>", "max_items": "1"}));
    assert_eq!(worker.next_message(), "READY=1");

    let mut idle = worker.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-script-name: /hello\r\n\r\n")
        .expect("sent");
    let page = response(&mut idle);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("<h1>Hi &lt;you&gt;</h1>"), "{page}");
    assert!(
        page.contains("slot 2, generation 3") && page.contains("action=\"/hello/entries\""),
        "{page}"
    );
    worker.wait_for("WATCHDOG=1");

    let mut writing = worker.write_half_an_entry();

    worker.terminate();
    worker.wait_for("STOPPING=1");
    assert_eq!(
        idle.read(&mut [0]).expect("readable"),
        0,
        "an idle connection is closed by the drain"
    );
    worker.wait_for("WATCHDOG=1");
    assert!(
        worker.child.try_wait().expect("a child").is_none(),
        "the request in flight is waited for"
    );

    writing.write_all(b"=last").expect("sent");
    assert!(response(&mut writing).starts_with("HTTP/1.1 303 See Other\r\n"));
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let mut worker = Supervised::start(serde_json::json!({"greeting": "Hi"}));
    worker.wait_for("READY=1");
    let _writing = worker.write_half_an_entry();
    worker.terminate();
    worker.wait_for("STOPPING=1");
    worker.terminate();
    assert_eq!(worker.wait().code(), Some(1));
    let log = worker.log();
    assert!(
        log.contains("stopped by a second signal while 1 connections were open"),
        "{log}"
    );
}

#[test]
fn a_wrong_option_is_told_and_ends_with_the_status_for_configuration() {
    let mut worker = Supervised::start(serde_json::json!({"greeting": "Hi", "max_items": "many"}));
    let status = worker.next_message();
    assert!(
        status.starts_with("STATUS=configuration: option `max_items`: expected a whole number"),
        "{status}"
    );
    assert_eq!(worker.wait().code(), Some(78));
    let log = worker.log();
    assert!(
        log.starts_with(
            "error: app `hello`: option `max_items`: expected a whole number from 0 to"
        ),
        "{log}"
    );
    assert!(log.contains("found `many` (in /srv/site.ini)"), "{log}");
}

#[test]
fn an_unknown_option_is_told_with_those_that_exist() {
    let mut worker = Supervised::start(serde_json::json!({"greeting": "Hi", "max_item": "5"}));
    assert_eq!(worker.wait().code(), Some(78));
    let log = worker.log();
    assert!(
        log.contains("option `max_item` is not known") && log.contains("`max_items`"),
        "{log}"
    );
}

#[test]
fn without_paster_the_program_says_how_to_run_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello-rust"))
        .env_clear()
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.starts_with("error: there is no socket to serve on"),
        "{log}"
    );
    assert!(log.contains("--listen 127.0.0.1:8000"), "{log}");
}

#[test]
fn help_is_no_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello-rust"))
        .arg("--help")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("--listen HOST:PORT"));
}
