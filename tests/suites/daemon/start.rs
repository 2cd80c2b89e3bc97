//! Into the background, and what the command says before it returns.

use super::{Service, home};
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

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
fn a_log_that_is_opened_again_on_the_way_out_holds_up_no_end() {
    let site = Site::new()
        .actor("home", "/")
        .policy("", "access_log = stdout\ndrain_timeout = 10m");
    let (log, old) = (site.path("l"), site.path("l.1"));
    let mut paster = site.argument("--log-file=l").serve();
    let slow = paster.get_in_background("/slow?s=3");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.signal(Signal::SIGTERM);
    paster.wait_for("it is stopping", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("stopping: requests in flight"))
    });
    fs::rename(&log, &old).expect("our own files");
    paster.signal(Signal::SIGUSR1);
    paster.wait_for("there is a new log", || log.exists());
    let answer = slow.join().expect("it does not panic");
    assert_eq!(answer.expect("it is answered").status, 200);
    assert!(paster.wait_for_end().success());
}

#[test]
fn a_log_that_nobody_reads_any_more_holds_up_nobody() {
    let site = Site::new().actor("home", "/");
    let pipe = site.path("l");
    mkfifo(&pipe, Mode::S_IRWXU).expect("made");
    let reader = fs::File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&pipe)
        .expect("it can be opened");
    let mut paster = site.argument("--log-file=l").serve();
    drop(reader);
    paster.signal(Signal::SIGUSR1);
    assert_eq!(paster.get("/").status, 200);
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.status().app("home").generation, 2);
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
