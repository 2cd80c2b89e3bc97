//! Whether this machine can confine a worker as a test wants it, and where the kernel has put it.

use super::paster::report;
use super::{Paster, Site};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// An interpreter that every user may execute, wherever the first one in PATH lies.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// What `paster check --json` says of an app; the site is written.
pub(crate) fn guarantees(site: &Site, app: &str) -> Vec<Value> {
    site.write();
    let checked = Paster::run(site, &["check", "--json", "site.ini"]).succeeded();
    let report: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let apps = report["apps"].as_array().expect("a list");
    let app = apps.iter().find(|found| found["name"] == app).expect(app);
    app["guarantees"].as_array().expect("a list").clone()
}

/// The site, if this machine can give all that it asks for; else nothing, and a sentence in the output.
pub(crate) fn if_it_can(site: Site) -> Option<Site> {
    let site = site.policy("", "isolation = warn");
    site.write();
    let checked = Paster::run(&site, &["check", "--json", "site.ini"]).succeeded();
    let report_: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let apps = report_["apps"].as_array().expect("a list").iter();
    let lacking = apps
        .flat_map(|app| app["guarantees"].as_array().expect("a list"))
        .find(|guarantee| guarantee["holds"] == false);
    if let Some(lacking) = lacking {
        report(&format!(
            "skipped: {} does not hold here: {}",
            lacking["key"], lacking["why"]
        ));
        return None;
    }
    Some(site)
}

/// Only root can run apps as another user, and needs an interpreter for it.
pub(crate) fn can_change_users() -> bool {
    let can = nix::unistd::geteuid().is_root() && Path::new(PYTHON).exists();
    if !can {
        report("skipped: only root can change users, and an interpreter for all is needed");
    }
    can
}

/// The directories of the control groups of ours that a process is in.
pub(crate) fn groups(pid: u32) -> Vec<PathBuf> {
    let of_process = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc(5)");
    let mut groups = Vec::new();
    for line in of_process.lines().filter(|line| line.contains("/paster-")) {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().expect("three"), fields.next().expect("three"));
        for mount in mounts.lines() {
            let (place, kind) = mount.split_once(" - ").expect("proc(5)");
            let point = place.split(' ').nth(4).expect("proc(5)");
            let is_it = match controllers {
                "" => kind.starts_with("cgroup2 "),
                _ => kind.starts_with("cgroup ") && kind.ends_with(&format!(",{controllers}")),
            };
            let group = PathBuf::from(format!("{point}{path}"));
            if is_it && group.is_dir() {
                groups.push(group);
            }
        }
    }
    groups
}

/// `paster` runs as this user, who owns the site.
pub(crate) fn as_user(site: Site, uid: u32) -> Site {
    for path in [site.dir().to_owned(), site.path("var")] {
        if path.exists() {
            chown(path, Some(uid), Some(uid)).expect("we are root");
        }
    }
    let [user, group] = ["--reuid", "--regid"].map(|option| format!("{option}={uid}"));
    site.wrapped(&["setpriv", &user, &group, "--clear-groups"])
}

/// The root of the version 2 hierarchy, if it has the controllers and we may make groups.
pub(crate) fn version_2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc(5)");
    let root = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    });
    let root = root.filter(|root| {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let has = |name| controllers.split_whitespace().any(|found| found == name);
        let enable = || fs::write(root.join("cgroup.subtree_control"), "+memory +pids").is_ok();
        has("memory") && has("pids") && enable()
    });
    if root.is_none() {
        report("skipped: there is no cgroup version 2 with controllers here that we may use");
    }
    root
}

/// A confined app `home` at `/` and another, `other`, at `/other`, where this machine can do what the settings ask for.
pub(crate) fn confined(settings: &[&str]) -> Option<Site> {
    let site = Site::new()
        .prisoner("home", "/")
        .prisoner("other", "/other");
    if_it_can(
        settings
            .iter()
            .fold(site, |site, line| site.policy("home", line)),
    )
}

/// What a prisoner says of its attempt.
pub(crate) fn ask(paster: &Paster, target: &str) -> Value {
    paster.get(target).json()
}
