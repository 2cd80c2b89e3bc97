//! `--monitor-restart`.

use super::{Service, home};
use crate::harness::{Site, http::Connection, process};
use nix::sys::signal::Signal;

#[test]
fn a_monitor_starts_a_killed_paster_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    drop(taken);
    let mut service = Service::new(Site::new().actor("home", "/").listen(&address));
    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    let first = service.pid();
    let monitor = process::parent(first).expect("it runs");
    assert!(process::command_line(monitor).contains("--monitor-restart"));
    process::sigkill(first);
    service.wait_for("another one serves", || {
        service
            .try_status()
            .is_some_and(|s| s.pid != first && s.app("home").is_ready())
    });
    assert!(service.get("/").contains("count"));
    assert_eq!(service.pid(), service.status().pid);
    let log = service.text("paster.log");
    assert!(
        log.contains(&format!("(pid {first}) was killed by signal 9 (SIGKILL)")),
        "{log}"
    );

    // A signal to the monitor is one to the server.
    process::signal(monitor, Signal::SIGTERM);
    service.nothing_is_left();
}

/// Sends the signal that it is asked for to paster; real-time signals have no names.
const KILLER: &str = r#"
import os

def factory(global_conf):
    def app(environ, start_response):
        if environ['QUERY_STRING']:
            pid, number = environ['QUERY_STRING'].split('=')
            os.kill(int(pid), int(number))
        start_response('200 OK', [])
        return [b'here']
    return app
"#;

#[test]
fn a_paster_that_a_real_time_signal_has_killed_is_started_again() {
    let mut service = Service::new(Site::new().python("home", "/", KILLER));
    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    let first = service.pid();
    let _broken = Connection::open(service.address())
        .and_then(|mut connection| connection.get(&format!("/?{first}=40")));
    service.wait_for("another one serves", || {
        service
            .try_status()
            .is_some_and(|s| s.pid != first && s.app("home").is_ready())
    });
    let log = service.text("paster.log");
    let told = format!("(pid {first}) was killed by signal 40;");
    assert!(log.contains(&told), "{log}");
}

#[test]
fn a_monitor_ends_with_what_was_told_to_stop_and_takes_it_along() {
    let mut service = home();
    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    service.call(&["stop"]).succeeded();
    service.nothing_is_left();

    service.call(&["--daemon", "--monitor-restart"]).succeeded();
    process::sigkill(process::parent(service.pid()).expect("it runs"));
    service.nothing_is_left();
}

#[test]
fn a_monitor_does_not_repeat_what_cannot_start() {
    let mut service = Service::new(Site::new().actor("home", "/").policy("", "nonsense = 1"));
    let result = service.call(&["--monitor-restart"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert_eq!(
        result.stderr.matches("unknown setting").count(),
        1,
        "{result:#?}"
    );
}

#[test]
fn a_monitor_in_the_foreground_passes_signals_on() {
    let site = Site::new().actor("home", "/").argument("--monitor-restart");
    let mut paster = site.serve();
    let server = paster.status().pid;
    assert_eq!(process::parent(server), Some(paster.pid()));
    paster.signal(Signal::SIGHUP);
    paster.wait_for_log("configuration read again: nothing has changed");
    paster.signal(Signal::SIGINT);
    assert!(paster.wait_for_end().success());
}
