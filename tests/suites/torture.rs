//! Workers that misbehave in every way that we could think of, beside two that do not: clean apps in Python and Rust, with
//! load all the time, lose no request, and paster holds nothing more afterwards than before.
//!
//! What is tortured elsewhere: `crash` (deaths, garbage, closed descriptors, crash loops), `orphans` (daemons), `output` (floods),
//! `upkeep` (memory, watchdog, request timeout), `faults` (the system).

use crate::harness::load::Report;
use crate::harness::paster::report;
use crate::harness::{DEADLINE, Load, Paster, Site, built, poll, process};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// The program `tests/fixtures/programs/outlaw.py` (see its docstring).
const OUTLAW: &str = include_str!("../fixtures/programs/outlaw.py");

/// A site with two clean apps under load.
struct Beside {
    paster: Paster,
    loads: Vec<(&'static str, Load)>,
    before: [Footprint; 2],
}

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footprint {
    descriptors: usize,
    threads: usize,
}

impl Footprint {
    fn of(pid: u32) -> Footprint {
        Footprint {
            descriptors: process::descriptors(pid).len(),
            threads: process::threads(pid),
        }
    }

    fn is_within(self, limit: Footprint) -> bool {
        self.descriptors <= limit.descriptors && self.threads <= limit.threads
    }
}

/// Threads of the supervisor that may have been started meanwhile, and stay: it has a small pool of helpers.
const HELPERS: usize = 8;

/// Serves `site` with two clean apps beside, once all apps are ready.
fn beside(site: Site) -> Beside {
    let rust = format!("exec:{}", built("outlaw").display());
    let paster = site
        .actor("python", "/clean/python")
        .section("rust", "/clean/rust", &rust)
        .policy("", "restart_delay = 20ms")
        .policy("", "restart_max_delay = 500ms")
        .serve();
    let before = footprints(&paster);
    let loads = ["/clean/python", "/clean/rust"];
    let loads = loads.map(|path| (path, paster.load(path, 2, 50))).into();
    Beside {
        paster,
        loads,
        before,
    }
}

/// Of the supervisor and the proxy.
fn footprints(paster: &Paster) -> [Footprint; 2] {
    let status = paster.wait_until("the proxy runs", |status| status.proxy.pid.is_some());
    [paster.pid(), status.proxy.pid.expect("just seen")].map(Footprint::of)
}

impl Beside {
    /// A request to a misbehaving app, with its status, or 0 where the answer was none.
    fn ask(&self, path: &str) -> u16 {
        self.paster
            .connect()
            .get(path)
            .map_or(0, |response| response.status)
    }

    /// The app serves with a worker that is none of these.
    fn has_a_new_worker(&self, app: &str, old: &[u32]) -> u32 {
        let status = self
            .paster
            .wait_until(&format!("{app} has a new worker"), |s| {
                let pids = s.app(app).pids();
                s.app(app).is_ready() && pids.iter().all(|pid| !old.contains(pid))
            });
        status.app(app).pid()
    }

    /// Nobody else has noticed anything, and nothing is left of it.
    fn finish(self) {
        let Beside {
            paster,
            loads,
            before,
        } = self;
        for (path, load) in loads {
            load.wait_for(5);
            let answers: Report = load.finish();
            report(&format!("{path}: {answers}"));
            assert!(answers.is_clean(), "{path}: {answers}");
        }
        // New workers everywhere: the proxy closes its idle connections to the old ones.
        paster.command(&["restart"]).succeeded();
        let limits = [
            Footprint {
                threads: before[0].threads + HELPERS,
                ..before[0]
            },
            before[1],
        ];
        let mut now = before;
        let settled = poll(DEADLINE, || {
            now = footprints(&paster);
            let fits = now
                .iter()
                .zip(limits)
                .all(|(now, limit)| now.is_within(limit));
            fits.then_some(())
        });
        assert!(
            settled.is_ok(),
            "supervisor and proxy: {before:?} before, {now:?} after"
        );
    }
}

fn outlaw(site: Site, mode: &str) -> Site {
    let command = format!("python3 {{here}}/outlaw.py {mode}");
    let name = mode.split(' ').next().expect("a word");
    site.file("outlaw.py", OUTLAW)
        .exec(name, &format!("/{name}"), &command)
}

#[test]
fn programs_that_break_http_get_502_or_504() {
    let refused = ["head", "line", "closes"];
    let late = ["interim", "drip", "deaf"];
    let mut site = Site::new();
    for mode in refused.iter().chain(&late) {
        site = outlaw(site, mode).policy(mode, "request_timeout = 1s");
        site = site.policy(mode, "ready = notify");
        site = site.policy(mode, "stop_timeout = 500ms");
        site = site.policy(mode, "drain_timeout = 500ms");
    }
    let site = beside(site);
    site.paster.allow_log("worker hangs: it did not answer");
    site.paster
        .allow_log("worker ignored SIGTERM; it is killed");
    site.paster
        .allow_log("requests did not finish within the drain timeout");
    let asked: Vec<_> = refused
        .iter()
        .chain(&late)
        .map(|mode| (*mode, site.paster.get_in_background(&format!("/{mode}"))))
        .collect();
    for (mode, pending) in asked {
        let answer = pending
            .join()
            .expect("it does not panic")
            .expect("an answer");
        let expected = if late.contains(&mode) { 504 } else { 502 };
        assert_eq!(answer.status, expected, "{mode}: {answer:?}");
    }
    site.finish();
}

#[test]
fn bodies_without_end_and_bodies_cut_short_are_the_clients_only() {
    let site = beside(outlaw(outlaw(Site::new(), "body"), "cut"));
    let proxy = site.paster.status().proxy.pid.expect("it runs");
    let before = process::rss(proxy);
    let mut client = site.paster.connect();
    client
        .send(b"GET /body HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it takes a request");
    assert_eq!(client.head().expect("a head").status, 200);
    for _ in 0..20_000 {
        client.line().expect("it goes on");
    }
    // A client that does not read holds its worker up and costs one buffer.
    let after = process::rss(proxy);
    assert!(
        after < before + 20_000_000,
        "from {before} to {after} bytes"
    );
    drop(client);
    site.paster.wait_until("its request is over", |s| {
        s.app("body")
            .workers
            .iter()
            .all(|worker| worker.in_flight == 0)
    });
    for _ in 0..10 {
        let cut = site.paster.connect().get("/cut");
        assert!(cut.is_err(), "what was announced did not come: {cut:?}");
    }
    site.finish();
}

#[test]
fn a_program_that_never_accepts_fills_only_its_own_queue() {
    let site = outlaw(Site::new(), "silent")
        .policy("silent", "ready = notify")
        .policy("silent", "queue = 5")
        .policy("silent", "queue_timeout = 1s")
        .policy("silent", "threads = 2")
        .policy("silent", "drain_timeout = 500ms");
    let site = beside(site);
    site.paster
        .allow_log("requests did not finish within the drain timeout");
    let pending: Vec<_> = (0..30)
        .map(|_| site.paster.get_in_background("/silent"))
        .collect();
    site.paster
        .wait_until("its places are taken and its queue is full", |s| {
            let app = s.app("silent");
            app.workers[0].in_flight == 2
        });
    let asked = Instant::now();
    assert_eq!(site.ask("/silent"), 503, "by queue or queue_timeout");
    assert!(asked.elapsed() < Duration::from_secs(10));
    site.paster.command(&["stop", "silent"]).succeeded();
    for answer in pending {
        let answer = answer
            .join()
            .expect("it does not panic")
            .expect("an answer");
        assert!([502, 503].contains(&answer.status), "{answer:?}");
    }
    site.paster.command(&["start", "silent"]).succeeded();
    site.finish();
}

#[test]
fn an_app_that_holds_the_interpreter_or_computes_for_ever_is_replaced() {
    let site = Site::new()
        .actor("lock", "/lock")
        .policy("lock", "watchdog = 1s")
        .actor("loop", "/loop")
        .policy("loop", "request_timeout = 1s")
        .actor("frozen", "/frozen")
        .policy("frozen", "watchdog = 1s")
        .policy("", "stop_timeout = 500ms")
        .policy("", "drain_timeout = 500ms");
    let site = beside(site);
    let paster = &site.paster;
    paster.expect_log("worker hangs: it missed its watchdog of 1s");
    paster.expect_log("worker hangs: it did not answer `GET /loop/loop`");
    paster.allow_log("requests did not finish within the drain timeout");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    let status = paster.status();
    let old = ["lock", "loop", "frozen"].map(|app| status.app(app).pid());
    let _held = paster.post_in_background("/lock/gil", b"");
    let looping = paster.get_in_background("/loop/loop");
    process::signal(old[2], Signal::SIGSTOP);
    for app in ["lock", "loop", "frozen"] {
        site.has_a_new_worker(app, &old);
        assert_eq!(site.ask(&format!("/{app}/")), 200);
    }
    let late = looping
        .join()
        .expect("it does not panic")
        .expect("an answer");
    assert_eq!(late.status, 504);
    for pid in old {
        paster.wait_for("the old worker is gone", || !process::is_alive(pid));
    }
    site.finish();
}

#[test]
fn children_that_keep_everything_open_hold_nobody_up() {
    let site = Site::new()
        .actor("parent", "/parent")
        .policy("parent", "stop_timeout = 500ms");
    let site = beside(site);
    let paster = &site.paster;
    paster.expect_death("exited with status 3");
    paster.expect_death("SIGKILL");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    let children = |site: &Site| -> usize { process::mentioning(site.dir()).len() };
    let usual = children(paster.site());
    // They have its listener, its pipes and its connections; each round ends in another way.
    for end in ["exit", "kill", "restart", "deaf"] {
        let old = paster.status().app("parent").pid();
        paster.text("/parent/children?n=20");
        match end {
            "exit" => drop(paster.connect().request("POST", "/parent/exit", &[], b"")),
            "kill" => process::sigkill(old),
            "deaf" => drop((
                paster.text("/parent/deaf"),
                paster.command(&["restart", "parent"]).succeeded(),
            )),
            _ => drop(paster.command(&["restart", "parent"]).succeeded()),
        }
        site.has_a_new_worker("parent", &[old]);
        assert_eq!(site.ask("/parent/"), 200, "after {end}");
        paster.wait_for("its children are gone", || children(paster.site()) == usual);
    }
    site.finish();
}

#[test]
fn a_flood_of_notifications_is_taken_slowly() {
    let site = Site::new()
        .actor("loud", "/loud")
        .policy("loud", "watchdog = 5s")
        .policy("loud", "processes = 2");
    let site = beside(site);
    let paster = &site.paster;
    let before = process::rss(paster.pid());
    let floods: Vec<_> = (0..2)
        .map(|_| paster.get_in_background("/loud/notify?n=500"))
        .collect();
    // Commands are answered meanwhile.
    for _ in 0..5 {
        paster.command(&["restart", "python"]).succeeded();
    }
    for flood in floods {
        let answer = flood.join().expect("it does not panic").expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let status = paster.status();
    assert_eq!(status.app("loud").restarts, 0, "that was no reason to die");
    let longest = status.app("loud").workers.iter();
    let longest = longest.filter_map(|worker| worker.status.as_ref().map(String::len));
    assert!(longest.max().is_none_or(|length| length <= 500));
    let after = process::rss(paster.pid());
    assert!(
        after < before + 20_000_000,
        "from {before} to {after} bytes"
    );
    site.finish();
}

#[test]
fn a_directory_full_of_files_is_removed_beside_the_loop() {
    let site = outlaw(Site::new(), "hoard --socket {socket}");
    let site = beside(site.policy("hoard", "ready = notify"));
    let paster = &site.paster;
    let files = paster.site().run_dir().join("w");
    let count = || std::fs::read_dir(&files).map_or(0, Iterator::count);
    let usual = count();
    for _ in 0..2 {
        assert_eq!(site.ask("/hoard"), 200);
        let restart = paster.command_in_background(&["restart", "hoard"]);
        // While it is removed, the supervisor is there for others.
        paster.wait_for("the restart", || {
            let asked = Instant::now();
            paster.status();
            assert!(asked.elapsed() < Duration::from_secs(5));
            restart.is_finished()
        });
        restart.join().expect("it does not panic").succeeded();
    }
    paster.wait_for("the old directories are gone", || count() == usual);
    site.finish();
}

#[test]
fn a_rust_worker_dies_and_hangs_in_its_own_ways() {
    let program = format!("exec:{}", built("outlaw").display());
    let site = Site::new()
        .section("outlaw", "/outlaw", &program)
        .policy("outlaw", "watchdog = 1500ms")
        .policy("outlaw", "crash_limit = 100")
        .policy("outlaw", "stop_timeout = 500ms")
        .policy("outlaw", "drain_timeout = 500ms");
    let site = beside(site);
    let paster = &site.paster;
    for part in [
        "of outlaw",
        "app=outlaw",
        "the proxy cannot connect to a worker",
    ] {
        paster.allow_log(part);
    }
    paster.expect_log("worker hangs: it missed its watchdog of 1.5s");
    let mut old = vec![paster.status().app("outlaw").pid()];
    // A panic in a request, 200 threads and leaked memory do not end it.
    site.ask("/outlaw/panic");
    for way in ["threads", "leak"] {
        assert_eq!(site.ask(&format!("/outlaw/{way}")), 200);
    }
    assert_eq!(paster.status().app("outlaw").pids(), old);
    for way in ["abort", "overflow", "exit", "spin", "stop", "block"] {
        let answer = paster.post_in_background(&format!("/outlaw/{way}"), b"");
        old.push(site.has_a_new_worker("outlaw", &old));
        assert_eq!(site.ask("/outlaw"), 200, "after {way}");
        let answer = answer
            .join()
            .expect("it does not panic")
            .expect("an answer");
        // A stopped one goes on when it is to end, and then has an answer.
        let expected = if way == "stop" { 200 } else { 502 };
        assert_eq!(answer.status, expected, "{way}");
    }
    for pid in &old[..old.len() - 1] {
        paster.wait_for("the old workers are gone", || !process::is_alive(*pid));
    }
    site.finish();
}

#[test]
fn sleeping_apps_cost_nothing_and_wake_under_load() {
    const APPS: usize = 40;
    let mut site = Site::new();
    for number in 0..APPS {
        let name = format!("lazy{number}");
        site = site
            .actor(&name, &format!("/{name}"))
            .policy(&name, "idle_timeout = 60s");
    }
    let rust = format!("exec:{}", built("outlaw").display());
    let paster = site.section("rust", "/clean/rust", &rust).serve_unready();
    let status = paster.wait_until("the clean app is ready", |s| s.app("rust").is_ready());
    assert!(
        (0..APPS).all(|number| status.app(&format!("lazy{number}")).state == "idle"),
        "{status:#?}"
    );
    let own = process::children(paster.pid()).len();
    assert_eq!(own, 2, "a proxy and a keeper");
    let load = paster.load("/clean/rust", 2, 50);
    let woken: Vec<_> = (0..5)
        .map(|number| paster.get_in_background(&format!("/lazy{number}/")))
        .collect();
    for answer in woken {
        let answer = answer
            .join()
            .expect("it does not panic")
            .expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let status = paster.status();
    let awake = (0..APPS).filter(|number| status.app(&format!("lazy{number}")).state != "idle");
    assert_eq!(awake.count(), 5, "nobody else was woken");
    let answers = load.finish();
    assert!(answers.is_clean(), "{answers}");
}
