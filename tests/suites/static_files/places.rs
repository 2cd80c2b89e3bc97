//! Which files are served, by whom, and what becomes of directories that change.

use super::{DATE, FACTORY, SAME_INI, TAG, aged, check, files};
use crate::fixtures::site;
use crate::harness::{Paster, Site, process};
use std::fs::{self};
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn no_process_is_needed() {
    let paster = files().serve();
    let response = paster.get("/files/ten.txt");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "0123456789")
    );
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "10"),
        ("etag", TAG),
        ("last-modified", DATE),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(response.header(name), Some(value), "{response:?}");
    }
    assert!(response.header("vary").is_none() && response.header("cache-control").is_none());
    let status = paster.wait_until("the request is counted", |s| s.app("files").requests == 1);
    let app = status.app("files");
    assert_eq!((app.state.as_str(), app.workers.len()), ("ready", 0));
    let check = check(&paster);
    assert!(check.contains("the proxy serves them itself"), "{check}");
}

#[test]
fn nothing_outside_is_served() {
    let site = files().file("secret.txt", "secret");
    symlink("../secret.txt", site.path("public/out.txt")).expect("linked");
    symlink("ten.txt", site.path("public/inside.txt")).expect("linked");
    let paster = site.serve();
    assert_eq!(paster.text("/files/inside.txt"), "0123456789");
    paster.expect_log("a symbolic link leads out of the directory");
    assert_eq!(paster.get("/files/out.txt").status, 403);
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e%2fsecret.txt",
        "/files/sub/../../secret.txt",
        "/files//../secret.txt",
    ] {
        assert_eq!(paster.get(path).status, 404, "{path}");
    }
    assert_eq!(paster.get("/files/%00").status, 400);
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    if !nix::unistd::geteuid().is_root() {
        // Only then the proxy is somebody else.
        return;
    }
    let site = files();
    let secret = fs::Permissions::from_mode(0o600);
    fs::set_permissions(site.path("public/ten.txt"), secret).expect("our own file");
    let paster = site.serve();
    paster.expect_log("the user of the proxy may not read it");
    assert_eq!(paster.get("/files/ten.txt").status, 403);
    assert_eq!(paster.get("/files/").status, 200);
}

#[test]
fn commands_on_files() {
    let paster = files().serve();
    paster.command(&["restart", "files"]).succeeded();
    paster.command(&["stop", "files"]).succeeded();
    assert_eq!(paster.get("/files/ten.txt").status, 503);
    assert_eq!(paster.status().app("files").state, "stopped");
    paster.command(&["start", "files"]).succeeded();
    assert_eq!(paster.get("/files/ten.txt").status, 200);
    let scale = paster.command(&["scale", "files", "2"]);
    assert_eq!(scale.code, Some(1));
    assert!(
        scale.stderr.contains("served by the proxy itself"),
        "{scale:?}"
    );
}

#[test]
fn workers_serve_what_the_proxy_may_not() {
    let text = format!("{SAME_INI}\n[isolate:aged]\nnice = 1\n[isolate:files]\nstatic = off\n");
    let paster = aged(site(&text).file("public/ten.txt", "0123456789")).serve();
    let status = paster.status();
    assert_eq!(status.app("files").workers.len(), 1);
    assert_eq!(status.app("aged").workers.len(), 1);
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let check = check(&paster);
    assert!(check.contains("for a worker: `static = off`"), "{check}");
    assert!(
        check.contains("for a worker: `nice` is about a process"),
        "{check}"
    );
}

#[test]
fn a_worker_needs_paste() {
    let site = files()
        .file("env/pyvenv.cfg", "version = 3.11.7\n")
        .file("env/bin/python", "")
        .policy("", "python = env")
        .policy("files", "static = off");
    site.write();
    let config = site.config().display().to_string();
    let check = Paster::run(&site, &["check", &config]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check
            .stderr
            .contains("the distribution `Paste` is not installed in"),
        "{check:?}"
    );
    assert!(check.stderr.contains("use = egg:Paste#static"), "{check:?}");
}

#[test]
fn a_reload_lets_the_proxy_into_other_directories() {
    let mut paster = files()
        .actor("home", "/")
        .file("other/a.txt", "other")
        .serve();
    let proxy = paster.status().proxy.pid;
    let load = paster.load("/", 2, 100);
    paster.edit(|site| {
        site.section("more", "/more", FACTORY)
            .option("more", "document_root = %(here)s/other")
    });
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("more: added"), "{reload:?}");
    assert_eq!(paster.text("/more/a.txt"), "other");
    assert_ne!(paster.status().proxy.pid, proxy);
    paster.edit(|site| site.option("files", "document_root = %(here)s/other"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text("/files/a.txt"), "other");
    assert_eq!(paster.get("/files/ten.txt").status, 404);
    let load = load.finish();
    assert!(load.is_clean(), "{load:?}");
}

#[test]
fn an_upgrade_and_a_dead_proxy_change_nothing() {
    let paster = files().serve();
    let load = paster.load("/files/ten.txt", 2, 100);
    load.wait_for(20);
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(paster.status().app("files").state, "ready");
    let proxy = paster.status().proxy.pid.expect("a proxy");
    paster.expect_log("the proxy ended; it is replaced");
    process::signal(proxy, nix::sys::signal::Signal::SIGKILL);
    paster.wait_until("another proxy is there", |status| {
        status.proxy.pid.is_some_and(|pid| pid != proxy)
    });
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
}

#[test]
fn a_directory_that_is_built_again_is_served() {
    let paster = files().serve();
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let public = paster.site().path("public");
    fs::remove_dir_all(&public).expect("our own directory");
    fs::create_dir(&public).expect("our own directory");
    fs::write(public.join("ten.txt"), "built again").expect("our own file");
    paster.wait_for("the new directory is served", || {
        let response = paster.get("/files/ten.txt");
        assert!(matches!(response.status, 200 | 404 | 503), "{response:?}");
        response.status == 200 && response.text() == "built again"
    });
}

#[test]
fn another_release_is_served_without_an_error() {
    let mut paster = Site::new()
        .file("1/a.txt", "one")
        .file("2/a.txt", "two")
        .file("3/a.txt", "three")
        .section("files", "/", FACTORY)
        .option("files", "document_root = %(here)s/1")
        .serve();
    let load = paster.load("/a.txt", 3, 300);
    load.wait_for(20);
    let current = paster.site().path("current");
    symlink("2", &current).expect("a link");
    paster.edit(|site| site.option("files", "document_root = %(here)s/current"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text("/a.txt"), "two");
    let next = paster.site().path("next");
    symlink("3", &next).expect("a link");
    fs::rename(&next, &current).expect("our own link");
    paster.wait_for("what the link leads to is served", || {
        paster.text("/a.txt") == "three"
    });
    let load = load.finish();
    assert!(load.is_clean(), "{load:?}");
}

#[test]
fn a_directory_may_come_later() {
    let paster = Site::new()
        .section("files", "/", FACTORY)
        .option("files", "document_root = %(here)s/later")
        .serve();
    paster.allow_log("there is no directory");
    assert_eq!(paster.get("/a.txt").status, 404);
    let later = paster.site().path("later");
    fs::create_dir(&later).expect("our own directory");
    fs::write(later.join("a.txt"), "a").expect("our own file");
    paster.wait_for("it is served", || paster.get("/a.txt").status == 200);
}
