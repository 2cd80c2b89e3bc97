//! Lines for journald and syslog.

use super::print;
use crate::harness::Site;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// One entry of the journal.
fn entry(socket: &UnixDatagram) -> Vec<(String, String)> {
    let mut bytes = vec![0; 256 * 1024];
    let length = socket.recv(&mut bytes).expect("an entry comes");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    };
    text.lines().map(field).collect()
}

fn field<'a>(entry: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = entry.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn daemon(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket in the site");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    socket
}

/// The first entry with this message.
fn entry_with(socket: &UnixDatagram, message: &str) -> Vec<(String, String)> {
    loop {
        let entry = entry(socket);
        if field(&entry, "MESSAGE") == Some(message) {
            return entry;
        }
    }
}

#[test]
fn the_journal_gets_each_line_with_its_fields() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = journald:%(here)s/journal");
    let journal = daemon(&site.path("journal"));
    let paster = site.serve();
    let pid = paster.status().app("home").pid().to_string();
    print(&paster, "plain", "%3C3%3Ebad");
    let plain = entry_with(&journal, "plain");
    for (name, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "home"),
        ("PASTER_APP", "home"),
        ("PASTER_SLOT", "0"),
        ("PASTER_GENERATION", "1"),
        ("PASTER_PID", &pid),
        ("PASTER_STREAM", "stdout"),
    ] {
        assert_eq!(field(&plain, name), Some(value), "{name} in {plain:?}");
    }
    let bad = entry_with(&journal, "bad");
    assert_eq!(field(&bad, "PRIORITY"), Some("3"));
    assert_eq!(field(&bad, "PASTER_STREAM"), Some("stderr"));
    print(&paster, "x", "unmarked");
    assert_eq!(
        field(&entry_with(&journal, "unmarked"), "PRIORITY"),
        Some("4")
    );
    assert!(!paster.stdout().text().contains("plain"));
}

#[test]
fn without_a_daemon_lines_come_to_stdout_and_go_to_it_when_it_is_there() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = journald:%(here)s/journal");
    let path = site.path("journal");
    let paster = site.serve();
    paster.expect_log("cannot write journald at");
    print(&paster, "nobody+there", "x");
    paster.wait_for("the line on stdout", || {
        paster.stdout().text().contains("[home:0] nobody there\n")
    });
    assert!(paster.status().app("home").log().trouble.is_some());
    let journal = daemon(&path);
    paster.wait_for_log("is written again");
    paster.wait_until("the trouble is over", |s| {
        s.app("home").log().trouble.is_none()
    });
    print(&paster, "somebody+there", "x");
    entry_with(&journal, "somebody there");
    assert!(!paster.stdout().text().contains("somebody"));
    // It ends and comes back, as at an update of its own.
    drop(journal);
    fs::remove_file(&path).expect("our own file");
    let journal = daemon(&path);
    print(&paster, "another+one", "x");
    entry_with(&journal, "another one");
}

#[test]
fn syslog_gets_each_line_in_the_form_of_syslog() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = syslog:%(here)s/syslog");
    let syslog = daemon(&site.path("syslog"));
    let paster = site.serve();
    let pid = paster.status().app("home").pid();
    print(&paster, "plain", "%3C2%3Ecritical");
    let find = |end: &str| loop {
        let mut bytes = vec![0; 16 * 1024];
        let length = syslog.recv(&mut bytes).expect("a message comes");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if message.ends_with(end) {
            return message;
        }
    };
    let plain = find(&format!(" home[{pid}]: plain"));
    assert!(plain.starts_with("<30>"), "{plain}");
    assert!(find(": critical").starts_with("<26>"));
}
