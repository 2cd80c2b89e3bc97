//! `start`, `status`, `stop` and `restart` of the one whom the pid file names.

use super::{Service, home};
use crate::harness::{Site, process};
use std::fs;

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
