//! A running `paster serve`, as its users see it.

use super::http::{Connection, Response};
use super::hygiene::{self, Expected, Killed};
use super::log::Log;
use super::process;
use super::running::{Running, run};
use super::site::Site;
use super::status::Status;
use super::{DEADLINE, Load, poll};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_paster");
/// Set for paster, so that everything it starts can be found by it.
const MARK: &str = "PASTER_TEST_SITE";

/// `paster serve` with its site. Dropping it stops it and looks for what it has left behind.
pub(crate) struct Paster {
    site: Option<Site>,
    child: Child,
    /// Paster itself, where the child only waits for it.
    inner: Option<u32>,
    /// Once it has ended.
    ended: Option<ExitStatus>,
    killed: Killed,
    stdout: Log,
    stderr: Log,
    readers: Vec<JoinHandle<()>>,
    addresses: Vec<String>,
    expected: Mutex<Expected>,
}

/// A request that runs beside the test.
pub(crate) type Pending = JoinHandle<std::io::Result<Response>>;

/// How a command ended.
#[derive(Debug, Clone)]
pub(crate) struct CommandResult {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandResult {
    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> CommandResult {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

impl Paster {
    /// Starts it and waits until it has announced its addresses and answers commands.
    pub(crate) fn start(mut site: Site) -> Paster {
        site.write();
        let mut child = site
            .command(PROGRAM)
            .env(MARK, site.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("paster was built");
        let (stdout, stdout_reader) = Log::collect(child.stdout.take().expect("piped"));
        let (stderr, stderr_reader) = Log::collect(child.stderr.take().expect("piped"));
        let mut paster = Paster {
            site: Some(site),
            child,
            inner: None,
            ended: None,
            killed: Killed::No,
            stdout,
            stderr,
            readers: vec![stdout_reader, stderr_reader],
            addresses: Vec::new(),
            expected: Mutex::default(),
        };
        paster.addresses = paster.wait_for_addresses();
        if paster.site().is_process_1() {
            paster.inner = process::children(paster.child.id()).first().copied();
        }
        paster
    }

    fn wait_for_addresses(&mut self) -> Vec<String> {
        let found = poll(DEADLINE, || {
            let ended = self.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "paster serve ended: {ended:?}");
            let text = self.stderr.text();
            // The last line of the summary: by then the addresses are complete.
            text.contains("Ctrl-C stops").then(|| announced(&text))
        });
        let addresses = found.expect("paster announces its addresses");
        poll(DEADLINE, || self.try_status()).expect("paster answers commands");
        addresses
    }

    /// Runs `paster serve` for `site` to its end, for configurations that are refused.
    pub(crate) fn refused(site: &Site) -> CommandResult {
        site.write();
        let mut command = site.plain_command(PROGRAM);
        command
            .args(site.arguments())
            .current_dir(site.dir())
            .env(MARK, site.dir());
        run(command)
    }

    /// Runs `paster serve` for `site` with more arguments to its end: for what serves in the background, or not at all.
    pub(crate) fn serve_and_return(site: &mut Site, arguments: &[&str]) -> CommandResult {
        run(Paster::serving_command(site, arguments))
    }

    /// The same as a process that the caller looks after.
    pub(crate) fn serving_command(site: &mut Site, arguments: &[&str]) -> Command {
        site.write();
        let mut command = site.command(PROGRAM);
        command.args(arguments).env(MARK, site.dir());
        command
    }

    /// Any `paster` command line, in the directory of `site`.
    pub(crate) fn run(site: &Site, arguments: &[&str]) -> CommandResult {
        let mut command = site.plain_command(PROGRAM);
        command.args(arguments).current_dir(site.dir());
        run(command)
    }

    pub(crate) fn site(&self) -> &Site {
        self.site.as_ref().expect("only absent during an edit")
    }

    /// Changes the site and writes its INI file; paster is not told.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(Site) -> Site) {
        let site = edit(self.site.take().expect("only absent during an edit"));
        site.write();
        self.site = Some(site);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.inner.unwrap_or_else(|| self.child.id())
    }

    /// The first address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        let first = self.addresses.first().expect("it announced an address");
        first
            .parse()
            .unwrap_or_else(|_| panic!("`{first}` is no TCP address"))
    }

    /// All addresses, as announced at the start.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("paster accepts connections")
    }

    /// A GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        self.connect()
            .get(path)
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// A request with these fields and without a body, on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.connect()
            .request(method, path, fields, b"")
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The response body of a GET that must succeed.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status, 200, "GET {path}: {response:?}");
        response.text()
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Response {
        self.connect()
            .request("POST", path, &[], body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// A GET that runs beside the test.
    pub(crate) fn get_in_background(&self, path: &str) -> Pending {
        self.request_in_background("GET", path, b"")
    }

    /// A POST that runs beside the test.
    pub(crate) fn post_in_background(&self, path: &str, body: &[u8]) -> Pending {
        self.request_in_background("POST", path, body)
    }

    fn request_in_background(&self, method: &'static str, path: &str, body: &[u8]) -> Pending {
        let (address, path, body) = (self.address(), path.to_owned(), body.to_vec());
        std::thread::spawn(move || Connection::open(address)?.request(method, &path, &[], &body))
    }

    /// GETs of `path` at `rate` per second on `connections` connections, until the load is told to finish.
    pub(crate) fn load(&self, path: &str, connections: u32, rate: u32) -> Load {
        Load::start(self.address(), path, connections, rate)
    }

    /// Runs `paster COMMAND CONFIG --run-dir … ARGUMENTS`, where `words` is the command and its arguments.
    pub(crate) fn command(&self, words: &[&str]) -> CommandResult {
        run(self.command_line(words))
    }

    /// The same beside the test.
    pub(crate) fn command_in_background(&self, words: &[&str]) -> JoinHandle<CommandResult> {
        let command = self.command_line(words);
        std::thread::spawn(move || run(command))
    }

    /// A command that goes on, such as `logs -f`.
    pub(crate) fn follow(&self, words: &[&str]) -> Running {
        Running::start(self.command_line(words))
    }

    fn command_line(&self, words: &[&str]) -> Command {
        let (name, arguments) = words.split_first().expect("a command");
        let site = self.site();
        let mut command = Command::new(PROGRAM);
        command
            .arg(name)
            .arg(site.config())
            .arg("--run-dir")
            .arg(site.run_dir())
            .args(arguments);
        command
    }

    /// What `paster status --json` prints.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        self.try_status()
            .unwrap_or_else(|| panic!("paster gives no status"))
    }

    /// Conditions are polled by this; a process for each look would be a load.
    pub(crate) fn try_status(&self) -> Option<Status> {
        let answer = self.ask_supervisor("GET /v1/status", "")?;
        serde_json::from_str(&answer).ok()
    }

    /// Gives a command on the control socket itself, for what must be seen in the moment of the answer.
    #[track_caller]
    pub(crate) fn order(&self, command: &serde_json::Value) -> serde_json::Value {
        let answer = self
            .ask_supervisor("POST /v1/command", &command.to_string())
            .expect("paster answers commands");
        serde_json::from_str(&answer).expect("JSON")
    }

    fn ask_supervisor(&self, request: &str, body: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.site().run_dir().join("control.sock")).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let length = body.len();
        let fields = format!("Host: localhost\r\nConnection: close\r\nContent-Length: {length}");
        stream
            .write_all(format!("{request} HTTP/1.1\r\n{fields}\r\n\r\n{body}").as_bytes())
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// How many connections to the control socket are open.
    pub(crate) fn control_connections(&self) -> usize {
        let path = self.site().run_dir().join("control.sock");
        let path = path.display().to_string();
        // The server's ends carry the path of the listener; 03 is connected (proc(5), /proc/net/unix).
        let table = std::fs::read_to_string("/proc/net/unix").expect("proc(5)");
        table
            .lines()
            .filter(|line| line.ends_with(&path))
            .filter(|line| line.split_whitespace().nth(5) == Some("03"))
            .count()
    }

    /// Waits until the status shows what is expected, and returns that status.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let found = poll(DEADLINE, || {
            self.try_status().filter(|status| condition(status))
        });
        found.unwrap_or_else(|missed| panic!("not within {:?}: {what}", missed.0))
    }

    /// Waits for anything else.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, condition: impl FnMut() -> bool) {
        self.wait_at_most(DEADLINE, what, condition);
    }

    #[track_caller]
    pub(crate) fn wait_at_most(
        &self,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) {
        let found = poll(deadline, || condition().then_some(()));
        found.unwrap_or_else(|missed| panic!("not within {:?}: {what}", missed.0));
    }

    /// Waits until `part` is in what paster printed on stderr.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, part: &str) {
        self.wait_for(&format!("`{part}` in the log"), || {
            self.stderr.text().contains(part)
        });
    }

    pub(crate) fn stdout(&self) -> &Log {
        &self.stdout
    }

    pub(crate) fn stderr(&self) -> &Log {
        &self.stderr
    }

    /// Announces a warning or error: a line of the log will contain `part`.
    pub(crate) fn expect_log(&self, part: &str) {
        self.expected
            .lock()
            .expect("no test panics while it holds this")
            .must
            .push(part.to_owned());
    }

    /// Announces the death of a worker, described by `part`. A request may meet it before the proxy knows; a GET may
    /// meet two.
    pub(crate) fn expect_death(&self, part: &str) {
        self.expect_log(part);
        self.allow_log("the proxy cannot connect to a worker");
        self.allow_log("was in flight at 2 deaths in a row; it gets 503");
    }

    /// Announces a warning or error that may or may not come.
    pub(crate) fn allow_log(&self, part: &str) {
        self.expected
            .lock()
            .expect("no test panics while it holds this")
            .may
            .push(part.to_owned());
    }

    /// Sends a signal to paster itself.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if signal == Signal::SIGKILL {
            self.killed = Killed::Yes;
        }
        process::signal(self.pid(), signal);
    }

    /// Waits for the end of paster and returns how it ended.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let child = &mut self.child;
        let ended = poll(DEADLINE, || child.try_wait().expect("our own child"));
        let status =
            ended.unwrap_or_else(|missed| panic!("paster did not end within {:?}", missed.0));
        self.ended = Some(status);
        status
    }

    /// Stops it, checks what it leaves behind, and gives the site back for another start.
    pub(crate) fn finish(mut self) -> Site {
        self.stop_and_check();
        self.site.take().expect("only absent during an edit")
    }

    fn stop_and_check(&mut self) {
        let mut findings = Vec::new();
        if self.ended.is_none() {
            let pid = self.pid();
            if poll(DEADLINE, || {
                process::zombie_children(pid).is_empty().then_some(())
            })
            .is_err()
            {
                findings.push(format!(
                    "zombies that nobody reaps: {:?}",
                    process::zombie_children(pid)
                ));
            }
            process::signal(pid, Signal::SIGTERM);
            let child = &mut self.child;
            self.ended = poll(DEADLINE, || child.try_wait().expect("our own child")).ok();
            match self.ended {
                Some(status) if status.success() => {}
                Some(status) => findings.push(format!(
                    "paster should exit with 0 after SIGTERM, not {status}"
                )),
                None => findings.push("paster did not end after SIGTERM".to_owned()),
            }
        }
        findings.extend(hygiene::leftovers(self.site(), self.killed));
        if self.ended.is_some() {
            for reader in self.readers.drain(..) {
                let _ = reader.join();
            }
        }
        let expected = self
            .expected
            .lock()
            .expect("no test panics while it holds this");
        findings.extend(hygiene::judge_log(&expected, &self.stderr.text()));
        drop(expected);
        if !findings.is_empty() {
            self.explain();
            self.end_everything();
            panic!("after the test: {}", findings.join("\n  and "));
        }
    }

    /// Everything that helps to understand a failure.
    fn explain(&self) {
        let site = self.site();
        let (text, stdout, stderr) = (site.text(), self.stdout.text(), self.stderr.text());
        let status = self.try_status();
        report(&format!(
            "---- {}\n{text}\n---- status\n{status:#?}\n---- stdout\n{}\n---- log\n{}\n----",
            site.config().display(),
            tail(&stdout),
            tail(&stderr)
        ));
    }

    fn end_everything(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        if let Some(site) = &self.site {
            for (pid, _) in process::mentioning(site.dir()) {
                process::sigkill(pid);
            }
        }
    }
}

impl Drop for Paster {
    fn drop(&mut self) {
        if self.site.is_none() {
            return;
        }
        if std::thread::panicking() {
            self.explain();
            self.end_everything();
        } else {
            self.stop_and_check();
        }
    }
}

/// Prints what belongs to a failing test; the test runner shows it then only.
#[expect(clippy::print_stderr, reason = "this is a test's own report")]
pub(crate) fn report(text: &str) {
    eprintln!("{text}");
}

/// The end of a long text.
fn tail(text: &str) -> String {
    const MOST: usize = 40_000;
    match text.char_indices().nth_back(MOST) {
        Some((start, _)) => format!("[…]{}", &text[start..]),
        None => text.to_owned(),
    }
}

fn announced(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix("listening on"))
        .map(|url| {
            url.trim()
                .trim_start_matches("http://")
                .trim_start_matches("https://")
                .trim_end_matches('/')
                .to_owned()
        })
        .collect()
}
