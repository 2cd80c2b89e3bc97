//! Commands from many sides at once: each gets an answer, the answer is true, and nobody is told to come again later.

use crate::harness::paster::CommandResult;
use crate::harness::{Paster, Site};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// An app that takes as long to start as the file `boot` beside it says, in seconds.
const SLOW_STARTER: &str = r#"
import os, time
def factory(global_conf):
    path = os.path.join(os.path.dirname(__file__), "boot")
    print("waiting on purpose", flush=True)
    if os.path.exists(path):
        time.sleep(float(open(path).read()))
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return app
"#;

fn json(result: &CommandResult) -> Value {
    serde_json::from_str(&result.stdout).unwrap_or_else(|error| panic!("{error}: {result:#?}"))
}

mod scale {
    use super::*;

    #[test]
    fn more_workers_serve_when_the_command_returns_and_fewer_are_gone() {
        let paster = Site::new().actor("home", "/").serve();
        let first = paster.status().app("home").pid();
        let load = paster.load("/", 4, 100);
        let more = paster.command(&["scale", "home", "3"]).succeeded();
        assert_eq!(more.stdout, "home: scaled (3 processes)\n");
        let status = paster.status();
        let app = status.app("home");
        assert_eq!(app.pids().len(), 3, "{app:#?}");
        assert!(app.pids().contains(&first), "the old one goes on: {app:#?}");
        assert_eq!((app.processes, app.configured_processes), (3, 1));
        let fewer = paster.command(&["scale", "home=1", "--json"]).succeeded();
        let fewer = json(&fewer);
        assert_eq!(fewer["apps"][0]["action"], "scaled", "{fewer}");
        assert_eq!(fewer["apps"][0]["processes"], 1, "{fewer}");
        let status = paster.status();
        assert_eq!(status.app("home").workers.len(), 1, "{status:#?}");
        assert_eq!(status.app("home").pid(), first);
        let result = load.finish();
        assert!(result.is_clean(), "{result}");
    }

    #[test]
    fn workers_that_do_not_come_up_are_given_up_and_the_number_is_as_before() {
        let site = Site::new().actor("home", "/");
        let broken = site.path("broken");
        let paster = site
            .option("home", &format!("broken = {}", broken.display()))
            .serve();
        paster.expect_log("new workers did not come up; their number is taken back");
        paster.expect_death("exited with status 1");
        let first = paster.status().app("home").pid();
        fs::write(&broken, "").expect("our own directory");
        let scale = paster.command(&["scale", "home", "3"]);
        assert_eq!(scale.code, Some(1), "{scale:#?}");
        for part in [
            "`home` was not scaled",
            "exited with status 1 before it was ready",
            "broken on purpose",
        ] {
            assert!(scale.stderr.contains(part), "{part}: {scale:#?}");
        }
        let status = paster.wait_until("the others are gone", |s| s.app("home").workers.len() == 1);
        assert_eq!(status.app("home").pid(), first);
        assert_eq!(status.app("home").processes, 1);
        fs::remove_file(&broken).expect("it is there");
        paster.command(&["scale", "home", "2"]).succeeded();
        assert_eq!(paster.status().app("home").pids().len(), 2);
    }

    #[test]
    fn workers_that_are_never_ready_are_given_up_in_time() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        let boot = site.path("boot");
        let paster = site.policy("late", "start_timeout = 2s").serve();
        paster.expect_log("new workers did not come up; their number is taken back");
        paster.expect_log("worker not ready in time; it is killed");
        fs::write(&boot, "600").expect("our own directory");
        let scale = paster.command(&["scale", "late", "2"]);
        assert_eq!(scale.code, Some(1), "{scale:#?}");
        assert!(
            scale.stderr.contains("was not ready within 2s"),
            "{scale:#?}"
        );
        assert!(scale.stderr.contains("waiting on purpose"), "{scale:#?}");
        assert_eq!(paster.status().app("late").processes, 1);
    }

    #[test]
    fn the_number_survives_restarts_and_reloads_until_the_file_says_another_one() {
        let mut paster = Site::new()
            .actor("home", "/")
            .actor("other", "/other")
            .serve();
        paster.command(&["scale", "home=2", "other=2"]).succeeded();
        paster.command(&["restart", "home"]).succeeded();
        paster.edit(|site| {
            site.policy("home", "queue = 7")
                .option("other", "version = 2")
        });
        paster.command(&["reload"]).succeeded();
        let status = paster.wait_until("the old ones are gone", |s| {
            s.apps.iter().all(|app| app.workers.len() == 2)
        });
        for name in ["home", "other"] {
            let app = status.app(name);
            assert_eq!((app.processes, app.configured_processes), (2, 1));
        }
        assert_eq!(paster.get("/other/").json()["version"], "2");
        paster.edit(|site| site.policy("home", "processes = 3"));
        paster.command(&["reload"]).succeeded();
        let status = paster.wait_until("the file counts", |s| s.app("home").pids().len() == 3);
        assert_eq!(status.app("other").pids().len(), 2, "its file is as it was");
        paster.edit(|site| site.policy("home", "processes = 1"));
        paster.command(&["reload"]).succeeded();
        paster.wait_until("the file counts", |s| s.app("home").workers.len() == 1);
    }

    #[test]
    fn the_number_survives_an_upgrade() {
        let paster = Site::new().actor("home", "/").serve();
        paster.command(&["scale", "home", "2"]).succeeded();
        paster.command(&["upgrade"]).succeeded();
        let status = paster.status();
        let app = status.app("home");
        assert_eq!((app.processes, app.configured_processes), (2, 1));
        paster.command(&["restart"]).succeeded();
        assert_eq!(paster.status().app("home").pids().len(), 2);
    }

    #[test]
    fn signals_take_the_same_path() {
        let mut paster = Site::new().actor("home", "/").serve();
        paster.signal(Signal::SIGTTIN);
        let status = paster.wait_until("there are two", |s| s.app("home").pids().len() == 2);
        let app = status.app("home");
        assert_eq!((app.processes, app.configured_processes), (2, 1));
        paster.command(&["restart", "home"]).succeeded();
        assert_eq!(paster.status().app("home").pids().len(), 2);
        paster.signal(Signal::SIGTTOU);
        paster.wait_until("there is one", |s| s.app("home").workers.len() == 1);
        paster.signal(Signal::SIGTTOU);
        paster.command(&["restart", "home"]).succeeded();
        assert_eq!(paster.status().app("home").processes, 1, "one is left");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_sentence() {
        let paster = Site::new()
            .actor("home", "/")
            .section("away", "/away", "http://127.0.0.1:9")
            .serve();
        let refused = |words: &[&str], part: &str| {
            let words = [&["scale"], words].concat();
            let result = paster.command(&words);
            assert_eq!(result.code, Some(1), "{result:#?}");
            assert!(result.stderr.contains(part), "{part}: {result:#?}");
        };
        refused(&["home", "0"], "paster stop CONFIG home");
        refused(&["away", "2"], "runs elsewhere");
        refused(&["hmoe", "2"], "there is no app `hmoe`");
        refused(&["home=2", "hmoe=2"], "there is no app `hmoe`");
        refused(&["home", "100000"], "more than 1024");
        assert_eq!(paster.status().app("home").processes, 1);
        for words in [
            &["scale"][..],
            &["scale", "home"],
            &["scale", "home", "two"],
        ] {
            let result = paster.command(words);
            assert_eq!(result.code, Some(2), "{result:#?}");
        }
    }

    #[test]
    fn a_stopped_app_starts_in_the_number_that_was_asked_for_meanwhile() {
        let paster = Site::new().actor("home", "/").serve();
        paster.command(&["stop", "home"]).succeeded();
        paster.command(&["scale", "home", "2"]).succeeded();
        assert_eq!(paster.status().app("home").state, "stopped");
        paster.command(&["start", "home"]).succeeded();
        assert_eq!(paster.status().app("home").pids().len(), 2);
    }

    #[test]
    fn during_a_rollout_the_new_generation_gets_the_number() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        let boot = site.path("boot");
        let paster = site.serve();
        fs::write(&boot, "1").expect("our own directory");
        let restart = paster.command_in_background(&["restart", "late"]);
        paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
        paster.command(&["scale", "late", "3"]).succeeded();
        restart.join().expect("no panic").succeeded();
        let status = paster.status();
        let app = status.app("late");
        assert_eq!((app.generation, app.pids().len()), (2, 3), "{app:#?}");
    }

    #[test]
    fn a_newer_number_replaces_an_older_one_and_both_hear_of_it() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        let boot = site.path("boot");
        let paster = site.serve();
        fs::write(&boot, "1").expect("our own directory");
        let first = paster.command_in_background(&["scale", "late", "2", "--json"]);
        paster.wait_until("it is under way", |s| s.app("late").processes == 2);
        let second = paster
            .command(&["scale", "late", "3", "--json"])
            .succeeded();
        let first = first.join().expect("no panic").succeeded();
        for result in [first, second] {
            assert_eq!(json(&result)["apps"][0]["processes"], 3, "{result:#?}");
        }
        assert_eq!(paster.status().app("late").pids().len(), 3);
    }
}

mod wait {
    use super::*;

    #[test]
    fn it_waits_for_paster_itself_to_come() {
        let site = Site::new().actor("home", "/").option("home", "boot = 1");
        site.write();
        let mut waiter = Command::new(env!("CARGO_BIN_EXE_paster"))
            .args(["wait", "--timeout", "30s", "--run-dir"])
            .arg(site.run_dir())
            .arg(site.config())
            .stdout(Stdio::piped())
            .spawn()
            .expect("paster was built");
        let paster = site.serve_unready();
        let status = waiter.wait().expect("our own child");
        assert!(status.success(), "{status}");
        assert!(paster.status().app("home").is_ready());
        let mut text = String::new();
        let mut stdout = waiter.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).expect("text");
        assert_eq!(text, "home: ready (generation 1)\n");
    }

    #[test]
    fn what_is_missing_is_named_after_the_time() {
        let paster = Site::new()
            .actor("home", "/")
            .actor("other", "/other")
            .serve();
        paster.command(&["wait", "--timeout", "0"]).succeeded();
        paster.command(&["stop", "home"]).succeeded();
        let late = paster.command(&["wait", "--timeout", "100ms"]);
        assert_eq!(late.code, Some(4), "{late:#?}");
        assert!(late.stderr.contains("home: it is stopped"), "{late:#?}");
        assert!(!late.stderr.contains("other"), "{late:#?}");
        let late = paster.command(&["wait", "home", "--timeout", "100ms", "--json"]);
        let outcome = json(&late);
        assert_eq!(outcome["ok"], false, "{outcome}");
        assert_eq!(outcome["error"]["class"], "timeout", "{outcome}");
        assert_eq!(outcome["apps"][0]["app"], "home", "{outcome}");
        paster
            .command(&["wait", "other", "--timeout", "0"])
            .succeeded();
        let unknown = paster.command(&["wait", "hmoe"]);
        assert_eq!(unknown.code, Some(1), "{unknown:#?}");
    }

    #[test]
    fn other_states_can_be_waited_for() {
        let paster = Site::new()
            .actor("home", "/")
            .actor("lazy", "/lazy")
            .policy("lazy", "idle_timeout = 500ms")
            .actor("bad", "/bad")
            .option("bad", "exit = 78")
            .serve_unready();
        paster.expect_death("exited with status 78");
        paster
            .command(&["wait", "bad", "--for", "failed"])
            .succeeded();
        paster
            .command(&["wait", "home", "lazy", "--for", "ready"])
            .succeeded();
        assert_eq!(paster.get("/lazy/").status, 200);
        paster
            .command(&["wait", "lazy", "--for", "idle"])
            .succeeded();
        let stopped = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
        paster.command(&["stop", "home"]).succeeded();
        stopped.join().expect("no panic").succeeded();
        assert!(paster.status().app("home").workers.is_empty());
    }

    #[test]
    fn the_end_of_paster_can_be_waited_for() {
        let site = Site::new().actor("home", "/");
        site.write();
        let run_dir = site.run_dir().display().to_string();
        let words = [
            "wait",
            "site.ini",
            "--run-dir",
            &run_dir,
            "--timeout",
            "100ms",
        ];
        let nothing = Paster::run(&site, &words);
        assert_eq!(nothing.code, Some(4), "{nothing:#?}");
        assert!(nothing.stderr.contains("does not run"), "{nothing:#?}");
        let words = [
            "wait",
            "site.ini",
            "--run-dir",
            &run_dir,
            "--for",
            "stopped",
        ];
        Paster::run(&site, &words).succeeded();

        let mut paster = site.serve();
        let late = paster.command(&["wait", "--for", "stopped", "--timeout", "100ms"]);
        assert_eq!(late.code, Some(4), "{late:#?}");
        let end = paster.command_in_background(&["wait", "--for", "stopped"]);
        paster.command(&["stop"]).succeeded();
        end.join().expect("no panic").succeeded();
        assert!(paster.wait_for_end().success());
    }

    #[test]
    fn it_waits_on_over_an_upgrade() {
        let paster = Site::new().actor("home", "/").serve();
        let waiter = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
        paster.command(&["upgrade"]).succeeded();
        paster.command(&["stop", "home"]).succeeded();
        waiter.join().expect("no panic").succeeded();
    }

    #[test]
    fn it_waits_on_when_paster_goes_and_comes_back() {
        let site = Site::new().actor("home", "/").option("home", "boot = 60");
        let mut paster = site.serve_unready();
        // By relative paths, so that nobody takes it for something that paster has left.
        let mut waiter = Command::new(env!("CARGO_BIN_EXE_paster"))
            .args(["wait", "site.ini", "--run-dir", "run", "--timeout", "60s"])
            .current_dir(paster.site().dir())
            .stdout(Stdio::null())
            .spawn()
            .expect("paster was built");
        paster.wait_for("it waits", || {
            let path = paster.site().run_dir().join("control.sock");
            let table = fs::read_to_string("/proc/net/unix").expect("proc(5)");
            // The listener itself, and the server's end of one connection.
            table.matches(&path.display().to_string()).count() == 2
        });
        paster.signal(Signal::SIGKILL);
        paster.wait_for_end();
        let paster = paster.finish().option("home", "boot = 0").serve_unready();
        assert!(waiter.wait().expect("our own child").success());
        assert!(paster.status().app("home").is_ready());
    }
}

mod at_once {
    use super::*;

    #[test]
    fn a_newer_restart_decides_for_the_older_one_too() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        let boot = site.path("boot");
        let paster = site.policy("late", "start_timeout = 5s").serve();
        paster.expect_log("new generation given up; the old one serves on");
        paster.expect_log("worker not ready in time");
        let pid = paster.status().app("late").pid();
        fs::write(&boot, "600").expect("our own directory");
        let first = paster.command_in_background(&["restart", "late"]);
        paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
        fs::write(&boot, "0").expect("our own directory");
        let second = paster.command(&["restart", "late", "--json"]).succeeded();
        let first = first.join().expect("no panic").succeeded();
        assert_eq!(first.stdout, "late: restarted (generation 3)\n");
        assert_eq!(json(&second)["apps"][0]["generation"], 3);
        assert_ne!(paster.status().app("late").pid(), pid);

        // And the other way round: the newer one fails, so the older one has not worked either.
        let pid = paster.status().app("late").pid();
        fs::write(&boot, "2").expect("our own directory");
        let first = paster.command_in_background(&["restart", "late"]);
        paster.wait_until("it is under way", |s| {
            s.app("late").workers.iter().any(|w| w.generation == 4)
        });
        fs::write(&boot, "600").expect("our own directory");
        let second = paster.command(&["restart", "late"]);
        let first = first.join().expect("no panic");
        for result in [first, second] {
            assert_eq!(result.code, Some(1), "{result:#?}");
        }
        assert_eq!(paster.status().app("late").pid(), pid);
    }

    #[test]
    fn a_stop_ends_a_restart_and_both_are_told() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        let boot = site.path("boot");
        let paster = site.serve();
        fs::write(&boot, "600").expect("our own directory");
        let restart = paster.command_in_background(&["restart", "late"]);
        paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
        paster.command(&["stop", "late"]).succeeded();
        let restart = restart.join().expect("no panic");
        assert_eq!(restart.code, Some(1), "{restart:#?}");
        assert_eq!(
            restart.stderr,
            "error: `late` was not restarted: the app was stopped\n"
        );
        assert!(paster.status().app("late").workers.is_empty());
    }

    #[test]
    fn a_start_ends_a_stop_and_both_are_told() {
        let paster = Site::new().actor("home", "/").serve();
        let slow = paster.get_in_background("/slow?s=2");
        paster.wait_until("it is in flight", |s| {
            s.app("home").workers[0].in_flight == 1
        });
        let stop = paster.command_in_background(&["stop", "home"]);
        paster.wait_until("it stops", |s| s.app("home").state == "stopped");
        paster.command(&["start", "home"]).succeeded();
        let stop = stop.join().expect("no panic");
        assert_eq!(stop.code, Some(1), "{stop:#?}");
        assert!(
            stop.stderr.contains("a later command has started it again"),
            "{stop:#?}"
        );
        assert_eq!(paster.get("/").status, 200);
        let slow = slow.join().expect("no panic").expect("an answer");
        assert_eq!(slow.status, 200);
    }

    #[test]
    fn starts_of_an_app_that_is_starting_wait_for_that_start() {
        let site = Site::new().python("late", "/", SLOW_STARTER);
        fs::write(site.path("boot"), "1").expect("our own directory");
        let paster = site.serve_unready();
        let starts = [(); 3].map(|()| paster.command_in_background(&["start", "late"]));
        for start in starts {
            let start = start.join().expect("no panic").succeeded();
            assert_eq!(start.stdout, "late: started (generation 1)\n");
        }
        assert_eq!(paster.get("/").status, 200);
    }

    #[test]
    fn a_restart_during_a_reload_and_a_reload_during_a_restart_both_end_well() {
        let mut paster = Site::new()
            .actor("home", "/")
            .option("home", "boot = 0.5")
            .serve();
        let load = paster.load("/", 4, 50);
        let restart = paster.command_in_background(&["restart", "home"]);
        paster.edit(|site| site.option("home", "version = 2"));
        let reload = paster.command_in_background(&["reload"]);
        let again = paster.command_in_background(&["restart", "home"]);
        for command in [restart, reload, again] {
            command.join().expect("no panic").succeeded();
        }
        assert_eq!(paster.get("/").json()["version"], "2");
        // A change that needs no new process, while others start: it is not lost.
        let restart = paster.command_in_background(&["restart", "home"]);
        paster.wait_until("it is under way", |s| s.app("home").workers.len() > 1);
        paster.edit(|site| site.policy("home", "processes = 2"));
        paster.command(&["reload"]).succeeded();
        restart.join().expect("no panic").succeeded();
        let status = paster.wait_until("two workers are left", |s| {
            s.app("home").is_ready() && s.app("home").workers.len() == 2
        });
        assert_eq!(status.app("home").pids().len(), 2);
        let result = load.finish();
        assert!(result.is_clean(), "{result}");
    }

    #[test]
    fn a_reload_tries_again_what_did_not_come_up() {
        let site = Site::new().actor("home", "/");
        let broken = site.path("broken");
        let mut paster = site
            .option("home", &format!("broken = {}", broken.display()))
            .serve();
        paster.expect_log("new generation given up; the old one serves on");
        paster.allow_log("exited with status 1");
        fs::write(&broken, "").expect("our own directory");
        paster.edit(|site| site.option("home", "version = 2"));
        let reload = paster.command(&["reload"]);
        assert_eq!(reload.code, Some(1), "{reload:#?}");
        assert_eq!(paster.get("/").json()["version"], "1");
        fs::remove_file(&broken).expect("it is there");
        let reload = paster.command(&["reload"]).succeeded();
        assert!(reload.stdout.contains("home: restarted"), "{reload:#?}");
        assert_eq!(paster.get("/").json()["version"], "2");
        let reload = paster.command(&["reload"]).succeeded();
        assert_eq!(reload.stdout, "nothing has changed\n");
    }

    #[test]
    fn an_app_that_a_reload_adds_serves_when_it_returns_or_is_reported() {
        let mut paster = Site::new().actor("home", "/").serve();
        paster.edit(|site| site.actor("good", "/good").option("good", "boot = 0.5"));
        let reload = paster.command(&["reload"]).succeeded();
        assert!(reload.stdout.contains("good: added"), "{reload:#?}");
        assert!(paster.status().app("good").is_ready());
        paster.expect_death("exited with status 3");
        paster.edit(|site| {
            site.actor("bad", "/bad")
                .option("bad", "exit = 3")
                .policy("bad", "restart_delay = 30s")
        });
        let reload = paster.command(&["reload"]);
        assert_eq!(reload.code, Some(1), "{reload:#?}");
        assert!(
            reload
                .stderr
                .contains("`bad` was added, but does not serve"),
            "{reload:#?}"
        );
        assert!(
            reload
                .stderr
                .contains("exited with status 3 before it was ready"),
            "{reload:#?}"
        );
    }

    #[test]
    fn another_upstream_address_is_used_after_a_reload() {
        let ours = Site::new().actor("home", "/").serve();
        let port = |paster: &Paster| format!("http://127.0.0.1:{}", paster.address().port());
        let mut paster = Site::new()
            .section("away", "/", "http://127.0.0.1:9")
            .policy("away", "queue_timeout = 500ms")
            .serve();
        paster.allow_log("the proxy cannot connect");
        assert_ne!(paster.get("/").status, 200);
        let text = paster.site().text();
        paster.edit(|site| site.ini(&text.replace("http://127.0.0.1:9", &port(&ours))));
        let reload = paster.command(&["reload"]).succeeded();
        assert_eq!(reload.stdout, "away: updated (generation 1)\n");
        assert_eq!(paster.get("/").status, 200);
        // Workers of our own instead, and elsewhere again.
        let elsewhere = paster.site().text();
        paster.edit(|site| {
            let ours = elsewhere.replace(&port_line(&elsewhere), "use = actor:factory");
            site.actor("unused", "/unused").ini(&ours)
        });
        paster.command(&["reload"]).succeeded();
        assert_eq!(paster.get("/").json()["app"], "away");
        paster.command(&["stop", "away"]).succeeded();
        paster.edit(|site| site.ini(&elsewhere));
        paster.command(&["reload"]).succeeded();
        assert_eq!(paster.status().app("away").state, "stopped");
        paster.command(&["start", "away"]).succeeded();
        assert_eq!(paster.get("/").json()["app"], "home");
    }

    /// The line of an INI file that names an upstream.
    fn port_line(text: &str) -> String {
        let line = text.lines().find(|line| line.starts_with("use = http:"));
        line.expect("an upstream").to_owned()
    }

    #[test]
    fn on_the_way_out_nothing_is_started_and_nobody_waits_in_vain() {
        let mut paster = Site::new().actor("home", "/").serve();
        let slow = paster.get_in_background("/slow?s=2");
        paster.wait_until("it is in flight", |s| {
            s.app("home").workers[0].in_flight == 1
        });
        let waiting = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
        let stop = paster.command_in_background(&["stop"]);
        paster.wait_for_log("stopping: requests in flight finish first");
        for words in [
            &["restart", "home"][..],
            &["start"],
            &["reload"],
            &["scale", "home", "2"],
        ] {
            let result = paster.command(words);
            assert_eq!(result.code, Some(1), "{words:?}: {result:#?}");
            assert_eq!(result.stderr, "error: paster is stopping\n", "{words:?}");
        }
        let again = paster.command_in_background(&["stop"]);
        let answer = slow.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200);
        stop.join().expect("no panic").succeeded();
        again.join().expect("no panic").succeeded();
        assert!(paster.wait_for_end().success());
        // The app is stopped for a moment before paster has ended; then nothing runs.
        let waiting = waiting.join().expect("no panic");
        assert!(matches!(waiting.code, Some(0 | 4)), "{waiting:#?}");
    }

    #[test]
    fn fifty_commands_at_once_are_all_answered() {
        let paster = Site::new()
            .actor("one", "/one")
            .actor("two", "/two")
            .serve();
        let load = paster.load("/two/", 2, 20);
        let lines: [&[&str]; 10] = [
            &["restart", "one"],
            &["restart"],
            &["scale", "one", "2"],
            &["scale", "one=1", "two=2"],
            &["reload"],
            &["stop", "one"],
            &["start", "one"],
            &["status"],
            &["events"],
            &["wait", "two", "--timeout", "60s"],
        ];
        let commands: Vec<_> = (0..50)
            .map(|n| {
                let words = lines[n % lines.len()];
                (words, paster.command_in_background(words))
            })
            .collect();
        for (words, command) in commands {
            let result = command.join().expect("it ends");
            assert!(matches!(result.code, Some(0 | 1)), "{words:?}: {result:#?}");
            assert!(!result.stderr.contains("busy"), "{words:?}: {result:#?}");
            if result.code == Some(1) {
                // What was undone by a later command says so.
                let is_true = result.stderr.contains("the app was stopped")
                    || result
                        .stderr
                        .contains("a later command has started it again");
                assert!(is_true, "{words:?}: {result:#?}");
            }
        }
        paster.command(&["scale", "one=1", "two=1"]).succeeded();
        paster.command(&["start"]).succeeded();
        paster.command(&["wait"]).succeeded();
        let result = load.finish();
        assert!(result.is_clean(), "two was never stopped: {result}");
        let status = paster.wait_until("everything has its size", |s| {
            s.apps.iter().all(|app| app.workers.len() == 1)
        });
        assert!(status.apps.iter().all(|app| app.is_ready()), "{status:#?}");
    }

    #[test]
    fn who_leaves_early_is_forgotten() {
        let paster = Site::new()
            .actor("home", "/")
            .option("home", "boot = 600")
            .serve_unready();
        for words in [["wait", "home"], ["restart", "home"]] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_paster"))
                .arg(words[0])
                .arg(paster.site().config())
                .arg("--run-dir")
                .arg(paster.site().run_dir())
                .arg(words[1])
                .stderr(Stdio::null())
                .spawn()
                .expect("paster was built");
            std::thread::sleep(std::time::Duration::from_millis(20));
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
        assert!(!paster.status().app("home").is_ready());
    }
}

mod peers {
    use super::*;

    /// Asks for the status as somebody may who has a socket and nothing of ours.
    const STRANGER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"POST /v1/command HTTP/1.1\r\nHost: paster\r\nContent-Length: 20\r\n\r\n" + b'{"command":"reload"}')
data = b""
while True:
    piece = s.recv(4096)
    if not piece:
        break
    data += piece
    if b"\n" in data.partition(b"\r\n\r\n")[2]:
        break
sys.stdout.write(data.decode())
"#;

    #[test]
    fn another_user_is_refused_and_told_so() {
        if !nix::unistd::geteuid().is_root() {
            return; // Only root can be somebody else.
        }
        let paster = Site::new().actor("home", "/").serve();
        paster.expect_log("refused a control connection: user 65534 may not give commands");
        let socket = paster.site().run_dir().join("control.sock");
        let mode = fs::metadata(&socket).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        // Somebody widens what we keep narrow.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("ours");
        let run_dir = paster.site().run_dir();
        fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o755)).expect("ours");
        let answer = Command::new("python3")
            .args(["-c", STRANGER])
            .arg(&socket)
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .expect("python3 is there");
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(
            answer.contains("user 65534 may not give commands to this paster"),
            "{answer}"
        );
        let events = paster.command(&["events", "-n", "1", "--json"]).succeeded();
        assert_eq!(json(&events)["kind"], "control_refused", "{events:#?}");
        assert_eq!(paster.get("/").status, 200);
    }
}

#[test]
fn cpu_time_is_that_of_the_worker_with_all_that_it_has_started() {
    let source = r#"
import os, subprocess, sys
def factory(global_conf):
    def app(environ, start_response):
        loop = "while True: pass"
        if environ["PATH_INFO"] == "/child":
            subprocess.Popen([sys.executable, "-c", loop], start_new_session=True)
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return app
"#;
    let paster = Site::new().python("busy", "/", source).serve();
    let cpu = |s: &crate::harness::Status| s.app("busy").workers[0].cpu_s.unwrap_or_default();
    let before = cpu(&paster.status());
    assert_eq!(paster.get("/child").status, 200);
    let status = paster.wait_until("the child is counted", |s| cpu(s) > before + 0.5);
    assert!(status.cpu_s.is_some() && status.proxy.cpu_s.is_some());
    assert!(status.rss_bytes.is_some() && status.proxy.rss_bytes.is_some());
}
