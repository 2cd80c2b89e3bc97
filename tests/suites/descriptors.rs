//! What a worker is given: descriptors, environment, identity, limits (docs/worker-contract.md).

use crate::harness::paster::report;
use crate::harness::{Paster, Site, process};
use serde_json::Value;
use std::collections::BTreeMap;

/// Number to target, without the listing's own descriptor (`/proc/PID/fd`).
fn descriptors(process: &Value) -> BTreeMap<u32, String> {
    let map = process["descriptors"].as_object().expect("an object");
    map.iter()
        .map(|(number, target)| {
            (
                number.parse().expect("a number"),
                target.as_str().expect("text").to_owned(),
            )
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect()
}

#[test]
fn a_program_gets_exactly_five_descriptors() {
    let paster = Site::new().server("program", "/", "").serve();
    let found = descriptors(&paster.get("/process").json());
    let numbers: Vec<u32> = found.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "{found:?}");
    assert_eq!(found[&0], "/dev/null");
    assert!(
        found[&1].starts_with("pipe:") && found[&2].starts_with("pipe:"),
        "{found:?}"
    );
    assert_ne!(found[&1], found[&2]);
    assert!(found[&3].starts_with("socket:"), "{found:?}");
}

/// Else a connection to a worker that is dead would wait for its answer instead of being refused.
#[test]
fn a_ready_worker_has_its_listener_for_itself() {
    let paster = Site::new().server("program", "/", "").serve();
    let listener = descriptors(&paster.get("/process").json())[&3].clone();
    let keeper = process::parent(paster.status().app("program").pid()).expect("it runs");
    for upgraded in [false, true] {
        if upgraded {
            paster.command(&["upgrade"]).succeeded();
        }
        for pid in [paster.pid(), keeper] {
            let held = process::descriptors(pid);
            assert!(!held.contains(&listener), "{listener} in {held:?}");
        }
    }
}

#[test]
fn a_python_app_holds_nothing_but_its_output_its_listener_and_what_it_opened_itself() {
    let paster = Site::new().actor("home", "/").serve();
    let found = descriptors(&paster.get("/process").json());
    let sockets = found
        .values()
        .filter(|target| target.starts_with("socket:"))
        .count();
    // The listener and the connection that asks, perhaps more of the pool; a socketpair of the host.
    assert!((2..=5).contains(&sockets), "{found:?}");
    let own = found.iter().filter(|(number, _)| **number > 2);
    let pipes: Vec<&String> = own
        .map(|(_, target)| target)
        .filter(|target| target.starts_with("pipe:"))
        .collect();
    for pipe in &pipes {
        let ends = pipes.iter().filter(|other| *other == pipe).count();
        assert_eq!(
            ends, 2,
            "a pipe of which another process has the other end: {found:?}"
        );
    }
    let memory = found
        .values()
        .filter(|target| target.contains("memfd:"))
        .count();
    assert_eq!(
        memory, 0,
        "configuration and host are read and closed: {found:?}"
    );
}

#[test]
fn the_environment_is_the_contract() {
    let paster = Site::new()
        .server("program", "/", "")
        .policy("program", "processes = 2")
        .serve();
    let process = paster.get("/process").json();
    let environment = &process["environment"];
    assert_eq!(environment["LISTEN_FDS"], "1");
    assert_eq!(environment["LISTEN_FDNAMES"], "http");
    assert_eq!(environment["LISTEN_PID"], process["pid"].to_string());
    assert_eq!(environment["PASTE_CONFIG_FD"], "4");
    assert_eq!(environment["PASTE_APP"], "program");
    assert_eq!(environment["PASTE_GENERATION"], "1");
    assert!(
        ["0", "1"].contains(&environment["PASTE_SLOT"].as_str().expect("text")),
        "{environment}"
    );
    assert!(
        environment["NOTIFY_SOCKET"]
            .as_str()
            .is_some_and(|path| path.ends_with(".notify")),
        "{environment}"
    );
    assert!(
        environment["PATH"].is_string(),
        "paster's own variables are passed on"
    );
}

#[test]
fn without_a_listener_there_are_no_listen_variables() {
    let paster = Site::new()
        .server("program", "/", "--port {port} --status {app}/{slot}")
        .serve();
    let process = paster.get("/process").json();
    for variable in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        assert!(process["environment"][variable].is_null(), "{process}");
    }
    assert!(!descriptors(&process).contains_key(&3), "{process}");
    assert_eq!(process["arguments"][3], "program/0");
}

#[test]
fn umask_nice_limits_directory_and_environment_are_as_configured() {
    let site = Site::new().actor("home", "/").actor("plain", "/plain");
    std::fs::create_dir(site.path("elsewhere")).expect("our own directory");
    let paster = site
        .policy("home", "umask = 027")
        .policy("home", "nice = 5")
        .policy("home", "limit_nofile = 123")
        .policy("home", "limit_core = 0")
        .policy("home", "directory = %(here)s/elsewhere")
        .policy("home", "environment = COLOUR=green\n  SHAPE=round")
        .serve();
    let process = paster.get("/process").json();
    assert_eq!(process["umask"], 0o027);
    assert_eq!(process["nofile"], 123);
    assert_eq!(process["core"], 0);
    let directory = paster.site().path("elsewhere");
    assert_eq!(process["cwd"].as_str(), directory.to_str());
    assert_eq!(
        process["sid"], process["pid"],
        "it leads a session of its own"
    );
    let plain = paster.get("/plain/process").json();
    assert_eq!(
        process["nice"].as_i64(),
        plain["nice"].as_i64().map(|nice| (nice + 5).min(19))
    );
    assert_ne!(plain["nofile"], 123, "the neighbour has its own");
    let environment = paster.get("/environment").json();
    assert_eq!(
        (&environment["COLOUR"], &environment["SHAPE"]),
        (&Value::from("green"), &Value::from("round"))
    );
    assert!(paster.get("/plain/environment").json()["COLOUR"].is_null());
}

#[test]
fn an_app_runs_as_its_user() {
    if !nix::unistd::geteuid().is_root() {
        report("skipped: only root can change users");
        return;
    }
    // The first one in PATH may lie where only we may go.
    const PYTHON: &str = "/usr/bin/python3";
    if !std::path::Path::new(PYTHON).exists() {
        report("skipped: there is no interpreter that every user may execute");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody")
        .ok()
        .flatten()
        .expect("every system has nobody");
    let paster = Site::new()
        .actor("python", "/python")
        .policy("python", "user = nobody")
        .policy("python", &format!("python = {PYTHON}"))
        .server("program", "/program", "--socket {socket}")
        .policy("program", "user = nobody")
        .serve();
    let process = paster.get("/python/process").json();
    assert_eq!(process["uid"], nobody.uid.as_raw());
    assert_eq!(process["gid"], nobody.gid.as_raw());
    let groups = process["groups"].as_array().expect("a list");
    assert!(
        groups.iter().all(|group| *group != 0),
        "root's groups are gone: {process}"
    );
    assert_eq!(paster.get("/program/").status, 200);
    paster.command(&["restart"]).succeeded();
    assert_eq!(paster.get("/program/").status, 200);
}

#[test]
fn an_unknown_user_is_an_error_of_the_configuration() {
    let refused = Paster::refused(
        &Site::new()
            .actor("home", "/")
            .policy("home", "user = nobody-of-this-name"),
    );
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("nobody-of-this-name") && refused.stderr.contains("site.ini:"),
        "{refused:#?}"
    );
}
