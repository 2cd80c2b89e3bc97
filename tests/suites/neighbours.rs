//! One app does its worst, within its limits; the others serve on. A steady load on the neighbour runs beside each harm.

use crate::harness::confinement::{PYTHON, can_change_users, if_it_can};
use crate::harness::paster::report;
use crate::harness::{DEADLINE, Paster, Site};

/// Requests to the neighbour for as long as `harm` takes, and some more; all must be answered.
fn unharmed(name: &str, paster: &Paster, harm: impl FnOnce(&Paster)) {
    let neighbour = paster.status().app("steady").pid();
    let load = paster.load("/steady/", 4, 100);
    load.wait_for(20);
    harm(paster);
    load.wait_for(200);
    let result = load.finish();
    report(&format!("{name}: {result}"));
    assert!(result.is_clean(), "{result}");
    assert!(result.max_latency < DEADLINE, "{result}");
    assert_eq!(paster.status().app("steady").pid(), neighbour);
}

/// An app `bad` with these settings beside one that behaves.
fn beside(settings: &[&str]) -> Option<Paster> {
    let site = Site::new()
        .prisoner("bad", "/bad")
        .prisoner("steady", "/steady");
    let common = ["restart_delay = 20ms", "stop_timeout = 1s", "nice = 5"];
    let settings = common.iter().chain(settings);
    let site = settings.fold(site, |site, line| site.policy("bad", line));
    let paster = if_it_can(site)?.serve();
    paster.allow_log("crash loop");
    Some(paster)
}

fn get(paster: &Paster, target: &str) -> String {
    paster.text(target)
}

/// Ends the harm by the means that an operator has, and sees that the app is well again.
fn restart(paster: &Paster) {
    paster.allow_log("worker ignored SIGTERM; it is killed");
    paster.command(&["restart", "bad"]).succeeded();
    assert_eq!(paster.get("/bad/").status, 200);
}

#[test]
fn a_fork_bomb_within_cgroup_pids() {
    let Some(paster) = beside(&["cgroup_pids = 40", "cgroup_cpu = 50%%"]) else {
        return;
    };
    unharmed("fork bomb, cgroup_pids", &paster, |paster| {
        assert_eq!(get(paster, "/bad/bomb?depth=7"), "\"lit\"");
        paster.wait_for("the limit is reached", || {
            // Whoever asks gets an answer or not; the bomb has the group full in either case.
            paster.get("/bad/fork?count=1").text().contains("EAGAIN")
        });
        restart(paster);
    });
}

#[test]
fn a_fork_bomb_of_a_user_within_limit_nproc() {
    if !can_change_users() {
        return;
    }
    // Nobody else runs as this user.
    let python = format!("python = {PYTHON}");
    let settings = ["user = 61232", "limit_nproc = 40", &python];
    let Some(paster) = beside(&settings) else {
        return;
    };
    unharmed("fork bomb, limit_nproc", &paster, |paster| {
        assert_eq!(get(paster, "/bad/bomb?depth=7"), "\"lit\"");
        paster.wait_for("the limit is reached", || {
            paster.get("/bad/fork?count=1").text().contains("EAGAIN")
        });
        // The new generation has to share the limit with the bomb, so the app is stopped first.
        paster.allow_log("worker ignored SIGTERM; it is killed");
        paster.command(&["stop", "bad"]).succeeded();
        paster.command(&["start", "bad"]).succeeded();
    });
}

#[test]
fn a_memory_eater_within_cgroup_memory() {
    let Some(paster) = beside(&["cgroup_memory = 80M", "deadly_requests = off"]) else {
        return;
    };
    paster.expect_death("over cgroup_memory = 80M");
    unharmed("memory eater, cgroup_memory", &paster, |paster| {
        for _ in 0..3 {
            assert_eq!(paster.post("/bad/eat?mb=500", b"").status, 502);
            paster.wait_until("it serves again", |s| s.app("bad").is_ready());
        }
    });
}

#[test]
fn a_memory_eater_within_limit_as() {
    let Some(paster) = beside(&["limit_as = 600M"]) else {
        return;
    };
    unharmed("memory eater, limit_as", &paster, |paster| {
        assert!(get(paster, "/bad/eat?mb=700").contains("MemoryError"));
        get(paster, "/bad/release");
        assert_eq!(paster.get("/bad/").status, 200);
    });
}

#[test]
fn cpu_burners_within_cgroup_cpu() {
    let Some(paster) = beside(&["cgroup_cpu = 0.5"]) else {
        return;
    };
    unharmed("CPU burner, cgroup_cpu", &paster, |paster| {
        get(paster, "/bad/burn?threads=4");
        restart(paster);
    });
}

#[test]
fn cpu_burners_that_are_nice() {
    let Some(paster) = beside(&["nice = 19"]) else {
        return;
    };
    unharmed("CPU burner, nice", &paster, |paster| {
        get(paster, "/bad/burn?threads=4");
        restart(paster);
    });
}

#[test]
fn a_hoarder_of_descriptors_within_limit_nofile() {
    let Some(paster) = beside(&["limit_nofile = 100"]) else {
        return;
    };
    unharmed("descriptors, limit_nofile", &paster, |paster| {
        assert!(get(paster, "/bad/open?count=1000").contains("EMFILE"));
        restart(paster);
    });
}
