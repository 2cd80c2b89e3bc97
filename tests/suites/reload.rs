//! A reload touches exactly what has changed; an invalid file changes nothing.

use crate::harness::{Paster, Site, Status};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;

fn three_apps() -> Paster {
    Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .actor("three", "/three")
        .serve()
}

fn pids(status: &Status, names: &[&str]) -> Vec<u32> {
    names.iter().map(|name| status.app(name).pid()).collect()
}

#[test]
fn only_the_app_whose_section_changed_gets_new_processes() {
    let mut paster = three_apps();
    let before = paster.status();
    let load = paster.load("/two/", 4, 100);
    paster.edit(|site| site.option("two", "version = 2"));
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("two: restarted"), "{reload:#?}");
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    let after = paster.status();
    assert_eq!(
        pids(&after, &["one", "three"]),
        pids(&before, &["one", "three"])
    );
    assert_ne!(after.app("two").pid(), before.app("two").pid());
    assert_eq!(paster.get("/two/").json()["version"], "2");
}

#[test]
fn a_reload_of_an_unchanged_file_changes_nothing() {
    let paster = three_apps();
    let before = paster.status();
    let reload = paster.command(&["reload"]).succeeded();
    assert_eq!(reload.stdout, "nothing has changed\n");
    let reload = paster.command(&["reload", "--json"]).succeeded();
    let reload: Value = serde_json::from_str(&reload.stdout).expect("JSON");
    assert_eq!((&reload["apps"], &reload["site"]), (&json!([]), &json!([])));
    let after = paster.status();
    let names = ["one", "two", "three"];
    assert_eq!(pids(&after, &names), pids(&before, &names));
    assert_eq!(after.proxy.pid, before.proxy.pid);
}

#[test]
fn sighup_reloads_too() {
    let mut paster = three_apps();
    let before = paster.status();
    paster.edit(|site| site.option("two", "version = 2"));
    paster.signal(Signal::SIGHUP);
    let after = paster.wait_until("the app has been replaced", |s| {
        s.app("two").generation == 2 && s.app("two").workers.len() == 1 && s.app("two").is_ready()
    });
    assert_eq!(
        pids(&after, &["one", "three"]),
        pids(&before, &["one", "three"])
    );
}

#[test]
fn an_invalid_file_changes_nothing_and_says_where_the_error_is() {
    let mut paster = three_apps();
    let before = paster.status();
    paster.expect_log("the configuration is invalid; nothing was changed");
    let file = paster.site().config().display().to_string();
    paster.allow_log(&file);
    let valid = paster.site().text();
    let line = valid.lines().count() + 2;
    paster.edit(|site| {
        site.ini(&format!(
            "{valid}\nthis line is neither a section nor an option nor anything else\n"
        ))
    });
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(
        reload.stderr.contains(&format!("{file}:{line}")),
        "line {line}: {reload:#?}"
    );
    paster.signal(Signal::SIGHUP);
    let twice = "the configuration is invalid; nothing was changed";
    paster.wait_for("the second refusal", || {
        paster.stderr().text().matches(twice).count() == 2
    });
    let after = paster.status();
    let names = ["one", "two", "three"];
    assert_eq!(pids(&after, &names), pids(&before, &names));
    assert_eq!(paster.get("/one/").status, 200);

    paster.edit(|site| site.ini(&valid));
    paster.command(&["reload"]).succeeded();
}

#[test]
fn an_unknown_setting_is_refused_with_its_place() {
    let mut paster = three_apps();
    paster.expect_log("the configuration is invalid; nothing was changed");
    paster.expect_log("proceses");
    paster.edit(|site| site.policy("one", "proceses = 2"));
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(
        reload.stderr.contains("proceses") && reload.stderr.contains("processes"),
        "{reload:#?}"
    );
    assert!(reload.stderr.contains("site.ini:"), "{reload:#?}");
}

#[test]
fn an_added_app_is_started_and_a_removed_one_goes_without_a_trace() {
    let mut paster = three_apps();
    let before = paster.status();
    paster.edit(|site| site.without("three").actor("four", "/four"));
    let reload = paster.command(&["reload"]).succeeded();
    assert!(
        reload.stdout.contains("three: removed") && reload.stdout.contains("four: added"),
        "{reload:#?}"
    );
    assert_eq!(paster.get("/four/").json()["app"], "four");
    assert_eq!(paster.get("/three/").status, 404);
    let after = paster.status();
    assert!(after.find("three").is_none(), "{after:#?}");
    assert_eq!(
        pids(&after, &["one", "two"]),
        pids(&before, &["one", "two"])
    );
}

#[test]
fn a_changed_policy_keeps_the_processes() {
    let mut paster = three_apps();
    let before = paster.status();
    paster.edit(|site| {
        site.policy("one", "queue = 5")
            .policy("two", "drain_timeout = 5s")
    });
    let reload = paster.command(&["reload"]).succeeded();
    assert!(
        reload.stdout.contains("one: updated") && reload.stdout.contains("two: updated"),
        "{reload:#?}"
    );
    let names = ["one", "two", "three"];
    assert_eq!(pids(&paster.status(), &names), pids(&before, &names));
}

#[test]
fn more_processes_are_added_to_those_that_run() {
    let mut paster = three_apps();
    let before = paster.status().app("one").pid();
    paster.edit(|site| site.policy("one", "processes = 3"));
    paster.command(&["reload"]).succeeded();
    let more = paster.wait_until("three workers serve", |s| s.app("one").pids().len() == 3);
    assert!(more.app("one").pids().contains(&before), "{more:#?}");
    paster.edit(|site| site.policy("one", "processes = 1"));
    paster.command(&["reload"]).succeeded();
    let fewer = paster.wait_until("one worker is left", |s| s.app("one").workers.len() == 1);
    assert_eq!(fewer.app("one").pid(), before);
}

#[test]
fn a_new_mount_of_the_same_app_needs_no_new_process() {
    let mut paster = three_apps();
    let before = paster.status();
    let text = paster.site().text();
    paster.edit(|site| site.ini(&text.replace("/one = one\n", "/one = one\n/uno = three\n")));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/uno/").json()["app"], "three");
    let after = paster.status();
    assert_eq!(
        pids(&after, &["one", "two"]),
        pids(&before, &["one", "two"])
    );
}

#[test]
fn a_new_listen_address_is_served_and_the_old_one_closed() {
    let site = Site::new().actor("home", "/").listen_as_configured();
    let ports = free_ports();
    let [first, second] = ports.map(|port| format!("port = {port}\n"));
    let text = site.text().replace("port = 0\n", &first);
    let mut paster = site.ini(&text).serve();
    let pid = paster.status().app("home").pid();
    assert_eq!(paster.get("/").status, 200);
    paster.edit(|site| site.ini(&text.replace(&first, &second)));
    let reload = paster.command(&["reload"]).succeeded();
    assert_eq!(reload.stdout, "site: updated (listeners)\n");
    let status = paster.wait_until("it listens there", |s| {
        s.listen == [format!("127.0.0.1:{}", ports[1])]
    });
    let address = ([127, 0, 0, 1], ports[1]).into();
    let answer = crate::harness::http::Connection::open(address).and_then(|mut c| c.get("/"));
    assert_eq!(answer.expect("the new address answers").status, 200);
    let old = ([127, 0, 0, 1], ports[0]).into();
    paster.wait_for("the old address is closed", || {
        crate::harness::http::Connection::open(old).is_err()
    });
    assert_eq!(status.app("home").pid(), pid);
}

#[test]
fn a_stopped_app_stays_stopped_when_a_reload_changes_it() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.command(&["stop", "home"]).succeeded();
    paster.edit(|site| site.option("home", "version = 2"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.status().app("home").state, "stopped");
    assert_eq!(paster.get("/").status, 503);
    paster.command(&["start", "home"]).succeeded();
    assert_eq!(paster.get("/").json()["version"], "2");
}

#[test]
fn a_change_of_the_logging_configuration_alone_reaches_the_workers() {
    let logging = "
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
";
    let site = Site::new().actor("home", "/").server("other", "/other", "");
    let text = format!("{}{logging}", site.text());
    let mut paster = site.ini(&text).serve();
    let before = paster.status();
    paster.edit(|site| site.ini(&text.replace("level = INFO", "level = DEBUG")));
    let reload = paster.command(&["reload"]).succeeded();
    assert_eq!(reload.stdout, "home: restarted (generation 2)\n");
    let after = paster.status();
    assert_ne!(after.app("home").pid(), before.app("home").pid());
    assert_eq!(after.app("other").pid(), before.app("other").pid());
}

/// Two ports that nobody uses now.
fn free_ports() -> [u16; 2] {
    let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

#[test]
fn settings_that_change_during_a_restart_are_in_force_after_it() {
    let mut paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 2")
        .serve();
    let restart = paster.command_in_background(&["restart", "home"]);
    paster.wait_until("new workers are on their way", |s| {
        s.app("home").workers.iter().any(|w| w.generation == 2)
    });
    paster.edit(|site| site.policy("home", "processes = 2"));
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("home: updated"), "{reload:#?}");
    restart.join().expect("it does not panic").succeeded();
    paster.wait_until("both workers of the new generation serve", |s| {
        let app = s.app("home");
        app.is_ready() && app.generation == 2 && app.pids().len() == 2
    });
}
