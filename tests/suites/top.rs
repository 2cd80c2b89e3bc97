//! `paster top`: at a terminal until somebody leaves, elsewhere once.

use crate::harness::log::Log;
use crate::harness::{DEADLINE, Paster, Site, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

/// Gives the terminal back.
const LEAVES_SCREEN: &str = "\u{1b}[?1049l";

/// `paster top` at a terminal of its own.
struct Top {
    child: Child,
    keys: File,
    shown: Log,
    reader: JoinHandle<()>,
}

impl Top {
    fn start(paster: &Paster, rows: u16) -> Top {
        let size = Winsize {
            ws_row: rows,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a terminal");
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        let child = Command::new(env!("CARGO_BIN_EXE_paster"))
            .arg("top")
            .arg(paster.site().config())
            .arg("--run-dir")
            .arg(paster.site().run_dir())
            .stdin(end(&slave))
            .stdout(end(&slave))
            .stderr(end(&slave))
            .spawn()
            .expect("paster was built");
        drop(slave);
        let (shown, reader) = Log::collect(File::from(master.try_clone().expect("a descriptor")));
        Top {
            child,
            keys: File::from(master),
            shown,
            reader,
        }
    }

    #[track_caller]
    fn wait_for(&self, what: &str) {
        let found = poll(DEADLINE, || self.shown.text().contains(what).then_some(()));
        found.unwrap_or_else(|_| panic!("{what} was not shown: {:?}", self.shown.text()));
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("it reads");
    }

    /// Waits for its end; what it has shown.
    #[track_caller]
    fn finish(mut self) -> (ExitStatus, String) {
        let ended = poll(DEADLINE, || self.child.try_wait().expect("our own child"));
        let status = ended.expect("it ends");
        self.reader.join().expect("a reader does not panic");
        (status, self.shown.text())
    }
}

#[test]
fn without_a_terminal_it_is_one_table_of_what_was_used_within_a_second() {
    let site = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .policy("other", "processes = 2");
    let paster = site.serve();
    let load = paster.load("/", 2, 50);
    let table = paster.command(&["top"]).succeeded().stdout;
    let figures = paster.command(&["top", "--json"]).succeeded().stdout;
    let result = load.finish();
    assert!(result.is_clean(), "{result}");

    let figures: Value = serde_json::from_str(&figures).expect("JSON");
    let status = paster.status();
    let [home, other] = [&figures["apps"][0], &figures["apps"][1]];
    assert_eq!(
        (&home["name"], &other["name"]),
        (&"home".into(), &"other".into())
    );
    let rate = |app: &Value| app["requests_per_s"].as_f64().expect("a number");
    assert!(rate(home) > 0.0 && rate(other) == 0.0, "{figures:#}");
    assert_eq!(home["errors_per_s"], 0.0);
    assert!(
        home["p99_ms"].as_f64().expect("there were requests") > 0.0,
        "{figures:#}"
    );
    assert!(other["p99_ms"].is_null(), "{figures:#}");
    assert!(home["cpu_percent"].as_f64().is_some(), "{figures:#}");
    assert!(home["rss_bytes"].as_u64().expect("a number") > 1_000_000);
    assert_eq!(home["workers"][0]["pid"], status.app("home").pid());
    assert_eq!(other["workers"].as_array().map(Vec::len), Some(2));

    assert!(table.contains("APP    WORKER"), "{table}");
    let lines: Vec<&str> = table.lines().collect();
    // Two of paster, an empty one, the header, one for `home`, three for `other`.
    assert_eq!(lines.len(), 8, "{table}");
    assert!(lines[4].starts_with("home   0: "), "{table}");
    assert!(lines[7].starts_with("       1: "), "{table}");
}

#[test]
fn at_a_terminal_it_follows_until_q_is_pressed() {
    let paster = Site::new().actor("home", "/").serve();
    let mut top = Top::start(&paster, 30);
    top.wait_for("home  0: ");
    let first = paster.status().app("home").pid();
    paster.command(&["restart", "home"]).succeeded();
    let next = paster.status().app("home").pid();
    assert_ne!(first, next);
    top.wait_for(&next.to_string());
    paster.command(&["upgrade"]).succeeded();
    paster.command(&["stop", "home"]).succeeded();
    top.wait_for("stopped");
    top.press(b"q");
    let (status, shown) = top.finish();
    assert!(status.success(), "{status}");
    assert!(shown.contains(LEAVES_SCREEN), "{shown:?}");
}

#[test]
fn control_c_leaves_and_a_small_terminal_shows_what_fits() {
    let paster = Site::new().actor("home", "/").serve();
    let mut top = Top::start(&paster, 3);
    top.wait_for("(3 more lines; `--once` prints them all)");
    top.press(b"\x03");
    let (status, shown) = top.finish();
    assert!(status.success(), "{status}");
    assert!(shown.contains(LEAVES_SCREEN), "{shown:?}");
    assert!(!shown.contains("home  0: "), "{shown:?}");
}

#[test]
fn it_ends_with_paster_and_says_so() {
    let paster = Site::new().actor("home", "/").serve();
    let top = Top::start(&paster, 30);
    top.wait_for("home  0: ");
    let site = paster.finish();
    let (status, shown) = top.finish();
    assert!(status.success(), "{status}");
    let (_, after) = shown
        .split_once(LEAVES_SCREEN)
        .expect("it leaves the screen");
    assert!(after.contains("paster has stopped"), "{shown:?}");
    let config = site.config().display().to_string();
    let run_dir = site.run_dir().display().to_string();
    let again = Paster::run(&site, &["top", &config, "--run-dir", &run_dir]);
    assert_eq!(again.code, Some(3), "{again:#?}");
}
