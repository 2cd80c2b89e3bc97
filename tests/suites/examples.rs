//! The examples do what their README says.

use crate::harness::built;
use crate::harness::venv::root;
use crate::harness::{Paster, Site, process};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A copy of `examples/NAME` beside copies of the others that it refers to; `ini` is served.
fn example(name: &str, ini: &str) -> Site {
    let source = root().join("examples").join(name);
    let text = fs::read_to_string(source.join(ini)).expect("the example has this file");
    copied(Site::new(), &source).ini(&text)
}

/// All files of the directory itself, executable where they were.
fn copied(site: Site, from: &Path) -> Site {
    for entry in fs::read_dir(from).expect("the example is there").flatten() {
        // `run` is where a site of the tests has its runtime directory.
        if entry.path().is_file() && entry.file_name() != "run" {
            let target = site.path(&entry.file_name().to_string_lossy());
            fs::copy(entry.path(), target).expect("the site's own directory");
        }
    }
    site
}

/// The number after `label` in a table of the pages of `crash`.
fn number(page: &str, label: &str) -> u32 {
    let cell = page
        .split(&format!("{label}</th><td>"))
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    cell.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no {label} in {page}"))
}

fn crash() -> Paster {
    let paster = example("crash", "site.ini").serve();
    paster.allow_log("crashy");
    paster
}

#[test]
fn crash_dies_in_every_way_and_steady_counts_on() {
    let paster = crash();
    let steady = number(&paster.text("/steady"), "process (pid)");
    let mut count = 1;
    // `leak` takes seconds and `hang` waits for its timeout: they have a test of their own.
    for how in ["exit", "segv", "kill"] {
        let before = number(&paster.text("/crashy"), "process (pid)");
        let response = paster.post(&format!("/crashy/boom?how={how}"), b"");
        assert_eq!(response.status, 502, "{how}");
        paster.wait_for("the process is gone", || !process::is_alive(before));
        let page = paster.text("/crashy");
        assert_ne!(number(&page, "process (pid)"), before, "{how}");
        assert_eq!(number(&page, "requests to this process"), 1, "{how}");
        let page = paster.text("/steady");
        count += 1;
        assert_eq!(
            (
                number(&page, "process (pid)"),
                number(&page, "requests to this process")
            ),
            (steady, count),
            "{how}"
        );
    }
    let before = number(&paster.text("/crashy"), "process (pid)");
    assert_eq!(paster.get("/crashy/boom?how=exception").status, 500);
    assert_eq!(number(&paster.text("/crashy"), "process (pid)"), before);
    assert_eq!(paster.status().app("steady").restarts, 0);
    assert_eq!(paster.status().app("crashy").restarts, 3);
}

#[test]
fn crash_hangs_until_its_request_timeout() {
    let paster = crash();
    let steady = number(&paster.text("/steady"), "process (pid)");
    let before = number(&paster.text("/crashy"), "process (pid)");
    assert_eq!(paster.post("/crashy/boom?how=hang", b"").status, 504);
    assert_eq!(number(&paster.text("/steady"), "process (pid)"), steady);
    paster.wait_until("another process serves", |s| {
        s.app("crashy").pids().iter().any(|pid| *pid != before)
    });
}

#[test]
fn salmon_answers_on_port_90_or_says_why_not() {
    let site = example("salmon", "start.ini").listen_as_configured();
    if nix::unistd::geteuid().is_root() {
        // Verbatim needs the port; another program may have it.
        if std::net::TcpListener::bind(("127.0.0.1", 90)).is_err() {
            crate::harness::paster::report("skipped: port 90 is taken");
            return;
        }
        let paster = site.serve();
        assert_eq!(paster.address().port(), 90);
        check_salmon(&paster);
        return;
    }
    let refused = Paster::refused(&site);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("90") && refused.stderr.contains("hint:"),
        "{refused:?}"
    );
}

fn check_salmon(paster: &Paster) {
    let page = paster.text("/");
    assert!(
        page.contains("<h1>Salmon</h1>") && page.contains("debug is on"),
        "{page}"
    );
    assert!(paster.text("/chinook").contains("Oncorhynchus tshawytscha"));
    assert_eq!(paster.get("/pike").status, 404);
}

#[test]
fn salmon_serves_anywhere_with_listen() {
    let verbatim = example("salmon", "start.ini");
    assert_eq!(
        verbatim.text(),
        fs::read_to_string(verbatim.path("start.ini")).expect("copied")
    );
    check_salmon(&verbatim.serve());
    let dev = example("salmon", "dev.ini");
    check_salmon(&dev.serve());
}

#[test]
fn hello_rust_greets_and_keeps_what_is_written() {
    let run = format!("exec:{}", built("hello-rust").display());
    let site = example("hello-rust", "site.ini");
    let text = site.text().replace("exec:./run", &run);
    let paster = site.ini(&text).serve();
    let page = paster.text("/hello");
    assert!(page.contains("Hello from Rust"), "{page}");
    assert_eq!(paster.get("/nothing").status, 404);
    let wrong = paster.finish();
    let text = wrong.text().replace("max_items = 20", "max_items = many");
    let paster = wrong.ini(&text).serve_unready();
    paster.allow_log("hello");
    paster.wait_until("the option is named", |s| {
        s.app("hello").last_death.is_some() || s.app("hello").state == "failed"
    });
    paster.wait_for_log("max_items");
}

#[test]
fn mixed_serves_three_languages() {
    let node = Command::new("node")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let run = format!("exec:{}", built("hello-rust").display());
    let site = example("mixed", "site.ini");
    let text = site.text().replace("exec:../hello-rust/run", &run);
    let paster = site.ini(&text).serve_unready();
    if !node {
        crate::harness::paster::report("node is not there: /node is not tested");
        paster.allow_log("node");
    }
    assert!(paster.text("/").contains("One site, three languages"));
    assert!(paster.text("/rust").contains("Hello from Rust"));
    if node {
        let page = paster.text("/node");
        assert!(
            page.contains("Hello from Node") && page.contains("<code>/node</code>"),
            "{page}"
        );
        assert_eq!(paster.get("/node/none").status, 404);
        paster.command(&["restart", "node"]).succeeded();
        assert!(paster.text("/node").contains("request 1 of this process"));
    }
}
