//! What workers print is passed on line by line, and nobody is blocked or blown up by it.

use crate::harness::paster::report;
use crate::harness::{Site, process};

#[test]
fn lines_are_prefixed_and_stdout_and_stderr_stay_apart() {
    let paster = Site::new().actor("home", "/").serve();
    paster.text("/print?out=to+the+left&err=to+the+right");
    paster.wait_for("both lines", || {
        paster.stdout().text().contains("to the left")
            && paster.stderr().text().contains("to the right")
    });
    assert!(
        paster
            .stdout()
            .text()
            .lines()
            .any(|line| line == "[home:0] to the left")
    );
    assert!(
        paster
            .stderr()
            .text()
            .lines()
            .any(|line| line == "[home:0] to the right")
    );
    assert!(!paster.stdout().text().contains("to the right"));
    assert!(!paster.stderr().text().contains("to the left"));
}

#[test]
fn two_workers_do_not_mix_their_lines() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .serve();
    for n in 0..20 {
        paster.text(&format!("/one/print?out=one-{n}&err=x"));
        paster.text(&format!("/two/print?out=two-{n}&err=x"));
    }
    paster.wait_for("all lines", || paster.stdout().text().lines().count() == 40);
    let text = paster.stdout().text();
    for line in text.lines() {
        assert!(
            line.starts_with("[one:0] one-") || line.starts_with("[two:0] two-"),
            "{line}"
        );
    }
}

#[test]
fn a_hundred_megabytes_without_a_newline_block_nobody_and_cost_no_memory() {
    const MB: u64 = 1024 * 1024;
    let paster = Site::new()
        .actor("loud", "/loud")
        .actor("quiet", "/quiet")
        .serve();
    paster.text("/loud/flood?mb=1");
    let before = process::rss(paster.pid());
    let load = paster.load("/quiet/", 2, 50);
    assert_eq!(paster.text("/loud/flood?mb=100"), "flooded\n");
    let after = process::rss(paster.pid());
    let result = load.finish();
    report(&format!(
        "supervisor: {} MB before, {} MB after; {result}",
        before / MB,
        after / MB
    ));
    assert!(result.is_clean(), "{result}");
    // What waits for a slow reader is bounded.
    assert!(after < before + 16 * MB, "from {before} to {after} bytes");
    paster.wait_for("the end of the flood", || paster.stderr().total() > MB);
    assert_eq!(paster.get("/loud/").status, 200);
}

#[test]
fn binary_garbage_passes() {
    let paster = Site::new().actor("home", "/").serve();
    assert_eq!(paster.text("/flood?mb=1&garbage=1"), "flooded\n");
    paster.wait_for("the end", || {
        paster
            .stderr()
            .text()
            .contains("[home:0] the flood is over")
    });
    assert_eq!(paster.get("/").status, 200);
}
