//! Pages of the site's own for what the proxy has to say.

use crate::harness::{Paster, Site};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;

const PAGES: &str = "error_pages =\n    404 = missing.txt\n    502 503 504 = errors/down.html";

fn site() -> Site {
    Site::new()
        .actor("app", "/app")
        .actor("other", "/other")
        .file("missing.txt", "nothing of ours\n")
        .file("errors/down.html", "<h1>Back soon</h1>")
        .policy("", PAGES)
}

#[test]
fn they_stand_for_the_proxys_and_not_for_the_apps() {
    let paster = site()
        .policy("other", "error_pages = 502 = missing.txt")
        .serve();
    let missing = paster.get("/elsewhere");
    assert_eq!(
        (missing.status, missing.text()),
        (404, "nothing of ours\n".to_owned())
    );
    assert_eq!(
        missing.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    // The app's own.
    let own = paster.get("/app/unknown");
    assert_eq!(
        (own.status, own.text()),
        (404, "no such action\n".to_owned())
    );
    paster.command(&["stop", "app", "other"]).succeeded();
    let down = paster.get("/app");
    assert_eq!(
        (down.status, down.text()),
        (503, "<h1>Back soon</h1>".to_owned())
    );
    assert_eq!(
        down.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let head = paster
        .connect()
        .request("HEAD", "/app", &[], b"")
        .expect("an answer");
    assert_eq!(
        (head.status, head.header("content-length")),
        (503, Some("18"))
    );
    // It has rules of its own.
    let other = paster.get("/other");
    assert_eq!(other.status, 503);
    assert!(
        other.text().contains("the application was stopped"),
        "{other:?}"
    );
}

#[test]
fn a_reload_reads_them_again() {
    let paster = site().serve();
    fs::write(paster.site().path("missing.txt"), "still nothing\n").expect("our own file");
    assert_eq!(paster.get("/elsewhere").text(), "nothing of ours\n");
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/elsewhere").text(), "still nothing\n");
    // What cannot be read changes nothing.
    fs::remove_file(paster.site().path("errors/down.html")).expect("our own file");
    let refused = paster.command(&["reload"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("down.html cannot be read"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("site.ini:"), "{refused:?}");
    assert_eq!(paster.get("/elsewhere").text(), "still nothing\n");
    paster.allow_log("configuration is invalid");
    paster.allow_log("cannot be read");
}

#[test]
fn the_debug_page_says_more() {
    let site = site();
    let text = format!("[DEFAULT]\ndebug = true\n\n{}", site.text());
    let paster = site.ini(&text).serve();
    paster.command(&["stop", "app"]).succeeded();
    let page = paster.get("/app").text();
    assert!(page.contains("app: app"), "{page}");
}

#[test]
fn what_cannot_be_read_is_refused_at_once() {
    let refused = Paster::refused(&site().policy("app", "error_pages = 503 = none.html"));
    for part in ["none.html cannot be read", "site.ini:"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
}

#[test]
fn a_pipe_is_no_page_and_is_not_waited_for() {
    let site = site().policy("app", "error_pages = 503 = pipe.html");
    mkfifo(&site.path("pipe.html"), Mode::S_IRWXU).expect("a pipe");
    let refused = Paster::refused(&site);
    assert!(refused.stderr.contains("it is no file"), "{refused:?}");
}
