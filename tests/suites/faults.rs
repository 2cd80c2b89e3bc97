//! When the operating system says no: system calls of paster fail by rate and seed, and nothing that runs is lost.
//!
//! Meanwhile an app is restarted, another one dies in several ways, and the configuration is reloaded. A third one is left
//! alone and has load all the time. Commands may fail, with a reason. When the faults end everything recovers by itself.

use crate::harness::faults::{Calls, Faults, Plan, Role};
use crate::harness::paster::report;
use crate::harness::{DEADLINE, Load, Paster, Site, Status, poll, process};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;

/// What happens to apps while calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Workers die, of `exit` and SIGKILL.
    Workers,
    /// And keepers, by SIGKILL.
    Keepers,
}

/// Rounds of harm, at least; and at most, should a kind of calls be hard to hit.
const ROUNDS: u32 = 4;
const MOST_ROUNDS: u32 = 60;

/// A running site with faults to come.
struct Torment {
    faults: Faults,
    paster: Paster,
    before: Status,
    /// Open descriptors of the supervisor and the proxy.
    descriptors: (usize, usize),
    load: Option<Load>,
    preloaded: bool,
}

impl Torment {
    fn new() -> Torment {
        Torment::of(Site::new())
    }

    /// All apps are forked from templates.
    fn preloaded() -> Torment {
        let mut torment = Torment::of(Site::new().policy("", "preload = on"));
        torment.preloaded = true;
        torment
    }

    fn of(site: Site) -> Torment {
        let site = site
            .actor("steady", "/steady")
            .policy("steady", "processes = 2")
            .actor("other", "/other")
            .actor("crashy", "/crashy")
            .policy("", "restart_delay = 20ms")
            .policy("", "restart_max_delay = 300ms")
            .policy("", "start_timeout = 10s")
            .policy("", "stop_timeout = 2s")
            .policy("", "crash_limit = 10000")
            .policy("crashy", "queue_timeout = 500ms");
        let (faults, site) = Faults::prepare(site);
        let paster = site.serve();
        for part in [
            "app=crashy",
            "app=other",
            "of crashy",
            "of other",
            // A command or a reload that was not possible.
            "cannot accept on the control socket",
            "nothing was changed",
            "cannot read",
            "cannot start a thread",
            "crash reports cannot be kept",
            // It will be.
            "cannot start the proxy",
        ] {
            paster.allow_log(part);
        }
        let before = paster.wait_until("the proxy runs", |status| status.proxy.pid.is_some());
        let proxy = before.proxy.pid.expect("just seen");
        let descriptors = (settled(paster.pid()), settled(proxy));
        let load = paster.load("/steady/", 2, 50);
        load.wait_for(10);
        Torment {
            faults,
            paster,
            before,
            descriptors,
            load: Some(load),
            preloaded: false,
        }
    }

    /// Some rounds of harm under faults, which end afterwards: at least until there were `enough`.
    fn suffer(&mut self, plan: Plan, harm: Harm, enough: impl Fn(&Faults) -> bool) {
        self.faults.begin(plan);
        for round in 0..MOST_ROUNDS {
            if round >= ROUNDS && enough(&self.faults) {
                break;
            }
            self.command(&["restart", "other"]);
            // Both need a new connection to a new worker.
            for (method, path) in [("GET", "/other/"), ("POST", "/crashy/exit")] {
                let _ = self.paster.connect().request(method, path, &[], b"");
            }
            self.kill("crashy", Some);
            if harm == Harm::Keepers {
                self.kill("crashy", process::parent);
            }
            self.paster
                .edit(|site| site.option("other", &format!("version = {round}")));
            self.command(&["reload"]);
        }
        self.faults.end();
        report(&format!("hits {:?}", self.faults.hits()));
        assert!(enough(&self.faults), "faults that did not come");
    }

    /// A command does what it should, or says why not; and it comes back.
    fn command(&mut self, words: &[&str]) {
        let result = self.paster.command(words);
        let explained = result.stderr.contains("error: ");
        assert!(
            result.code == Some(0) || (result.code == Some(1) && explained),
            "{words:?}: {result:#?}"
        );
    }

    /// Kills a worker of this app, if one runs, or what belongs to it.
    fn kill(&self, app: &str, whom: impl Fn(u32) -> Option<u32>) {
        let status = self.paster.try_status();
        let pid = status.and_then(|status| status.app(app).pids().first().copied());
        if let Some(pid) = pid.and_then(whom) {
            process::sigkill(pid);
        }
    }

    /// Everything is ready again by itself, nothing was lost, nothing is left over.
    fn has_recovered(&mut self) -> Status {
        let Torment { paster, before, .. } = self;
        let ready = |status: &Status| {
            status.apps.iter().all(|app| app.state == "ready") && status.proxy.pid.is_some()
        };
        paster.wait_until("everything is ready by itself", ready);
        assert_eq!(paster.status().pid, before.pid);
        let steady = paster.status();
        assert_eq!(steady.app("steady").pids(), before.app("steady").pids());
        assert_eq!(steady.app("steady").restarts, 0);

        // What could not be done before can be done now.
        paster.edit(|site| site.option("other", "version = last"));
        paster.command(&["reload"]).succeeded();
        assert_eq!(paster.get("/other/").json()["version"], "last");
        paster.command(&["restart", "crashy"]).succeeded();
        assert_eq!(paster.get("/crashy/").status, 200);
        paster.wait_until("everything is ready", ready)
    }

    fn finish_load(&mut self) -> crate::harness::load::Report {
        self.load.take().expect("it runs").finish()
    }

    /// Descriptors, files, threads and zombies are what they were.
    fn holds_nothing_more(&self) {
        let (paster, pid) = (&self.paster, self.paster.pid());
        let zombies = poll(DEADLINE, || {
            process::zombie_children(pid).is_empty().then_some(())
        });
        assert!(
            zombies.is_ok(),
            "zombies {:?}",
            process::zombie_children(pid)
        );
        let descriptors = poll(DEADLINE, || {
            (process::descriptors(pid).len() <= self.descriptors.0).then_some(())
        });
        assert!(
            descriptors.is_ok(),
            "the supervisor had {} descriptors and has {:#?}",
            self.descriptors.0,
            process::descriptors(pid)
        );
        let ids = |status: &Status| {
            let workers = status.apps.iter().map(|app| app.workers.len());
            workers.sum::<usize>()
        };
        let files = || -> BTreeSet<String> {
            let entries = fs::read_dir(paster.site().run_dir().join("w")).expect("it serves");
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        };
        // A socket for each worker, and a notify socket for each, or for the template of each app.
        let files_match = poll(DEADLINE, || {
            let status = paster.status();
            let notify = match self.preloaded {
                true => status.apps.len(),
                false => ids(&status),
            };
            (files().len() == ids(&status) + notify).then_some(())
        });
        assert!(files_match.is_ok(), "files of workers: {:?}", files());
    }
}

/// The number of open descriptors of a process, once nothing changes any more.
fn settled(pid: u32) -> usize {
    let mut last = (0, 0);
    let stable = poll(DEADLINE, || {
        let now = process::descriptors(pid).len();
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        (last.1 >= 10).then_some(now)
    });
    stable.expect("an idle process opens nothing")
}

/// Each of these kinds of calls has failed.
fn hit(calls: &[Calls]) -> impl Fn(&Faults) -> bool {
    |faults| calls.iter().all(|calls| faults.hit(*calls))
}

/// The supervisor's own calls fail: no running app notices.
#[track_caller]
fn the_supervisor_survives(
    calls: &[Calls],
    percent: u32,
    seed: u32,
    harm: Harm,
    enough: impl Fn(&Faults) -> bool,
) {
    let torment = Torment::new();
    the_supervisor_survives_in(torment, calls, percent, seed, harm, enough);
}

#[track_caller]
fn the_supervisor_survives_in(
    mut torment: Torment,
    calls: &[Calls],
    percent: u32,
    seed: u32,
    harm: Harm,
    enough: impl Fn(&Faults) -> bool,
) {
    let plan = Plan {
        role: Role::Supervisor,
        calls,
        percent,
        seed,
    };
    torment.suffer(plan, harm, enough);
    let after = torment.has_recovered();
    let answers = torment.finish_load();
    assert!(answers.is_clean(), "{answers}");
    assert_eq!(
        after.proxy.pid, torment.before.proxy.pid,
        "the proxy goes on"
    );
    torment.holds_nothing_more();
}

#[test]
fn the_supervisor_survives_failures_to_start_processes() {
    let calls = [Calls::Fork, Calls::Exec];
    the_supervisor_survives(&calls, 40, 1, Harm::Keepers, hit(&calls));
}

#[test]
fn the_supervisor_survives_failures_to_start_threads() {
    the_supervisor_survives(
        &[Calls::Thread],
        50,
        2,
        Harm::Keepers,
        hit(&[Calls::Thread]),
    );
}

#[test]
fn the_supervisor_survives_failures_to_make_pipes_and_sockets() {
    let calls = [Calls::Pipe, Calls::Socket];
    the_supervisor_survives(&calls, 15, 3, Harm::Workers, hit(&calls));
}

#[test]
fn the_supervisor_survives_failures_to_open_files() {
    the_supervisor_survives(&[Calls::Open], 15, 4, Harm::Keepers, hit(&[Calls::Open]));
}

#[test]
fn the_supervisor_survives_failures_to_accept() {
    the_supervisor_survives(
        &[Calls::Accept],
        50,
        5,
        Harm::Workers,
        hit(&[Calls::Accept]),
    );
}

#[test]
fn the_supervisor_survives_failures_to_write() {
    the_supervisor_survives(&[Calls::Write], 30, 6, Harm::Keepers, hit(&[Calls::Write]));
}

#[test]
fn the_supervisor_survives_interrupted_reads_and_waits() {
    let calls = [Calls::Read, Calls::Wait];
    the_supervisor_survives(&calls, 50, 7, Harm::Workers, hit(&[Calls::Read]));
}

#[test]
fn the_supervisor_survives_failures_to_watch_descriptors() {
    the_supervisor_survives(&[Calls::Epoll], 30, 8, Harm::Workers, hit(&[Calls::Epoll]));
}

#[test]
fn the_supervisor_survives_a_log_that_cannot_be_written() {
    let mut torment = Torment::new();
    let plan = Plan {
        role: Role::Supervisor,
        calls: &[Calls::Log],
        percent: 70,
        seed: 9,
    };
    torment.suffer(plan, Harm::Keepers, hit(&[Calls::Log]));
    torment.has_recovered();
    let answers = torment.finish_load();
    assert!(answers.is_clean(), "{answers}");
    torment.holds_nothing_more();
}

/// Two, or those in `PASTER_TEST_SEEDS` (`100..120`), for whoever wants more of them.
fn seeds() -> Range<u32> {
    let Ok(wanted) = std::env::var("PASTER_TEST_SEEDS") else {
        return 10..12;
    };
    let bounds = wanted
        .split_once("..")
        .and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("PASTER_TEST_SEEDS should be like 100..120, not {wanted}"))
}

#[test]
fn the_supervisor_survives_everything_at_once() {
    const ERRORS: [Errno; 6] = [
        Errno::EAGAIN,
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOMEM,
        Errno::ENOSPC,
        Errno::EINTR,
    ];
    for seed in seeds() {
        let harm = [Harm::Keepers, Harm::Workers][seed as usize % 2];
        the_supervisor_survives(&Calls::ALL, 8, seed, harm, |faults| {
            ERRORS.iter().all(|errno| faults.with(*errno) > 0)
        });
    }
}

#[test]
fn the_supervisor_survives_everything_with_preloaded_apps() {
    let enough = [Calls::Fork, Calls::Pipe, Calls::Socket, Calls::Write];
    let torment = Torment::preloaded();
    the_supervisor_survives_in(torment, &Calls::ALL, 8, 61, Harm::Keepers, hit(&enough));
}

#[test]
fn a_proxy_that_was_killed_is_replaced_when_the_system_allows_it() {
    let mut torment = Torment::new();
    torment.paster.expect_log("the proxy ended; it is replaced");
    let calls = [Calls::Fork, Calls::Socket, Calls::Dup, Calls::Epoll];
    torment.faults.begin(Plan {
        role: Role::Supervisor,
        calls: &calls,
        percent: 15,
        seed: 20,
    });
    let old = torment.before.proxy.pid.expect("it runs");
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && torment.faults.hit(Calls::Dup) {
            break;
        }
        let status = torment.paster.try_status();
        let pid = status.and_then(|status| status.proxy.pid);
        process::sigkill(pid.unwrap_or(old));
        // Connections wait in the listener, which is the supervisor's; the new proxy answers them.
        assert_eq!(torment.paster.get("/steady/").status, 200);
    }
    torment.faults.end();
    let after = torment.has_recovered();
    assert_ne!(after.proxy.pid, Some(old));
    assert!(
        torment.faults.hit(Calls::Dup),
        "{:?}",
        torment.faults.hits()
    );
    let answers = torment.finish_load();
    assert_eq!(
        answers.statuses.keys().collect::<Vec<_>>(),
        [&200],
        "{answers}"
    );
    torment.holds_nothing_more();
}

/// Calls of keepers fail: what runs goes on, and a start that fails says why.
#[track_caller]
fn keepers_tell(
    mut torment: Torment,
    calls: &[Calls],
    percent: u32,
    seed: u32,
    must_be_hit: &[Calls],
) {
    torment.suffer(
        Plan {
            role: Role::Keeper,
            calls,
            percent,
            seed,
        },
        Harm::Workers,
        hit(must_be_hit),
    );
    torment.has_recovered();
    let answers = torment.finish_load();
    assert!(answers.is_clean(), "{answers}");
    let log = torment.paster.stderr().text();
    assert!(!log.contains("ended with its keeper"), "{log}");
    torment.holds_nothing_more();
}

#[test]
fn a_keeper_that_cannot_start_its_worker_says_why() {
    let calls = [Calls::Fork, Calls::Exec, Calls::Pipe, Calls::Open];
    let must_be_hit = [Calls::Fork, Calls::Exec, Calls::Open];
    keepers_tell(Torment::new(), &calls, 15, 30, &must_be_hit);
}

#[test]
fn a_keeper_keeps_its_worker_when_it_cannot_wait_read_or_write() {
    let calls = [Calls::Read, Calls::Write, Calls::Wait, Calls::Dup];
    let must_be_hit = [Calls::Read, Calls::Write, Calls::Wait];
    keepers_tell(Torment::new(), &calls, 50, 31, &must_be_hit);
}

#[test]
fn the_keeper_of_a_template_keeps_all_workers_whatever_fails() {
    let calls = [
        Calls::Read,
        Calls::Write,
        Calls::Wait,
        Calls::Dup,
        Calls::Open,
        Calls::Socket,
    ];
    let must_be_hit = [Calls::Read, Calls::Write, Calls::Wait, Calls::Open];
    keepers_tell(Torment::preloaded(), &calls, 30, 32, &must_be_hit);
}

/// Calls of the proxy fail: single requests may be refused, and the proxy stays. Nothing else notices.
#[track_caller]
fn the_proxy_survives(calls: &[Calls], percent: u32, seed: u32, must_be_hit: &[Calls]) {
    let mut torment = Torment::new();
    torment.paster.allow_log("cannot accept, trying again");
    torment
        .paster
        .allow_log("the proxy cannot connect to a worker");
    torment.suffer(
        Plan {
            role: Role::Proxy,
            calls,
            percent,
            seed,
        },
        Harm::Workers,
        hit(must_be_hit),
    );
    let after = torment.has_recovered();
    assert_eq!(after.proxy.pid, torment.before.proxy.pid, "it goes on");
    let answers = torment.finish_load();
    report(&answers.to_string());
    assert!(
        answers
            .statuses
            .keys()
            .all(|status| [200, 503].contains(status)),
        "{answers}"
    );
    // What the proxy holds for idle connections goes with the workers that they lead to.
    torment.paster.command(&["restart"]).succeeded();
    let proxy = after.proxy.pid.expect("it runs");
    let descriptors = poll(DEADLINE, || {
        (process::descriptors(proxy).len() <= torment.descriptors.1).then_some(())
    });
    assert!(
        descriptors.is_ok(),
        "the proxy had {} descriptors and has {:#?}",
        torment.descriptors.1,
        process::descriptors(proxy)
    );
}

#[test]
fn the_proxy_survives_when_it_can_open_no_connection() {
    let calls = [Calls::Accept, Calls::Socket, Calls::Connect, Calls::Epoll];
    the_proxy_survives(
        &calls,
        30,
        40,
        &[Calls::Accept, Calls::Socket, Calls::Connect, Calls::Epoll],
    );
}

#[test]
fn the_proxy_survives_when_it_can_hardly_read_and_write() {
    let calls = [Calls::Read, Calls::Write, Calls::Log];
    the_proxy_survives(&calls, 20, 41, &[Calls::Read, Calls::Write]);
}

#[test]
fn a_proxy_that_cannot_start_is_started_again_until_it_can() {
    let mut torment = Torment::new();
    torment.paster.expect_log("the proxy ended; it is replaced");
    torment.paster.expect_log("the proxy cannot start");
    let calls = [Calls::Thread, Calls::Dup, Calls::Open, Calls::Epoll];
    torment.faults.begin(Plan {
        role: Role::Proxy,
        calls: &calls,
        percent: 40,
        seed: 50,
    });
    let old = torment.before.proxy.pid.expect("it runs");
    process::sigkill(old);
    torment.paster.wait_for_log("the proxy cannot start");
    torment.faults.end();
    assert_eq!(torment.paster.get("/steady/").status, 200);
    torment.has_recovered();
    let answers = torment.finish_load();
    assert_eq!(
        answers.statuses.keys().collect::<Vec<_>>(),
        [&200],
        "{answers}"
    );
    torment.holds_nothing_more();
}

/// A name to listen on that no server answers for.
#[test]
fn a_name_that_is_looked_up_for_long_holds_up_nobody() {
    let site = Site::new().actor("home", "/").listen_as_configured();
    let (faults, site) = Faults::prepare(site);
    let mut paster = site.serve();
    for part in ["cannot listen on other.example:", "nothing was changed"] {
        paster.expect_log(part);
    }
    faults.begin(Plan {
        role: Role::Supervisor,
        calls: &[Calls::Lookup],
        percent: 100,
        seed: 1,
    });
    paster.edit(|site| {
        let text = site.text();
        site.ini(&text.replace("host = 127.0.0.1", "host = other.example"))
    });
    let reload = paster.command_in_background(&["reload"]);
    paster.wait_for("the name is looked up", || faults.hit(Calls::Lookup));
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.status().app("home").generation, 2);
    assert!(!reload.is_finished());
    faults.end();
    let reload = reload.join().expect("it does not panic");
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(
        reload.stderr.contains("cannot listen on other.example:"),
        "{reload:#?}"
    );
}
