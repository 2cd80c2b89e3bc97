//! `paster serve` as in the original: in the background, with pid file and log file, watched by a monitor, as another user.

mod commands;
mod monitor;
mod start;
mod user;

use crate::harness::paster::{CommandResult, report};
use crate::harness::{DEADLINE, Paster, Site, Status, http::Connection, poll, process};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A site that is served in the background, or not. When it is dropped nothing of it may be left.
struct Service {
    site: Site,
}

impl Service {
    fn new(site: Site) -> Service {
        Service { site }
    }

    /// `paster serve SITE WORDS`.
    fn call(&mut self, words: &[&str]) -> CommandResult {
        Paster::serve_and_return(&mut self.site, words)
    }

    /// `paster serve` with these arguments alone.
    fn without_config(&self, words: &[&str]) -> CommandResult {
        Paster::run(&self.site, &[&["serve"], words].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// What a file of the site holds; empty if it is not there.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn pid(&self) -> u32 {
        let text = self.text("paster.pid");
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("`{text}` is no pid"))
    }

    fn try_status(&self) -> Option<Status> {
        let run_dir = self.site.run_dir().display().to_string();
        let config = self.site.config().display().to_string();
        let asked = ["status", &config, "--run-dir", &run_dir, "--json"];
        serde_json::from_str(&Paster::run(&self.site, &asked).stdout).ok()
    }

    #[track_caller]
    fn status(&self) -> Status {
        self.try_status().expect("it answers commands")
    }

    #[track_caller]
    fn address(&self) -> SocketAddr {
        self.status().listen[0].parse().expect("a TCP address")
    }

    #[track_caller]
    fn get(&self, path: &str) -> String {
        let connection = Connection::open(self.address());
        let response = connection.and_then(|mut connection| connection.get(path));
        response.expect("it is answered").text()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let found = poll(DEADLINE, || condition().then_some(()));
        found.unwrap_or_else(|_| panic!("not in time: {what}; log:\n{}", self.text("paster.log")));
    }

    /// Everything that belongs to the site, by arguments and environment.
    fn processes(&self) -> Vec<(u32, String)> {
        process::mentioning(self.site.dir())
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        self.wait_for("no process is left", || self.processes().is_empty());
        let run_dir = fs::read_dir(self.site.run_dir()).map_or(0, Iterator::count);
        assert_eq!(run_dir, 0, "the runtime directory is empty or gone");
        assert!(!self.path("paster.pid").exists(), "the pid file is gone");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&format!(
                "---- {}\n---- log\n{}",
                self.site.text(),
                self.text("paster.log")
            ));
        } else if !self.processes().is_empty() {
            self.call(&["stop"]).succeeded();
            self.nothing_is_left();
        }
        // A monitor first: it would start the next one.
        let mut left = self.processes();
        left.sort_unstable();
        for (pid, _) in left {
            process::sigkill(pid);
        }
    }
}

fn home() -> Service {
    Service::new(Site::new().actor("home", "/"))
}
