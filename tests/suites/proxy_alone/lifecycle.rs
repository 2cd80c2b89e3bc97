//! Tables, drains, ends.

use crate::backend::Backend;
use crate::client::Client;
use crate::front::{Front, app, eventually, site, worker};
use paster::router::access_log::{AccessLog, LogFormat, Rotation};
use paster::router::message::{FromProxy, Serving, ToProxy};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Answers when it is told to.
fn held() -> (Backend, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let backend = Backend::answering(move |_| {
        let _ = released.lock().unwrap().recv();
        "late".into()
    });
    (backend, release)
}

fn drained(id: u64) -> impl Fn(&FromProxy) -> bool {
    move |message| *message == FromProxy::Drained { worker: id }
}

#[test]
fn a_withdrawn_worker_is_drained_when_its_last_request_has_ended() {
    let (old, release) = held();
    let new = Backend::echo();
    let mut front = Front::start(site(app(vec![
        worker(1, old.path()),
        worker(3, new.path()),
    ])));
    let mut clients: Vec<_> = (0..2).map(|_| Client::new(&front)).collect();
    for client in &mut clients {
        client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("the old worker has one", || old.connections() == 1);
    front.apply(site(app(vec![worker(2, new.path())])));
    front.wait_for("the idle one is drained", drained(3));
    assert_eq!(Client::new(&front).get("/").status, 200);
    assert!(!front.has_said(drained(1)));
    release.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    front.wait_for("the busy one is drained", drained(1));
}

#[test]
fn a_tunnel_holds_its_worker() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
        peer.wait_closed();
    });
    let mut front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101"));
    front.apply(site(app(vec![])));
    assert!(!front.has_said(drained(1)));
    drop(client);
    front.wait_for("the tunnel has ended", drained(1));
}

#[test]
fn swapping_tables_under_load_loses_nothing() {
    let backends: Vec<_> = (0..2).map(|_| Backend::echo()).collect();
    let table = |id: u64| site(app(vec![worker(id, backends[(id % 2) as usize].path())]));
    let mut front = Front::start(table(1));
    let stop = Arc::new(AtomicBool::new(false));
    let address = front.address;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::to(address);
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = if served % 2 == 0 {
                        client.get("/")
                    } else {
                        client.post("/", b"x")
                    };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    served += 1;
                }
                served
            })
        })
        .collect();
    for id in 2..60 {
        front.apply(table(id));
        front.wait_for("the old worker is drained", drained(id - 1));
    }
    stop.store(true, Ordering::Relaxed);
    let served: u32 = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .sum();
    assert!(served > 100, "{served}");
}

#[test]
fn an_app_on_demand_is_asked_for_once_and_waited_for() {
    let mut idle = app(vec![]);
    idle.serving = Serving::Idle;
    let mut front = Front::start(site(idle));
    let mut clients: Vec<_> = (0..3).map(|_| Client::new(&front)).collect();
    for client in &mut clients {
        client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    front.wait_for("the demand", |m| {
        *m == FromProxy::Wanted { app: "app".into() }
    });
    let backend = Backend::echo();
    front.apply(site(app(vec![])));
    front.apply(site(app(vec![worker(1, backend.path())])));
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
}

#[test]
fn a_drain_finishes_what_is_in_flight_and_ends_the_rest() {
    let (backend, release) = held();
    let mut front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    let mut idle = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the worker has it", || backend.connections() == 1);
    front.send(&ToProxy::Shutdown { drain_ms: 15_000 });
    assert!(idle.is_closed());
    release.send(()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.text(), "late");
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_closed());
    assert!(front.wait_exit().success());
}

#[test]
fn a_drain_has_an_end() {
    let (backend, _release) = held();
    let mut front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the worker has it", || backend.connections() == 1);
    let before = Instant::now();
    front.send(&ToProxy::Shutdown { drain_ms: 300 });
    assert!(front.wait_exit().success());
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn without_a_supervisor_there_is_no_proxy() {
    let (backend, _release) = held();
    let mut front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the worker has it", || backend.connections() == 1);
    let before = Instant::now();
    front.hang_up();
    assert!(front.wait_exit().success());
    assert!(before.elapsed() < Duration::from_secs(2));
    assert!(matches!(client.reader.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn each_request_leaves_a_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let backend = Backend::answering(|_| "ok".into());
    let log = AccessLog::File {
        path: path.clone(),
        format: LogFormat::Json,
        rotation: Rotation::NEVER,
    };
    let front = Front::with_log(site(app(vec![worker(1, backend.path())])), log);
    let mut client = Client::new(&front);
    client.get("/one?two");
    client.write("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.answer().unwrap();
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    eventually("both are logged", || lines().len() == 2);
    let lines = lines();
    assert_eq!(lines[0]["target"], "/one?two");
    assert_eq!(
        (&lines[0]["app"], &lines[0]["pid"]),
        (&"app".into(), &4000.into())
    );
    assert_eq!(
        (&lines[0]["status"], &lines[0]["bytes"]),
        (&200.into(), &2.into())
    );
    assert_eq!(lines[1]["status"], 405);
}
