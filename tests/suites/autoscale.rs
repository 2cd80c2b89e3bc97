//! More processes while requests wait, fewer when they are not needed (`max_processes`).

use crate::harness::paster::Pending;
use crate::harness::{Paster, Site};
use nix::sys::signal::Signal;

/// One process with one thread, up to `most`.
fn elastic(most: u32) -> Site {
    Site::new()
        .actor("home", "/")
        .policy("home", "threads = 1")
        .policy("home", &format!("max_processes = {most}"))
        .policy("home", "scale_down_after = 1s")
}

/// So many clients, each of which waits for a slow answer.
fn clients(paster: &Paster, count: u32, seconds: f32) -> Vec<Pending> {
    let slow = |_| paster.get_in_background(&format!("/slow?s={seconds}"));
    (0..count).map(slow).collect()
}

#[track_caller]
fn all_answered(clients: Vec<Pending>) {
    for client in clients {
        let answer = client.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn requests_that_wait_bring_processes_and_calm_takes_them_away() {
    let paster = elastic(3).serve();
    let status = paster.status();
    assert_eq!(
        (
            status.app("home").processes,
            status.app("home").max_processes
        ),
        (1, 3)
    );
    let first = status.app("home").pid();
    let slow = clients(&paster, 9, 2.0);
    paster.wait_until("it has as many as it may", |s| {
        let app = s.app("home");
        app.processes == 3 && app.pids().len() == 3
    });
    paster.wait_for_log("requests wait: more processes are started");
    all_answered(slow);
    let status = paster.wait_until("it has one again", |s| {
        let app = s.app("home");
        app.processes == 1 && app.workers.len() == 1
    });
    assert_eq!(status.app("home").pid(), first, "the first one stays");
    assert_eq!(status.app("home").restarts, 0);
    paster.wait_for_log("fewer processes are enough");
}

#[test]
fn an_app_that_is_busy_but_makes_nobody_wait_stays_as_it_is() {
    let paster = elastic(3).policy("home", "threads = 4").serve();
    let slow = clients(&paster, 4, 2.0);
    paster.wait_until("all are in flight", |s| {
        s.app("home").workers[0].in_flight == 4
    });
    all_answered(slow);
    let log = paster.stderr().text();
    assert!(!log.contains("more processes"), "{log}");
}

#[test]
fn processes_that_come_and_go_lose_no_request() {
    let paster = elastic(4).serve();
    let load = paster.load("/slow?s=0.1", 8, 60);
    paster.wait_until("there are more", |s| s.app("home").pids().len() >= 3);
    load.wait_for(100);
    let many = load.finish();
    assert!(many.is_clean(), "{many}");
    let load = paster.load("/", 2, 20);
    paster.wait_until("there are fewer", |s| s.app("home").workers.len() == 1);
    let few = load.finish();
    assert!(few.is_clean(), "{few}");
}

#[test]
fn a_restart_brings_up_as_many_as_there_are() {
    let paster = elastic(3).policy("home", "scale_down_after = 60s").serve();
    all_answered(clients(&paster, 9, 1.0));
    let before = paster.wait_until("all processes serve", |s| s.app("home").pids().len() == 3);
    paster.command(&["restart", "home"]).succeeded();
    let after = paster.status();
    let new = after.app("home").pids();
    assert_eq!(new.len(), 3, "{after:#?}");
    let old = before.app("home").pids();
    assert!(new.iter().all(|pid| !old.contains(pid)));
}

#[test]
fn a_reload_with_other_bounds_counts_at_once() {
    let mut paster = elastic(3).policy("home", "scale_down_after = 60s").serve();
    all_answered(clients(&paster, 9, 1.0));
    paster.wait_until("all processes serve", |s| s.app("home").pids().len() == 3);
    paster.edit(|site| site.policy("home", "max_processes = 2"));
    paster.command(&["reload"]).succeeded();
    paster.wait_until("one has gone", |s| s.app("home").workers.len() == 2);
    paster.edit(|site| {
        site.policy("home", "processes = 4")
            .policy("home", "max_processes = 4")
    });
    paster.command(&["reload"]).succeeded();
    paster.wait_until("all four serve", |s| s.app("home").pids().len() == 4);
}

#[test]
fn ttin_raises_the_lower_bound() {
    let mut paster = elastic(2).serve();
    for wanted in [2, 3] {
        paster.signal(Signal::SIGTTIN);
        paster.wait_until("there is one more", |s| {
            s.app("home").processes == wanted && s.app("home").pids().len() == wanted as usize
        });
    }
    paster.signal(Signal::SIGTTOU);
    paster.wait_until("there is one fewer", |s| s.app("home").workers.len() == 2);
}

#[test]
fn an_app_that_is_stopped_while_it_grows_stays_stopped() {
    let paster = elastic(3).option("home", "boot = 1").serve();
    let waiting = clients(&paster, 6, 1.0);
    paster.wait_until("it grows", |s| s.app("home").workers.len() > 1);
    paster.command(&["stop", "home"]).succeeded();
    let status = paster.status();
    assert!(status.app("home").workers.is_empty(), "{status:#?}");
    for client in waiting {
        let answer = client.join().expect("no panic").expect("an answer");
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    let status = paster.status();
    assert!(status.app("home").workers.is_empty(), "{status:#?}");
    assert_eq!(status.app("home").state, "stopped");
}

#[test]
fn processes_that_do_not_come_up_do_not_lead_to_more_of_them() {
    let site = elastic(4);
    let broken = site.path("broken");
    let paster = site
        .option("home", &format!("broken = {}", broken.display()))
        .serve();
    paster.expect_death("exited with status 1");
    paster.allow_log("crash loop");
    let first = paster.status().app("home").pid();
    std::fs::write(broken, "").expect("a file in the site");
    let load = paster.load("/slow?s=0.2", 4, 20);
    let status = paster.wait_until("the second process has failed twice", |s| {
        s.app("home").restarts >= 2
    });
    assert_eq!(status.app("home").processes, 2);
    assert_eq!(status.app("home").pid(), first);
    let report = load.finish();
    assert!(report.is_clean(), "{report}");
}
