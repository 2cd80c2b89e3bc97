//! Nothing that an app does harms another one, and a crash loop costs little.

use crate::harness::{DEADLINE, Paster, Site, poll, process};
use std::fs;
use std::time::{Duration, Instant};

/// Two apps: `steady` is watched while `crashy` dies.
fn two_apps() -> Site {
    Site::new()
        .actor("steady", "/steady")
        .actor("crashy", "/crashy")
        .policy("crashy", "restart_delay = 20ms")
}

#[track_caller]
fn neighbours_see_nothing_of(death: &str, description: &str, die: impl Fn(&Paster)) {
    let paster = two_apps().serve();
    paster.expect_death(description);
    let before = paster.status();
    let load = paster.load("/steady/", 4, 100);
    load.wait_for(20);
    die(&paster);
    let after = paster.wait_until("the crashed app serves again", |s| {
        let app = s.app("crashy");
        app.is_ready() && app.pid() != before.app("crashy").pid() && app.restarts > 0
    });
    load.wait_for(20);
    let report = load.finish();
    assert!(report.is_clean(), "{death}: {report}");
    assert_eq!(after.app("steady").pid(), before.app("steady").pid());
    assert_eq!(after.app("steady").restarts, 0);
    let count = paster.get("/steady/").json()["count"].as_u64();
    assert_eq!(
        count,
        Some(report.requests + 1),
        "the counter in memory goes on"
    );
    assert!(
        after
            .app("crashy")
            .last_death
            .as_ref()
            .is_some_and(|death| death.contains(description)),
        "{after:#?}"
    );
}

#[test]
fn an_exit_of_one_app_is_not_noticed_by_another() {
    neighbours_see_nothing_of("exit", "exited with status 3", |paster| {
        assert_eq!(paster.post("/crashy/exit", b"").status, 502);
    });
}

#[test]
fn a_segmentation_fault_of_one_app_is_not_noticed_by_another() {
    neighbours_see_nothing_of("segv", "SIGSEGV", |paster| {
        assert_eq!(paster.post("/crashy/segv", b"").status, 502);
    });
}

#[test]
fn a_killed_app_is_not_noticed_by_another() {
    neighbours_see_nothing_of("kill -9", "SIGKILL", |paster| {
        process::sigkill(paster.status().app("crashy").pid())
    });
}

#[test]
fn a_get_that_killed_its_worker_is_tried_once_more_and_then_answered_with_502() {
    let paster = two_apps().serve();
    paster.expect_death("exited with status 3");
    assert_eq!(paster.get("/crashy/exit").status, 502);
    paster.wait_until("two workers have died", |s| {
        s.app("crashy").restarts == 2 && s.app("crashy").is_ready()
    });
}

#[test]
fn requests_wait_for_the_successor_of_an_idle_worker_that_was_killed() {
    let paster = two_apps().serve();
    paster.expect_death("SIGKILL");
    let pid = paster.status().app("crashy").pid();
    process::sigkill(pid);
    let next = paster.get("/crashy/");
    assert_eq!(next.status, 200);
    assert_ne!(next.json()["pid"], pid);
}

#[test]
fn a_crash_loop_ends_in_a_503_at_once_and_heals_without_a_command() {
    let mut site = two_apps()
        .policy("crashy", "crash_limit = 3")
        .policy("crashy", "restart_max_delay = 1s")
        .policy("crashy", "queue_timeout = 20s");
    let broken = site.path("broken");
    site = site.option("crashy", &format!("broken = {}", broken.display()));
    let paster = site.serve();
    paster.expect_log("crash loop: requests get 503");
    paster.expect_death("SIGKILL");
    paster.allow_log("exited with status 1");
    let first = paster.status().app("crashy").pid();

    fs::write(&broken, "").expect("our own directory");
    process::sigkill(first);
    paster.wait_until("it waits between two attempts", |s| {
        s.app("crashy").state == "backoff"
    });
    let failed = paster.wait_until("it is failed", |s| s.app("crashy").state == "failed");
    assert!(failed.app("crashy").restarts >= 2, "{failed:#?}");
    let asked = Instant::now();
    let answer = paster.get("/crashy/");
    assert_eq!(answer.status, 503);
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "at once, not after {:?}",
        asked.elapsed()
    );
    let retry_after: Option<u64> = answer
        .header("retry-after")
        .and_then(|value| value.parse().ok());
    assert!(
        retry_after.is_some_and(|seconds| seconds >= 1),
        "{answer:?}"
    );
    assert_eq!(paster.get("/steady/").status, 200);

    fs::remove_file(&broken).expect("it is there");
    paster.wait_for("it serves again", || paster.get("/crashy/").status == 200);
}

#[test]
fn the_delay_between_attempts_grows() {
    let paster = Site::new()
        .actor("loop", "/")
        .option("loop", "exit = 9")
        .policy("loop", "restart_delay = 50ms")
        .policy("loop", "restart_max_delay = 2s")
        .policy("loop", "crash_limit = 4")
        .serve_unready();
    paster.expect_log("exited with status 9");
    paster.allow_log("crash loop");
    paster.wait_until("it is failed", |s| s.app("loop").state == "failed");
    let delays = || -> Vec<u64> {
        paster
            .stderr()
            .text()
            .lines()
            .filter(|line| line.contains("exited with status 9"))
            .filter_map(|line| line.split("next start in ").nth(1))
            .filter_map(|delay| match delay.split(' ').next()? {
                ms if ms.ends_with("ms") => ms.trim_end_matches("ms").parse().ok(),
                seconds => {
                    let seconds: f64 = seconds.trim_end_matches('s').parse().ok()?;
                    Some((seconds * 1000.0).round() as u64)
                }
            })
            .collect()
    };
    // The log is read by another thread.
    paster.wait_for("four pauses", || delays().len() >= 4);
    let delays = delays();
    // 50, 100, 200 and then the maximum, each times 0.75 to 1.25.
    for (delay, nominal) in delays.iter().zip([50, 100, 200, 2000]) {
        // Seconds are shown with one digit.
        let range = nominal * 3 / 4 - 1..=nominal * 5 / 4 + 50;
        assert!(range.contains(delay), "{delays:?}");
    }
}

#[test]
fn a_worker_that_exits_with_78_is_not_started_again() {
    let paster = Site::new()
        .actor("steady", "/steady")
        .actor("over", "/over")
        .option("over", "exit = 78")
        .serve_unready();
    paster.expect_log("it is not started again until it is restarted or changed");
    let status = paster.wait_until("it is failed", |s| {
        s.app("over").state == "failed" && s.app("steady").is_ready()
    });
    assert!(status.app("over").workers.is_empty(), "{status:#?}");
    assert_eq!(status.app("over").restarts, 0);
    assert_eq!(paster.get("/over/").status, 503);
    let restart = paster.command(&["restart", "over"]);
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    assert!(
        restart.stderr.contains("exited with status 78"),
        "{restart:#?}"
    );
}

/// Serves a good version of module `app`, replaces it by `source`, and restarts (with a new option of its section:
/// reloads). The command must fail and explain everything, as must the log, and the good version serve on.
#[track_caller]
fn a_broken_version_is_explained(source: &str, option: Option<&str>, explanations: &[&str]) {
    const GOOD: &str = "
def factory(global_conf, greeting='hello'):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '5')])
        return [greeting.encode()]
    return app
";
    let mut paster = Site::new().python("app", "/", GOOD).serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.expect_log("exited with status");
    paster.allow_log("it is not started again");
    let pid = paster.status().app("app").pid();
    paster.edit(|site| match option {
        Some(option) => site.file("app.py", source).option("app", option),
        None => site.file("app.py", source),
    });
    let line = paster
        .site()
        .text()
        .lines()
        .position(|line| line.starts_with("[app:app]"))
        .expect("it is there")
        + 1;
    let file = paster.site().config();
    let result = match option {
        Some(_) => paster.command(&["reload"]),
        None => paster.command(&["restart", "app"]),
    };
    assert_eq!(result.code, Some(1), "{result:#?}");
    let place = format!("{}:{}", file.display(), line);
    let place_of_use = format!("{}:{}", file.display(), line + 1);
    for text in [&result.stderr, &paster.stderr().text()] {
        assert!(text.contains("[app:app]"), "the section is missing: {text}");
        assert!(
            text.contains(&place) || text.contains(&place_of_use),
            "{place} is missing: {text}"
        );
        for explanation in explanations {
            assert!(
                text.contains(explanation),
                "`{explanation}` is missing: {text}"
            );
        }
    }
    assert_eq!(paster.text("/"), "hello");
    assert_eq!(paster.status().app("app").pid(), pid);
}

#[test]
fn a_factory_that_raises_is_explained_with_section_place_and_traceback() {
    let source =
        "def factory(global_conf, **local_conf):\n    raise ValueError('no such dictionary')\n";
    a_broken_version_is_explained(
        source,
        None,
        &["ValueError: no such dictionary", "app.py\", line 2"],
    );
}

#[test]
fn a_module_that_is_missing_is_explained() {
    a_broken_version_is_explained(
        "import no_such_module\n",
        None,
        &["No module named 'no_such_module'"],
    );
}

#[test]
fn an_attribute_that_is_missing_is_explained() {
    a_broken_version_is_explained("def fabrik(global_conf):\n    pass\n", None, &["factory"]);
}

#[test]
fn a_key_that_the_factory_does_not_take_is_explained() {
    let source = "def factory(global_conf, greeting='hello'):\n    return None\n";
    a_broken_version_is_explained(source, Some("greting = hi"), &["greting"]);
}

#[test]
fn an_app_that_closes_all_its_descriptors_harms_only_itself() {
    let paster = two_apps()
        .policy("crashy", "stop_timeout = 500ms")
        .policy("crashy", "queue_timeout = 1s")
        .serve();
    paster.allow_log("of crashy");
    paster.allow_log("the proxy cannot connect to a worker");
    let steady = paster.status().app("steady").pid();
    let load = paster.load("/steady/", 2, 50);
    let answer = paster.post("/crashy/close_everything", b"");
    assert!((500..600).contains(&answer.status), "{answer:?}");
    paster.command(&["restart", "crashy"]).succeeded();
    assert_eq!(paster.get("/crashy/").status, 200);
    let report = load.finish();
    assert!(report.is_clean(), "{report}");
    assert_eq!(paster.status().app("steady").pid(), steady);
}

#[test]
fn garbage_instead_of_a_response_is_a_502() {
    let garbage = "
import socket
serving = socket.socket(fileno=3)
while True:
    connection, _ = serving.accept()
    if connection.recv(65536):
        connection.sendall(b'\\x00\\xff this is not HTTP at all\\r\\n\\r\\n' * 100)
    connection.close()
";
    let paster = Site::new()
        .actor("steady", "/steady")
        .file("garbage.py", garbage)
        .exec("garbage", "/garbage", "python3 {here}/garbage.py")
        .serve();
    assert_eq!(paster.get("/garbage/").status, 502);
    assert_eq!(paster.post("/garbage/", b"x").status, 502);
    assert_eq!(paster.get("/steady/").status, 200);
}

#[test]
fn a_program_that_cannot_be_executed_is_explained_and_harms_nobody() {
    let paster = Site::new()
        .actor("steady", "/")
        .exec("absent", "/absent", "no-such-program-anywhere")
        .serve_unready();
    paster.expect_log("no-such-program-anywhere");
    paster.allow_log("crash loop");
    paster.wait_until("the other app serves", |s| s.app("steady").is_ready());
    let restart = paster.command(&["restart", "absent"]);
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    assert!(
        restart
            .stderr
            .contains("`no-such-program-anywhere` is not in PATH"),
        "{restart:#?}"
    );
    assert_eq!(paster.get("/").status, 200);
    let zombies = poll(DEADLINE, || {
        process::zombie_children(paster.pid())
            .is_empty()
            .then_some(())
    });
    assert!(zombies.is_ok());
}
