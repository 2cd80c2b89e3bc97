//! A proxy process under test, with the test as its supervisor.

use paster::router::access_log::AccessLog;
use paster::router::limits::ClientLimits;
use paster::router::message::{
    App, FromProxy, Handover, Hello, ListenerInfo, Route, RouteNode, Serving, Table, ToProxy,
    Worker, WorkerAddress,
};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Nothing in these tests takes so long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Heard {
    messages: Mutex<Vec<FromProxy>>,
    more: Condvar,
}

pub(crate) struct Front {
    child: Child,
    control: Option<UnixStream>,
    heard: Arc<Heard>,
    pub(crate) address: SocketAddr,
    version: u64,
}

impl Front {
    /// Starts a proxy that serves `table`; returns when it is ready.
    pub(crate) fn start(table: Table) -> Self {
        Self::launch(table, AccessLog::Off, None)
    }

    pub(crate) fn with_log(table: Table, access_log: AccessLog) -> Self {
        Self::launch(table, access_log, None)
    }

    /// Its temporary files belong into `directory`.
    pub(crate) fn with_temporary(table: Table, directory: &Path) -> Self {
        Self::launch(table, AccessLog::Off, Some(directory))
    }

    fn launch(table: Table, access_log: AccessLog, temporary: Option<&Path>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A shell moves the two descriptors to where the proxy expects them.
        let mut command = Command::new("sh");
        if let Some(directory) = temporary {
            command.env("TMPDIR", directory);
        }
        let child = command
            .arg("-c")
            .arg(r#"exec "$0" proxy-process 3<&0 4<&1 </dev/null >/dev/null"#)
            .arg(env!("CARGO_BIN_EXE_paster"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        let heard = Arc::new(Heard::default());
        let reader = BufReader::new(ours.try_clone().unwrap());
        let also = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in reader.lines() {
                let Ok(line) = line else { return };
                let message = serde_json::from_str(&line).unwrap();
                also.messages.lock().unwrap().push(message);
                also.more.notify_all();
            }
        });
        let version = table.version;
        let mut front = Self {
            child,
            control: Some(ours),
            heard,
            address,
            version,
        };
        front.send(&ToProxy::Hello(Hello {
            listeners: vec![ListenerInfo {
                greeting: Default::default(),
                address: address.to_string(),
                scheme: "http".into(),
                server_name: "127.0.0.1".into(),
                server_port: address.port(),
            }],
            run_as: None,
            access_log,
            directories: Default::default(),
        }));
        front.send(&ToProxy::Table(table));
        front.wait_for("ready", |message| *message == FromProxy::Ready);
        front
    }

    pub(crate) fn send(&mut self, message: &ToProxy) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        self.control.as_mut().unwrap().write_all(&line).unwrap();
    }

    /// Replaces the table; returns when it is in force.
    pub(crate) fn apply(&mut self, mut table: Table) {
        self.version += 1;
        let version = self.version;
        table.version = version;
        self.send(&ToProxy::Table(table));
        self.wait_for("the table", |message| {
            *message == FromProxy::Applied { version }
        });
    }

    /// Waits until the proxy has said something, now or before.
    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&FromProxy) -> bool) -> FromProxy {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = self.heard.messages.lock().unwrap();
        loop {
            if let Some(found) = messages.iter().find(|message| is_it(message)) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; heard {messages:?}"
            );
            messages = self.heard.more.wait_timeout(messages, left).unwrap().0;
        }
    }

    pub(crate) fn has_said(&self, is_it: impl Fn(&FromProxy) -> bool) -> bool {
        self.heard.messages.lock().unwrap().iter().any(is_it)
    }

    /// What was said before counts no more.
    pub(crate) fn forget(&self) {
        self.heard.messages.lock().unwrap().clear();
    }

    /// The supervisor dies.
    pub(crate) fn hang_up(&mut self) {
        let control = self.control.take().unwrap();
        control.shutdown(std::net::Shutdown::Both).unwrap();
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the proxy did not exit");
            std::thread::yield_now();
        }
    }

    /// How many are open.
    pub(crate) fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.count()
    }

    /// Open files that have no name (any more).
    pub(crate) fn nameless_files(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = descriptors
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().ends_with(" (deleted)"))
            .count()
    }

    /// Peak resident memory in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn worker(id: u64, path: &Path) -> Worker {
    Worker {
        id,
        slot: 0,
        generation: 1,
        pid: 4000,
        address: WorkerAddress::Unix(path.to_owned()),
        max_in_flight: 100,
    }
}

pub(crate) fn app(workers: Vec<Worker>) -> App {
    App {
        serving: Serving::Up,
        maintenance: None,
        handover: Handover::Strip,
        workers,
        queue: 100,
        queue_timeout_ms: 10_000,
        request_timeout_ms: None,
        buffering: false,
        max_body: None,
        answers: paster::router::answers::Answers::default(),
        traced: None,
        unlogged: false,
        scales: false,
        last_death: None,
        suspects: Vec::new(),
        sendfile: Vec::new(),
        files: None,
    }
}

/// A site with `app` at its root.
pub(crate) fn site(app: App) -> Table {
    Table {
        version: 1,
        root: RouteNode::App { app: "app".into() },
        apps: [("app".to_owned(), app)].into(),
        debug: false,
        trusted_proxy: Vec::new(),
        limits: ClientLimits::default(),
        redirects: Vec::new(),
        answers: Box::default(),
        pages: Default::default(),
    }
}

/// A site with `app` at a prefix and nothing else.
pub(crate) fn mounted(prefix: &str, app: App) -> Table {
    let to = RouteNode::App { app: "app".into() };
    let route = Route {
        domain: None,
        prefix: prefix.into(),
        to,
    };
    let root = RouteNode::Map {
        routes: vec![route],
        not_found: None,
        shift: true,
    };
    Table { root, ..site(app) }
}
