//! `paster serve` as in the original: in the background, with pid file and log file, watched by a monitor, as another user.

use crate::harness::paster::{CommandResult, report};
use crate::harness::{DEADLINE, Paster, Site, Status, http::Connection, poll, process};
use nix::sys::signal::Signal;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

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

/// Where a descriptor of a process leads.
fn descriptor(pid: u32, number: u32) -> String {
    let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("it is open");
    target.display().to_string()
}

#[test]
fn its_log_says_as_much_as_is_asked_for() {
    for (words, levels, silent) in [
        (&["start", "-v"][..], &["DEBUG", " INFO"][..], false),
        (&["start", "-v", "--quiet"], &[" INFO"], false),
        (&["start", "-qv", "-q"], &[], true),
    ] {
        let mut service = home();
        let started = service.call(words).succeeded();
        assert_eq!(started.stderr.is_empty(), silent, "{started:#?}");
        assert!(service.get("/").contains("\"count\": 1"));
        service.call(&["stop"]).succeeded();
        let log = service.text("paster.log");
        for level in ["DEBUG", " INFO"] {
            let is_there = log.contains(level);
            assert_eq!(is_there, levels.contains(&level), "{words:?}: {log}");
        }
    }
}

#[test]
fn the_command_returns_when_the_daemon_serves_and_the_daemon_has_left_the_terminal() {
    for isolate in [true, false] {
        let site = Site::new().actor("home", "/").actor("other", "/other");
        let mut service = Service::new(if isolate { site } else { site.undivided() });
        let started = service.call(&["--daemon"]).succeeded();
        let pid = service.pid();
        assert!(
            started
                .stderr
                .contains(&format!("in the background (pid {pid})")),
            "{started:#?}"
        );
        assert!(
            started.stderr.contains("listening on  http://"),
            "{started:#?}"
        );
        assert_eq!(service.status().pid, pid);
        assert!(service.get("/").contains("\"count\": 1"));
        let log = service.path("paster.log").display().to_string();
        assert_eq!(
            [0, 1, 2].map(|number| descriptor(pid, number)),
            ["/dev/null", &log, &log]
        );
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .expect("proc(5)")
            .1
            .split(' ')
            .collect();
        assert_ne!(
            fields[3],
            pid.to_string(),
            "no session leader: it gets no terminal"
        );
        assert_eq!(fields[4], "0", "it has no terminal");
        service.wait_for("the log is in its file", || {
            service.text("paster.log").contains("worker ready")
        });

        let stopped = service.call(&["stop"]).succeeded();
        assert!(stopped.stdout.contains(&pid.to_string()), "{stopped:#?}");
        service.nothing_is_left();
    }
}

#[test]
fn start_status_stop_and_restart_are_words_behind_the_configuration() {
    let mut service = home();
    let status = service.call(&["status"]);
    assert_eq!(status.code, Some(1), "{status:#?}");
    assert!(status.stdout.contains("does not serve"), "{status:#?}");
    for word in ["stop", "restart"] {
        let result = service.call(&[word]);
        assert_eq!(result.code, Some(1), "{result:#?}");
        assert!(result.stderr.contains("does not serve"), "{result:#?}");
    }
    service.call(&["start"]).succeeded();
    let first = service.pid();
    for words in [["status"], ["--status"]] {
        let status = service.call(&words).succeeded();
        assert!(
            status.stdout.contains(&format!("(pid {first})")),
            "{status:#?}"
        );
    }
    let again = service.call(&["start"]).succeeded();
    assert!(again.stderr.contains("already serves"), "{again:#?}");
    assert_eq!(service.pid(), first);

    service.call(&["restart", "version=2"]).succeeded();
    assert_ne!(service.pid(), first);
    service.call(&["--stop-daemon"]).succeeded();
    service.nothing_is_left();
}

#[test]
fn a_restart_with_a_bad_configuration_stops_nothing() {
    let mut service = home();
    service.call(&["start"]).succeeded();
    let pid = service.pid();
    let site = std::mem::replace(&mut service.site, Site::new());
    service.site = site.policy("home", "proceses = 2");
    let result = service.call(&["restart"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert!(result.stderr.contains("unknown setting"), "{result:#?}");
    assert_eq!(service.status().pid, pid);
}

#[test]
fn what_fails_before_serving_is_told_at_the_terminal() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let bad = Site::new().actor("home", "/").policy("", "nonsense = 1");
    let in_use = Site::new().actor("home", "/").listen(&address);
    for (site, why) in [
        (bad, "unknown setting"),
        (in_use, "another program listens"),
    ] {
        let mut service = Service::new(site);
        let result = service.call(&["--daemon"]);
        assert_eq!(result.code, Some(1), "{result:#?}");
        assert!(result.stderr.contains(why), "{result:#?}");
        service.nothing_is_left();
    }
    let mut service = home();
    let nowhere = service.path("nowhere/x").display().to_string();
    for option in ["--log-file", "--pid-file"] {
        let result = service.call(&["--daemon", option, &nowhere]);
        assert_eq!(result.code, Some(1), "{result:#?}");
        assert!(result.stderr.contains(&nowhere), "{result:#?}");
    }
    service.nothing_is_left();
}

#[test]
fn an_app_that_does_not_come_up_is_a_warning() {
    let site = Site::new()
        .actor("home", "/")
        .actor("broken", "/broken")
        .option("broken", "fail = no database")
        .policy("broken", "restart_delay = 20s");
    let mut service = Service::new(site);
    let started = service.call(&["start"]).succeeded();
    assert!(
        started
            .stderr
            .contains("warning: app `broken` has not come up")
            && started.stderr.contains("no database"),
        "{started:#?}"
    );
    assert!(service.get("/").contains("count"));
}

#[test]
fn who_interrupts_the_command_that_waits_ends_the_daemon() {
    let mut service = Service::new(Site::new().actor("slow", "/").option("slow", "boot = 60"));
    let mut command = Paster::serving_command(&mut service.site, &["--daemon"]);
    let mut front = command.stderr(Stdio::null()).spawn().expect("it was built");
    service.wait_for("the worker is starting", || {
        let status = service.try_status();
        status.is_some_and(|s| s.app("slow").workers.iter().any(|w| w.pid.is_some()))
    });
    process::signal(front.id(), Signal::SIGINT);
    assert!(!front.wait().expect("our child").success());
    service.nothing_is_left();
}

#[test]
fn the_pid_file_tells_a_living_paster_from_a_number() {
    let mut service = home();
    let file = service.path("paster.pid");
    let shown = file.display().to_string();
    // Left by one that was killed; its number is somebody else's now.
    fs::write(&file, "1\n").expect("our own directory");
    service.call(&["--daemon"]).succeeded();
    let pid = service.pid();
    assert_ne!(pid, 1);

    let other = Service::new(Site::new().actor("other", "/"));
    let mut other = other;
    let refused = other.call(&["--daemon", "--pid-file", &shown]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains(&format!("(pid {pid})")),
        "{refused:#?}"
    );
    other.nothing_is_left();

    service
        .without_config(&["--stop-daemon", "--pid-file", &shown])
        .succeeded();
    service.nothing_is_left();
}

#[test]
fn a_foreign_process_is_never_stopped() {
    let service = home();
    let file = service.path("some.pid");
    let mut foreign = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("it exists");
    fs::write(&file, format!("{}\n", foreign.id())).expect("our own directory");
    let words = ["--stop-daemon", "--pid-file", "some.pid"];
    let refused = service.without_config(&words);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("nothing was stopped"),
        "{refused:#?}"
    );
    assert!(file.exists() && process::is_alive(foreign.id()));
    foreign.kill().expect("it runs");
    foreign.wait().expect("our child");

    let stale = service.without_config(&words);
    assert_eq!(stale.code, Some(1), "{stale:#?}");
    assert!(stale.stderr.contains("stale"), "{stale:#?}");
    assert!(!file.exists());
    let nothing = service.without_config(&["--stop-daemon"]);
    assert_eq!(nothing.code, Some(1), "{nothing:#?}");
    assert!(nothing.stderr.contains("paster.pid"), "{nothing:#?}");
}

#[test]
fn a_daemon_watches_files_too() {
    let app = |text: &str| {
        format!(
            "def factory(global_conf):\n    def app(environ, start_response):\n        start_response('200 OK', [])\n        return \
             [b'{text}']\n    return app\n"
        )
    };
    let mut service = Service::new(Site::new().python("home", "/", &app("old")));
    service
        .call(&["--daemon", "--reload", "--reload-interval=0.05"])
        .succeeded();
    assert_eq!(service.get("/"), "old");
    fs::write(service.path("home.py"), app("new")).expect("our own file");
    service.wait_for("the edited app serves", || service.get("/") == "new");
    service.call(&["stop"]).succeeded();
}

#[test]
fn in_the_foreground_pid_and_log_file_are_only_written_where_they_are_asked_for() {
    let site = Site::new().actor("home", "/");
    let (pid_file, log) = (site.path("p"), site.path("l"));
    let paster = site
        .argument("--pid-file=p")
        .argument("--log-file=l")
        .serve();
    let pid = fs::read_to_string(&pid_file).expect("it was written");
    assert_eq!(pid, format!("{}\n", paster.pid()));
    assert!(paster.stderr().text().contains("listening on"));
    assert!(!paster.stderr().text().contains("worker ready"));
    paster.wait_for("the log is in its file", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("worker ready"))
    });
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(
        fs::read_to_string(&pid_file).expect("it is still there"),
        pid
    );
    let _site = paster.finish();
    assert!(!pid_file.exists());
}

#[test]
fn a_rotated_log_file_is_opened_again() {
    let site = Site::new()
        .actor("home", "/")
        .policy("", "access_log = stdout");
    let mut service = Service::new(site);
    service.call(&["start"]).succeeded();
    service.get("/first");
    service.wait_for("the request is in the log", || {
        service.text("paster.log").contains("GET /first")
    });
    fs::rename(service.path("paster.log"), service.path("old.log")).expect("our own files");
    process::signal(service.pid(), Signal::SIGUSR1);
    service.wait_for("there is a new log", || service.path("paster.log").exists());
    service.wait_for("all of it goes there", || {
        service.get("/print?out=to-out&err=to-err");
        let text = service.text("paster.log");
        ["to-out", "to-err", "GET /print"]
            .iter()
            .all(|part| text.contains(part))
    });
}

#[test]
fn a_monitor_starts_a_killed_paster_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    drop(taken);
    let mut service = Service::new(Site::new().actor("home", "/").listen(&address));
    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    let first = service.pid();
    let monitor = process::parent(first).expect("it runs");
    assert!(process::command_line(monitor).contains("--monitor-restart"));
    process::sigkill(first);
    service.wait_for("another one serves", || {
        service
            .try_status()
            .is_some_and(|s| s.pid != first && s.app("home").is_ready())
    });
    assert!(service.get("/").contains("count"));
    assert_eq!(service.pid(), service.status().pid);
    let log = service.text("paster.log");
    assert!(
        log.contains(&format!("(pid {first}) was killed by signal 9 (SIGKILL)")),
        "{log}"
    );

    // A signal to the monitor is one to the server.
    process::signal(monitor, Signal::SIGTERM);
    service.nothing_is_left();
}

#[test]
fn a_monitor_ends_with_what_was_told_to_stop_and_takes_it_along() {
    let mut service = home();
    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    service.call(&["stop"]).succeeded();
    service.nothing_is_left();

    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    process::sigkill(process::parent(service.pid()).expect("it runs"));
    service.nothing_is_left();
}

#[test]
fn a_monitor_does_not_repeat_what_cannot_start() {
    let mut service = Service::new(Site::new().actor("home", "/").policy("", "nonsense = 1"));
    let result = service.call(&["--monitor-restart"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert_eq!(
        result.stderr.matches("unknown setting").count(),
        1,
        "{result:#?}"
    );
}

#[test]
fn a_monitor_in_the_foreground_passes_signals_on() {
    let site = Site::new().actor("home", "/").argument("--monitor-restart");
    let mut paster = site.serve();
    let server = paster.status().pid;
    assert_eq!(process::parent(server), Some(paster.pid()));
    paster.signal(Signal::SIGHUP);
    paster.wait_for_log("configuration read again: nothing has changed");
    paster.signal(Signal::SIGINT);
    assert!(paster.wait_for_end().success());
}

#[test]
fn with_user_everything_but_the_binding_is_done_as_that_user() {
    // The first one in PATH may lie where only we may go.
    const PYTHON: &str = "/usr/bin/python3";
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new(PYTHON).exists() {
        report("skipped: this needs root, and an interpreter that every user may execute");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody")
        .ok()
        .flatten()
        .expect("every system has nobody");
    let uid = nobody.uid.as_raw();
    let address = "127.0.77.1:997";
    let site = Site::new()
        .actor("home", "/")
        .policy("", &format!("python = {PYTHON}"))
        .listen(address);
    let var = site.path("var");
    fs::create_dir(&var).expect("our own directory");
    std::os::unix::fs::chown(&var, Some(uid), None).expect("root may");
    let mut service = Service::new(site);
    let files = ["--pid-file", "var/pid", "--log-file", "var/log"];
    let words = [&["--daemon", "--user", "nobody"], &files[..]].concat();
    service.call(&words).succeeded();
    let status = service.status();
    assert_eq!(status.listen, [address]);
    let worker = status.app("home").pid();
    for pid in [status.pid, status.proxy.pid.expect("it runs"), worker] {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let ids = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}");
        assert!(text.contains(&ids), "{pid}: {text}");
        let groups = text
            .lines()
            .find(|line| line.starts_with("Groups:"))
            .expect("proc(5)");
        assert!(
            !groups.split_whitespace().any(|group| group == "0"),
            "{groups}"
        );
    }
    assert!(service.get("/").contains("count"));
    let run_dir = service.site.run_dir().display().to_string();
    let config = service.site.config().display().to_string();
    for command in ["reload", "restart"] {
        Paster::run(&service.site, &[command, &config, "--run-dir", &run_dir]).succeeded();
    }
    service.call(&["stop"]).succeeded();
    service.nothing_is_left();
    assert!(!service.path("var/pid").exists());

    // Root can use the directory again, and so can that user.
    service.call(&["--daemon"]).succeeded();
    service.call(&["stop"]).succeeded();
    service.call(&words).succeeded();
}

#[test]
fn files_that_only_the_user_to_become_may_see_are_served_without_paste() {
    if !nix::unistd::geteuid().is_root() {
        report("skipped: this needs root");
        return;
    }
    const USER: u32 = 47_110;
    let site = Site::new().file("var/page.txt", "seen").ini(
        "[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n\n[app:main]\nuse = egg:Paste#static\n\
         document_root = %(here)s/var\n\n[isolate]\npython = %(here)s/no-python\n",
    );
    let var = site.path("var");
    for path in [&var, &var.join("page.txt")] {
        std::os::unix::fs::chown(path, Some(USER), None).expect("root may");
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("root may");
    }
    let mut service = Service::new(site);
    let user = USER.to_string();
    let files = ["--pid-file", "var/pid", "--log-file", "var/log"];
    service
        .call(&[&["start", "--user", &user], &files[..]].concat())
        .succeeded();
    assert_eq!(service.get("/page.txt"), "seen");
}

#[test]
fn an_identity_that_cannot_be_had_is_bad_usage() {
    let mut service = home();
    let result = service.call(&["--user", "nobody-of-this-name"]);
    assert_eq!(result.code, Some(2), "{result:#?}");
    assert!(
        result
            .stderr
            .contains("there is no user `nobody-of-this-name`"),
        "{result:#?}"
    );
}

#[test]
fn bad_usage_is_told_apart() {
    let mut service = home();
    for words in [
        &["begin"][..],
        &["--server", "wsgiutils", "--server-name", "main"],
        &["--nonsense"],
    ] {
        let result = service.call(words);
        assert_eq!(result.code, Some(2), "{result:#?}");
    }
    let nothing = service.without_config(&[]);
    assert_eq!(nothing.code, Some(2), "{nothing:#?}");
}

#[test]
fn a_server_type_stands_for_the_server_section() {
    let mut service = home();
    let result = service.call(&["--server", "flup_fcgi_thread"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert!(result.stderr.contains("FastCGI"), "{result:#?}");
    let result = service.call(&["-s", "nonsense"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert!(
        result.stderr.contains("there is no server type `nonsense`")
            && result.stderr.contains("wsgiutils"),
        "{result:#?}"
    );
}
