//! Apps that are closed to clients while their workers live on.

use crate::harness::{Paster, Site};

fn site() -> Site {
    Site::new().actor("blog", "/blog").actor("wiki", "/wiki")
}

fn is_closed(paster: &Paster) -> bool {
    let answer = paster.get("/blog");
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    answer.status == 503
}

#[test]
fn clients_are_told_and_workers_live_on() {
    let paster = site().serve();
    let before = paster.status().app("blog").workers[0].pid;
    let words = ["maintenance", "blog", "on", "--message", "Back at <noon>"];
    let done = paster.command(&words).succeeded();
    assert!(done.stdout.contains("blog: maintenance on"), "{done:?}");
    let answer = paster.get("/blog/anything");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("60"))
    );
    assert!(answer.text().contains("Back at <noon>"), "{answer:?}");
    let html = paster
        .connect()
        .request("GET", "/blog", &[("Accept", "text/html")], b"");
    assert!(
        html.expect("an answer")
            .text()
            .contains("Back at &lt;noon&gt;")
    );
    assert_eq!(paster.get("/wiki").status, 200);
    let status = paster.command(&["status"]).succeeded();
    for part in ["ready (maintenance)", "maintenance of blog: Back at <noon>"] {
        assert!(status.stdout.contains(part), "{status:?}");
    }
    let json = paster.command(&["status", "--json"]).succeeded();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["apps"][0]["maintenance"], true);
    assert_eq!(json["apps"][0]["maintenance_message"], "Back at <noon>");
    assert_eq!(json["apps"][1]["maintenance"], false);
    let off = paster
        .command(&["maintenance", "blog", "off", "--json"])
        .succeeded();
    let off: serde_json::Value = serde_json::from_str(&off.stdout).expect("JSON");
    assert_eq!(off["apps"][0]["action"], "maintenance off");
    assert_eq!(paster.get("/blog").status, 200);
    assert_eq!(paster.status().app("blog").workers[0].pid, before);
    let again = paster.command(&["maintenance", "blog", "off"]).succeeded();
    assert!(again.stdout.contains("unchanged"), "{again:?}");
}

#[test]
fn what_was_begun_is_finished() {
    let paster = site().serve();
    let slow = paster.get_in_background("/blog/slow?s=3");
    paster.wait_until("the request is in flight", |status| {
        status.app("blog").workers[0].in_flight == 1
    });
    paster.command(&["maintenance", "blog", "on"]).succeeded();
    assert!(is_closed(&paster));
    assert_eq!(slow.join().expect("it ran").expect("an answer").status, 200);
}

#[test]
fn it_survives_restarts_reloads_and_upgrades() {
    let mut paster = site().serve();
    paster.command(&["maintenance", "blog", "on"]).succeeded();
    paster.command(&["restart", "blog"]).succeeded();
    assert!(is_closed(&paster));
    paster.edit(|site| site.policy("", "queue = 50"));
    paster.command(&["reload"]).succeeded();
    assert!(is_closed(&paster));
    paster.command(&["upgrade"]).succeeded();
    assert!(is_closed(&paster));
    paster.command(&["maintenance", "blog", "off"]).succeeded();
    assert!(!is_closed(&paster));
    // What the file says counts from the moment at which it says something else.
    paster.edit(|site| site.policy("blog", "maintenance = on"));
    paster.command(&["reload"]).succeeded();
    assert!(is_closed(&paster));
    paster.command(&["maintenance", "blog", "off"]).succeeded();
    paster.command(&["reload"]).succeeded();
    assert!(!is_closed(&paster));
    paster.edit(|site| site.policy("blog", "maintenance = off"));
    paster.command(&["reload"]).succeeded();
    assert!(!is_closed(&paster));
}

#[test]
fn some_may_look_and_others_see_the_page() {
    let mut paster = site()
        .file("closed.html", "<h1>Closed</h1>")
        .policy("blog", "error_pages = maintenance = closed.html")
        .policy("blog", "maintenance = on")
        .policy("blog", "maintenance_allow = 10.0.0.0/8")
        .serve();
    let page = paster.get("/blog");
    assert_eq!(
        (page.status, page.text()),
        (503, "<h1>Closed</h1>".to_owned())
    );
    assert_eq!(page.header("retry-after"), Some("60"));
    paster.edit(|site| site.policy("blog", "maintenance_retry_after = 1.5h"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/blog").header("retry-after"), Some("5400"));
    let through = |paster: &Paster| {
        let from = [("X-Forwarded-For", "10.1.2.3")];
        let answer = paster.connect().request("GET", "/blog", &from, b"");
        answer.expect("an answer").status
    };
    assert_eq!(through(&paster), 503, "anybody can say that");
    paster.edit(|site| site.policy("", "trusted_proxy = 127.0.0.1"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(through(&paster), 200);
    paster.edit(|site| site.policy("blog", "maintenance_allow = 127.0.0.0/8"));
    paster.command(&["reload"]).succeeded();
    assert!(!is_closed(&paster));
}

#[test]
fn what_cannot_be_is_said() {
    let paster = site().serve();
    let unknown = paster.command(&["maintenance", "blgo", "on"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(
        unknown.stderr.contains("there is no app `blgo`"),
        "{unknown:?}"
    );
    let odd = paster.command(&["maintenance", "blog", "off", "--message", "x"]);
    assert_eq!(odd.code, Some(2), "{odd:?}");
    let long = "x".repeat(1001);
    let long = paster.command(&["maintenance", "blog", "on", "--message", &long]);
    assert_eq!(long.code, Some(1), "{long:?}");
    assert!(!is_closed(&paster));
}
