//! Towards the service manager: paster is a good service of systemd (docs/operations.md).

use crate::harness::http::Connection;
use crate::harness::manager::Manager;
use crate::harness::{Paster, Site, poll, process};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// A site that speaks to a manager.
fn managed(site: Site) -> (Site, Manager) {
    let manager = Manager::new(site.dir());
    let site = site.variable("NOTIFY_SOCKET", manager.address());
    (site, manager)
}

/// The sockets that the manager was given to keep: name and descriptor.
fn stored(manager: &Manager) -> Vec<(String, OwnedFd)> {
    let notices = manager.with(std::mem::take);
    let mut stored = Vec::new();
    for mut notice in notices {
        let name = notice.value("FDNAME").unwrap_or_default().to_owned();
        if notice.value("FDSTORE").is_some() {
            stored.extend(notice.descriptors.drain(..).map(|fd| (name.clone(), fd)));
        } else if notice.value("FDSTOREREMOVE").is_some() {
            stored.retain(|(kept, _)| *kept != name);
        }
    }
    stored
}

#[test]
fn readiness_and_status_are_told() {
    let (site, manager) = managed(Site::new().actor("home", "/").actor("other", "/other"));
    let paster = site.policy("other", "processes = 2").serve_unready();
    let ready = manager.wait_for("READY=1");
    assert_eq!(
        ready.value("STATUS"),
        Some("2 apps: 2 ready; 3 workers"),
        "{ready:?}"
    );
    paster.command(&["stop", "other"]).succeeded();
    manager.wait_for_status("2 apps: 1 ready, 1 stopped; 1 worker");
}

#[test]
fn an_app_that_does_not_come_up_does_not_hold_up_the_service() {
    let (site, manager) = managed(Site::new().actor("home", "/").actor("broken", "/broken"));
    let paster = site
        .option("broken", "exit = 1")
        .policy("broken", "restart_delay = 20s")
        .serve_unready();
    paster.expect_log("exited with status 1");
    let ready = manager.wait_for("READY=1");
    assert_eq!(
        ready.value("STATUS"),
        Some("2 apps: 1 ready, 1 waiting to be started again; 1 worker")
    );
}

#[test]
fn readiness_waits_for_an_app_that_takes_its_time() {
    let (site, manager) = managed(Site::new().actor("slow", "/"));
    let gate = site.path("gate");
    let waits = format!(
        "import os, time\ndef factory(global_conf):\n    while not os.path.exists({gate:?}):\n        time.sleep(0.01)\n    return lambda e, s: s('200 OK', []) and [] or []\n"
    );
    let paster = site.python("gated", "/gated", &waits).serve_unready();
    paster.wait_until("the other app is ready", |s| s.app("slow").is_ready());
    manager.wait_for_status("1 ready, 1 starting");
    assert!(
        !manager.texts().iter().any(|text| text.contains("READY=1")),
        "{:?}",
        manager.texts()
    );
    std::fs::write(gate, "").expect("our own directory");
    manager.wait_for("READY=1");
}

#[test]
fn a_reload_is_announced_with_its_time_and_ends_with_readiness() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let mut paster = site.serve();
    manager.wait_for("READY=1");
    let before = monotonic_micros();
    paster.edit(|site| site.option("home", "version = 2"));
    paster.signal(Signal::SIGHUP);
    let reloading = manager.wait_for("RELOADING=1");
    let told: u64 = reloading
        .value("MONOTONIC_USEC")
        .and_then(|text| text.parse().ok())
        .expect("a number");
    assert!((before..=monotonic_micros()).contains(&told), "{told}");
    let ready = manager.wait_for("READY=1");
    assert_eq!(ready.value("STATUS"), Some("1 app: 1 ready; 1 worker"));
    assert_eq!(
        paster.get("/").json()["version"],
        "2",
        "it was told when the new generation served"
    );

    // One that fails ends too, and says so.
    paster.expect_log("the configuration is invalid");
    paster.expect_log("unknown setting");
    paster.edit(|site| site.policy("home", "proceses = 2"));
    paster.command(&["reload"]);
    manager.wait_for("RELOADING=1");
    let ready = manager.wait_for("READY=1");
    let status = ready.value("STATUS").expect("a status");
    assert!(
        status.starts_with("reload failed: ") && status.contains("unknown setting"),
        "{status}"
    );
    assert!(status.ends_with("1 app: 1 ready; 1 worker"), "{status}");
}

#[test]
fn a_reload_whose_new_workers_fail_says_so() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let mut paster = site.serve();
    manager.wait_for("READY=1");
    paster.expect_log("new generation given up");
    paster.allow_log("exited with status 7");
    paster.edit(|site| site.option("home", "exit = 7"));
    assert_eq!(paster.command(&["reload"]).code, Some(1));
    manager.wait_for("RELOADING=1");
    let ready = manager.wait_for("READY=1");
    let status = ready.value("STATUS").expect("a status");
    assert!(
        status.starts_with("reload failed: new workers of home did not come up"),
        "{status}"
    );
}

#[test]
fn signs_of_life_come_from_the_loop_that_does_the_work() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let mut paster = site.variable("WATCHDOG_USEC", "200000").serve();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    // A loop that stands still gives none.
    paster.signal(Signal::SIGSTOP);
    let is_stopped = || process::state(paster.pid()) == Some('T');
    poll(crate::harness::DEADLINE, || is_stopped().then_some(())).expect("it stops");
    manager.with(Vec::clear);
    let ping = || (!manager.texts().is_empty()).then_some(());
    assert!(poll(Duration::from_millis(500), ping).is_err());
    paster.signal(Signal::SIGCONT);
    manager.wait_for("WATCHDOG=1");
}

#[test]
fn the_stop_is_told() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let mut paster = site.serve();
    manager.wait_for("READY=1");
    paster.signal(Signal::SIGTERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert!(
        stopping
            .value("STATUS")
            .is_some_and(|status| status.starts_with("stopping: ")),
        "{stopping:?}"
    );
    assert!(paster.wait_for_end().success());
}

#[test]
fn a_manager_that_does_not_listen_disturbs_nothing() {
    let site = Site::new().actor("home", "/");
    let nowhere = site.path("nowhere").display().to_string();
    let paster = site.variable("NOTIFY_SOCKET", &nowhere).serve();
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn what_was_meant_for_paster_reaches_nobody_else() {
    let (site, manager) = managed(Site::new().server("program", "/", ""));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let paster = site
        .variable("WATCHDOG_USEC", "60000000")
        .variable("FDSTORE", "8")
        .listen("fd:http")
        .pass("http", listener)
        .serve();
    let status = paster.status();
    let worker = status.app("program").pid();
    let keeper = process::parent(worker).expect("it runs");
    let proxy = status.proxy.pid.expect("it runs");
    for (who, pid) in [("keeper", keeper), ("proxy", proxy), ("worker", worker)] {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it runs");
        let environment = String::from_utf8_lossy(&environment).into_owned();
        for line in environment.split('\0') {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let own =
                who == "worker" && matches!(name, "LISTEN_FDS" | "LISTEN_PID" | "LISTEN_FDNAMES");
            let ours =
                name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_") || name == "FDSTORE";
            assert!(own || !ours, "the {who} has {line}");
            assert!(
                name != "NOTIFY_SOCKET" || (who == "worker" && value != manager.address()),
                "the {who} has {line}"
            );
        }
    }
}

#[test]
fn a_passed_socket_is_used_where_the_configuration_has_its_address() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("bound");
    let site = Site::new().actor("home", "/").listen(&address.to_string());
    // The test keeps a copy, as systemd does: to bind the address would fail.
    let copy = tcp.try_clone().expect("a descriptor");
    let mut paster = site.pass("site.socket", tcp).serve();
    assert_eq!(paster.addresses(), [address.to_string()]);
    assert_eq!(paster.get("/").status, 200);
    paster.command(&["stop"]).succeeded();
    paster.wait_for_end();
    Connection::open(address)
        .expect("the socket is the manager's: clients wait for the next start");
    drop(copy);
}

#[test]
fn a_passed_unix_socket_is_used_and_left_where_it_is() {
    let site = Site::new().actor("home", "/");
    let path = site.path("http.sock");
    let unix = UnixListener::bind(&path).expect("our own directory");
    let listen = format!("unix:{}", path.display());
    let mut paster = site.listen(&listen).pass("x", unix).serve();
    UnixStream::connect(&path).expect("paster accepts");
    paster.command(&["stop"]).succeeded();
    paster.wait_for_end();
    assert!(path.exists(), "it belongs to who has made it");
}

#[test]
fn sockets_are_taken_by_name() {
    let one = TcpListener::bind("127.0.0.1:0").expect("a port");
    let two = TcpListener::bind("127.0.0.1:0").expect("a port");
    let both: Vec<String> = [&one, &two]
        .map(|socket| socket.local_addr().expect("bound").to_string())
        .into();
    let paster = Site::new()
        .actor("home", "/")
        .listen("fd:http")
        .pass("http", one)
        .pass("http", two)
        .serve();
    assert_eq!(paster.status().listen, both);
}

#[test]
fn without_a_server_section_all_passed_sockets_are_served() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("bound").to_string();
    let site = Site::new().actor("home", "/");
    let text = site.text();
    let (_, rest) = text
        .split_once("\n\n")
        .expect("the server section is first");
    let paster = site
        .ini(rest)
        .listen_as_configured()
        .pass("any", tcp)
        .serve();
    assert_eq!(paster.status().listen, [address]);
}

#[test]
fn a_passed_socket_that_nobody_asks_for_is_a_warning() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("bound");
    let (one, _other) = UnixStream::pair().expect("a pair");
    let paster = Site::new()
        .actor("home", "/")
        .pass("lost", tcp)
        .pass("odd", one)
        .serve();
    paster.expect_log(&format!("the socket `lost` on {address} was passed"));
    paster.expect_log(
        "the passed descriptor 4 (`odd`) is not used: it is no listening stream socket",
    );
    assert!(paster.stderr().text().contains("`--listen fd:lost`"));
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_socket_that_was_not_passed_is_explained() {
    let refused = Paster::refused(&Site::new().actor("home", "/").listen("fd:http"));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("none was passed")
            && refused.stderr.contains("FileDescriptorName=http"),
        "{refused:#?}"
    );
}

#[test]
fn stored_listeners_survive_a_restart_of_the_service() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let unix = site.path("http.sock");
    let listen = format!("unix:{}", unix.display());
    let mut paster = site.argument("--listen").argument(&listen).serve();
    let address = paster.address();
    paster.command(&["stop"]).succeeded();
    paster.wait_for_end();
    let kept = stored(&manager);
    assert_eq!(kept.len(), 2, "{kept:?}");

    // Between the two lives clients wait.
    let mut waiting = Connection::open(address).expect("the manager has the listener");
    let on_unix = UnixStream::connect(&unix).expect("this one too, and its file is there");
    drop(on_unix);
    let mut site = paster.finish().listen(&address.to_string());
    for (name, socket) in kept {
        site = site.pass(&name, socket);
    }
    let paster = site.serve();
    assert_eq!(paster.address(), address);
    assert_eq!(waiting.get("/").expect("it is answered").status, 200);
    assert!(stored(&manager).is_empty(), "the manager has them already");

    let _site = paster.finish();
    assert!(unix.exists(), "for the next life");
}

#[test]
fn a_listener_that_a_reload_drops_leaves_the_store() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let unix = site.path("http.sock");
    let text = site.text();
    let with = |address: &str| {
        let server = format!("[server:main]\nuse = egg:gunicorn#main\nbind = {address}\n");
        let (_, rest) = text
            .split_once("\n\n")
            .expect("the server section is first");
        format!("{server}\n{rest}")
    };
    let both = with(&format!("127.0.0.1:0,unix:{}", unix.display()));
    let mut paster = site.ini(&both).listen_as_configured().serve();
    manager.wait_for("READY=1");
    paster.edit(|site| site.ini(&with("127.0.0.1:0")));
    paster.command(&["reload"]).succeeded();
    let gone = manager.wait_for("FDSTOREREMOVE=1");
    assert!(
        gone.value("FDNAME")
            .is_some_and(|name| name.starts_with("paster.unix_")),
        "{gone:?}"
    );
    assert!(!unix.exists(), "nobody has it any more");
}

#[test]
fn an_upgrade_keeps_what_the_manager_has_given() {
    let (site, manager) = managed(Site::new().actor("home", "/"));
    let passed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = passed.local_addr().expect("bound").to_string();
    let copy = passed.try_clone().expect("a descriptor");
    let site = site.variable("WATCHDOG_USEC", "1000000");
    let text = site.text();
    let (_, rest) = text
        .split_once("\n\n")
        .expect("the server section is first");
    let with = |address: &str| {
        format!("[server:main]\nuse = egg:gunicorn#main\nbind = {address}\n\n{rest}")
    };
    let site = site.ini(&with("127.0.0.1:0")).listen_as_configured();
    let mut paster = site.pass("http", passed).serve();
    paster.expect_log("the socket `http`");
    let told_ready = || manager.texts().iter().any(|text| text.contains("READY=1"));
    paster.wait_for("it says that it is ready", told_ready);
    assert_eq!(stored(&manager).len(), 1);
    paster.command(&["upgrade"]).succeeded();
    manager.wait_for("WATCHDOG=1");
    paster.command(&["stop", "home"]).succeeded();
    manager.wait_for_status("1 stopped");
    paster.command(&["start", "home"]).succeeded();

    // The passed socket is still at hand, and the stored one is still known as stored.
    paster.edit(|site| site.ini(&with("fd:http")));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.status().listen, [address]);
    let texts = manager.texts();
    let count = |part: &str| texts.iter().filter(|text| text.contains(part)).count();
    assert_eq!(
        (count("FDSTORE=1"), count("FDSTOREREMOVE=1")),
        (0, 1),
        "{texts:?}"
    );
    assert_eq!(count("READY=1"), 1, "only the reload's: {texts:?}");
    drop(copy);
}

fn monotonic_micros() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("every Linux");
    Duration::from(now)
        .as_micros()
        .try_into()
        .expect("some years only")
}
