//! `--user` and `--group`.

use super::{Service, home};
use crate::harness::paster::report;
use crate::harness::{Paster, Site};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn with_user_everything_but_the_binding_is_done_as_that_user() {
    // The first one in PATH may lie where only we may go.
    const PYTHON: &str = "/usr/bin/python3";
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new(PYTHON).exists() {
        report("skipped: this needs root, and an interpreter that every user may execute");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody")
        .ok()
        .flatten()
        .expect("every system has nobody");
    let uid = nobody.uid.as_raw();
    let address = "127.0.77.1:997";
    let site = Site::new()
        .actor("home", "/")
        .policy("", &format!("python = {PYTHON}"))
        .listen(address);
    let var = site.path("var");
    fs::create_dir(&var).expect("our own directory");
    std::os::unix::fs::chown(&var, Some(uid), None).expect("root may");
    let mut service = Service::new(site);
    let files = ["--pid-file", "var/pid", "--log-file", "var/log"];
    let words = [&["--daemon", "--user", "nobody"], &files[..]].concat();
    service.call(&words).succeeded();
    let status = service.status();
    assert_eq!(status.listen, [address]);
    let worker = status.app("home").pid();
    for pid in [status.pid, status.proxy.pid.expect("it runs"), worker] {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let ids = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}");
        assert!(text.contains(&ids), "{pid}: {text}");
        let groups = text
            .lines()
            .find(|line| line.starts_with("Groups:"))
            .expect("proc(5)");
        assert!(
            !groups.split_whitespace().any(|group| group == "0"),
            "{groups}"
        );
    }
    assert!(service.get("/").contains("count"));
    let run_dir = service.site.run_dir().display().to_string();
    let config = service.site.config().display().to_string();
    for command in ["reload", "restart"] {
        Paster::run(&service.site, &[command, &config, "--run-dir", &run_dir]).succeeded();
    }
    service.call(&["stop"]).succeeded();
    service.nothing_is_left();
    assert!(!service.path("var/pid").exists());

    // Root can use the directory again, and so can that user.
    service.call(&["--daemon"]).succeeded();
    service.call(&["stop"]).succeeded();
    service.call(&words).succeeded();
}

#[test]
fn files_that_only_the_user_to_become_may_see_are_served_without_paste() {
    if !nix::unistd::geteuid().is_root() {
        report("skipped: this needs root");
        return;
    }
    const USER: u32 = 47_110;
    let site = Site::new().file("var/page.txt", "seen").ini(
        "[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n\n[app:main]\nuse = egg:Paste#static\n\
         document_root = %(here)s/var\n\n[isolate]\npython = %(here)s/no-python\n",
    );
    let var = site.path("var");
    for path in [&var, &var.join("page.txt")] {
        std::os::unix::fs::chown(path, Some(USER), None).expect("root may");
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("root may");
    }
    let mut service = Service::new(site);
    let user = USER.to_string();
    let files = ["--pid-file", "var/pid", "--log-file", "var/log"];
    service
        .call(&[&["start", "--user", &user], &files[..]].concat())
        .succeeded();
    assert_eq!(service.get("/page.txt"), "seen");
}

#[test]
fn an_identity_that_cannot_be_had_is_bad_usage() {
    let mut service = home();
    let result = service.call(&["--user", "nobody-of-this-name"]);
    assert_eq!(result.code, Some(2), "{result:#?}");
    assert!(
        result
            .stderr
            .contains("there is no user `nobody-of-this-name`"),
        "{result:#?}"
    );
}
