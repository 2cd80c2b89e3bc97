//! Limits of the control group: what an app gets, what its death says, and that no group is left (docs/isolation.md). What this
//! machine cannot do is skipped, with a sentence.

use crate::harness::confinement::{PYTHON, ask, can_change_users, confined, groups, version_2};
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn an_app_over_its_memory_is_killed_and_its_death_says_why() {
    let Some(site) = confined(&["cgroup_memory = 100M", "restart_delay = 20ms"]) else {
        return;
    };
    let paster = site.serve();
    paster.expect_death("was killed by signal 9 (SIGKILL): over cgroup_memory = 100M");
    let before = paster.status();
    assert_eq!(ask(&paster, "/eat?mb=20"), 20);
    assert_eq!(paster.post("/eat?mb=400", b"").status, 502);
    let after = paster.wait_until("it serves again", |s| {
        s.app("home").is_ready() && s.app("home").pid() != before.app("home").pid()
    });
    let death = after.app("home").last_death.clone().expect("it died");
    assert!(death.contains("over cgroup_memory = 100M"), "{death}");
    assert_eq!(after.app("other").pid(), before.app("other").pid());
}

#[test]
fn a_sigkill_from_elsewhere_is_not_blamed_on_memory() {
    let Some(site) = confined(&["cgroup_memory = 200M", "restart_delay = 20ms"]) else {
        return;
    };
    let paster = site.serve();
    paster.expect_death("was killed by signal 9 (SIGKILL) after");
    let pid = paster.status().app("home").pid();
    process::sigkill(pid);
    let after = paster.wait_until("it serves again", |s| {
        s.app("home").is_ready() && s.app("home").pid() != pid
    });
    let death = after.app("home").last_death.clone().expect("it died");
    assert!(!death.contains("cgroup_memory"), "{death}");
}

#[test]
fn an_app_has_no_more_processes_than_it_may() {
    let Some(site) = confined(&["cgroup_pids = 25"]) else {
        return;
    };
    let paster = site.serve();
    let made = ask(&paster, "/fork?count=60");
    assert_eq!(made[1], "EAGAIN", "{made}");
    assert!(made[0].as_u64().is_some_and(|made| made < 25), "{made}");
    assert_eq!(ask(&paster, "/other/fork?count=30"), json!([30, null]));
    // A new generation has a group of its own, so it can start while the old one is full.
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn an_app_gets_no_more_cpu_than_it_may() {
    let Some(site) = confined(&["cgroup_cpu = 20%%"]) else {
        return;
    };
    let paster = site.serve();
    let group = groups(paster.status().app("home").pid());
    let throttled = || {
        group.iter().any(|worker| {
            let generation = worker.parent().expect("a group above");
            let stat = fs::read_to_string(generation.join("cpu.stat")).unwrap_or_default();
            let count = stat
                .lines()
                .find_map(|line| line.strip_prefix("nr_throttled "));
            count.is_some_and(|count| count != "0")
        })
    };
    assert!(!group.is_empty());
    assert_eq!(ask(&paster, "/burn"), "burning");
    paster.wait_for("the kernel holds it back", throttled);
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn control_groups_go_with_the_workers() {
    let settings = ["cgroup_memory = 200M", "cgroup_pids = 50"];
    let Some(site) = confined(&settings) else {
        return;
    };
    let mut paster = site.serve();
    let first = groups(paster.status().app("home").pid());
    assert!(!first.is_empty());
    assert_eq!(
        groups(paster.status().app("other").pid()),
        Vec::<PathBuf>::new()
    );
    let exist = |groups: &[PathBuf]| groups.iter().any(|group| group.exists());

    // A change of a limit is a rollout.
    paster.edit(|site| site.policy("home", "cgroup_pids = 40"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.status().app("home").generation, 2);
    let second = groups(paster.status().app("home").pid());
    assert!(!second.is_empty() && second != first);
    paster.wait_for("the old groups are gone", || !exist(&first));

    // A keeper that is killed cannot remove anything; what its worker has left is ended all the same.
    paster.expect_death("ended with its keeper");
    let left: u32 = ask(&paster, "/daemon")
        .as_u64()
        .and_then(|pid| pid.try_into().ok())
        .expect("a pid");
    let worker = paster.status().app("home").pid();
    process::sigkill(process::parent(worker).expect("its keeper"));
    paster.wait_until("it serves again", |s| {
        s.app("home").is_ready() && s.app("home").pid() != worker
    });
    assert!(!process::is_alive(left));
    paster.wait_for("its groups are gone", || !exist(&second));

    let third = groups(paster.status().app("home").pid());
    paster.command(&["stop", "home"]).succeeded();
    let site_group = third[0]
        .ancestors()
        .nth(2)
        .expect("site, generation, worker");
    assert!(!site_group.exists());
}

#[test]
fn groups_of_a_killed_run_are_removed_and_strangers_in_them_left_alone() {
    let Some(site) = confined(&["cgroup_pids = 50"]) else {
        return;
    };
    let mut paster = site.serve();
    let groups = groups(paster.status().app("home").pid());
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    paster.wait_for("the keepers remove them", || {
        groups.iter().all(|group| !group.exists())
    });
    let site = paster.finish();

    // As if the keepers had been killed too, and somebody had put a process of his own there.
    let left = &groups[0];
    fs::create_dir_all(left).expect("we may");
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("sleep");
    fs::write(left.join("cgroup.procs"), stranger.id().to_string()).expect("we may");
    let paster = site.serve();
    paster.expect_log("a process that paster does not know is in its control group");
    assert_eq!(paster.get("/").status, 200);
    assert!(process::is_alive(stranger.id()));
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it is ours");
    let site = paster.finish();
    // The next start finds it empty.
    site.serve();
    assert!(!left.exists());
}

// Delegation (version 2)

/// A control group as a service manager makes one for its service, with nothing in it.
struct Delegated(PathBuf);

impl Delegated {
    fn make(name: &str) -> Option<Delegated> {
        let group = version_2()?.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&group).expect("we are root");
        Some(Delegated(group))
    }

    /// To this user, as `Delegate=yes` does.
    fn belongs_to(&self, uid: u32) {
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
        ] {
            chown(self.0.join(file), Some(uid), Some(uid)).expect("we are root");
        }
    }

    /// The program of the site is started in it.
    fn holds(&self, site: Site, then: &[&str]) -> Site {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        let words = ["sh", "-c", &enter, "sh"]
            .into_iter()
            .chain(then.iter().copied());
        site.wrapped(&words.collect::<Vec<_>>())
    }

    fn processes(&self, below: &str) -> Vec<u32> {
        let text = fs::read_to_string(self.0.join(below).join("cgroup.procs")).unwrap_or_default();
        text.lines()
            .map(|line| line.parse().expect("a pid"))
            .collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // All that paster leaves is the group it was in itself.
        let _ = fs::remove_dir(self.0.join("paster-supervisor"));
        if let Err(error) = fs::remove_dir(&self.0)
            && !std::thread::panicking()
        {
            panic!("something is left in {}: {error}", self.0.display());
        }
    }
}

#[test]
fn paster_makes_room_in_a_group_that_was_delegated_to_it() {
    let Some(group) = Delegated::make("delegated") else {
        return;
    };
    // Nothing is limited at first, so paster stays where it was put.
    let site = Site::new()
        .prisoner("home", "/")
        .prisoner("other", "/other");
    let mut paster = group.holds(site, &[]).serve();
    let other = paster.status().app("other").pid();
    assert!(group.processes("").contains(&paster.pid()));
    paster.edit(|site| {
        site.policy("home", "cgroup_pids = 25")
            .policy("home", "cgroup_memory = 200M")
    });
    paster.command(&["reload"]).succeeded();
    assert_eq!(group.processes(""), Vec::<u32>::new());
    let aside = group.processes("paster-supervisor");
    assert!(
        aside.contains(&paster.pid()) && aside.contains(&other),
        "{aside:?}"
    );
    assert_eq!(ask(&paster, "/fork?count=60")[1], "EAGAIN");
    paster.command(&["upgrade"]).succeeded();
    paster.command(&["restart"]).succeeded();
    assert_eq!(ask(&paster, "/fork?count=60")[1], "EAGAIN");
}

#[test]
fn a_user_can_limit_apps_in_a_group_that_was_delegated() {
    if !can_change_users() {
        return;
    }
    let Some(group) = Delegated::make("users") else {
        return;
    };
    const UID: u32 = 61_233;
    group.belongs_to(UID);
    let site = Site::new()
        .prisoner("home", "/")
        .policy("", &format!("python = {PYTHON}"))
        .policy("home", "cgroup_memory = 100M")
        .policy("home", "restart_delay = 20ms");
    chown(site.dir(), Some(UID), Some(UID)).expect("we are root");
    let user = [format!("--reuid={UID}"), format!("--regid={UID}")];
    let become_user = ["setpriv", &user[0], &user[1], "--clear-groups"];
    let paster = group.holds(site, &become_user).serve();
    paster.expect_death("over cgroup_memory = 100M");
    assert_eq!(paster.post("/eat?mb=400", b"").status, 502);
    paster.wait_until("it serves again", |s| s.app("home").is_ready());
}

#[test]
fn a_group_that_is_shared_with_others_is_refused() {
    let Some(group) = Delegated::make("shared") else {
        return;
    };
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("sleep");
    fs::write(group.0.join("cgroup.procs"), stranger.id().to_string()).expect("we are root");
    let site = Site::new()
        .prisoner("home", "/")
        .policy("home", "cgroup_pids = 25");
    let refused = Paster::refused(&group.holds(site, &[]));
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it is ours");
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("shares its cgroup") && refused.stderr.contains("Delegate=yes"),
        "{refused:#?}"
    );
}
