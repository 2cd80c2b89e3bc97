use super::*;

fn bind(listen: &Listen) -> Result<Vec<Bound>, String> {
    Binder::default().bind(listen, &Hosts::default())
}

fn tcp(host: &str, port: u16) -> Listen {
    Listen::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn passed(name: &str, address: &str, dual: bool) -> Passed {
    Passed {
        name: name.to_owned(),
        address: PassedAddress::Tcp {
            address: address.parse().expect("an address"),
            dual,
        },
        socket: std::fs::File::open("/dev/null")
            .expect("it is everywhere")
            .into(),
    }
}

#[test]
fn a_passed_socket_is_taken_by_its_address_and_keeps_the_name_of_the_host() {
    let sockets = vec![
        passed("a", "127.0.0.1:81", false),
        passed("paster.b", "[::]:82", true),
        passed("c", "[::]:83", false),
    ];
    let mut binder = Binder::new(sockets);
    let one = binder
        .bind(&tcp("localhost", 81), &Hosts::default())
        .expect("passed");
    assert_eq!(one[0].info.server_name, "localhost");
    assert_eq!(one[0].keeping, Keeping::Passed);
    let two = binder
        .bind(&tcp("0.0.0.0", 82), &Hosts::default())
        .expect("passed");
    assert_eq!(two[0].keeping, Keeping::Stored("paster.b".to_owned()));
    assert_eq!(two[0].info.address, "[::]:82");
    let bound: Vec<Bound> = one.into_iter().chain(two).collect();
    let unused = binder.unused(&bound);
    assert_eq!(unused, [("c".to_owned(), "[::]:83".to_owned())]);
    let again = binder
        .bind(&tcp("127.0.0.1", 81), &Hosts::default())
        .expect("it stays ours");
    assert_eq!(again[0].keeping, Keeping::Passed);
}

#[test]
fn what_we_had_stored_and_do_not_need_is_let_go() {
    let mut binder = Binder::new(vec![passed("paster.x", "127.0.0.1:81", false)]);
    assert!(binder.names().is_empty());
    assert_eq!(binder.drop_stored(), ["paster.x"]);
    assert!(binder.drop_stored().is_empty());
}

#[test]
fn all_sockets_of_a_name_are_taken_and_a_wrong_name_is_explained() {
    let sockets = vec![
        passed("http", "127.0.0.1:81", false),
        passed("http", "127.0.0.1:82", false),
        passed("other", "127.0.0.1:83", false),
    ];
    let mut binder = Binder::new(sockets);
    let name = |name: &str| Listen::Passed {
        name: name.to_owned(),
    };
    assert_eq!(
        binder
            .bind(&name("http"), &Hosts::default())
            .expect("passed")
            .len(),
        2
    );
    let error = binder
        .bind(&name("htpp"), &Hosts::default())
        .expect_err("no such name");
    assert!(error.contains("passed were http, http, other"), "{error}");
}

#[test]
fn a_name_is_bound_on_all_its_addresses_with_one_port() {
    let bound = bind(&Listen::Tcp {
        host: "localhost".to_owned(),
        port: 0,
    })
    .expect("free");
    assert!(
        bound
            .iter()
            .all(|b| b.info.server_port == bound[0].info.server_port && b.info.server_port != 0)
    );
}

#[test]
fn a_taken_port_is_explained() {
    let first = bind(&Listen::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 0,
    })
    .expect("free");
    let port = first[0].info.server_port;
    let error = bind(&Listen::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    })
    .expect_err("taken");
    assert!(
        error.contains("another program") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let temp = tempfile::tempdir().expect("temporary directory");
    let path = temp.path().join("site.sock");
    let listen = Listen::Unix {
        path: path.clone(),
        mode: 0o600,
    };
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let live = bind(&listen).expect("stale");
    assert!(bind(&listen).expect_err("live").contains("another program"));
    drop(live);
    assert!(!path.exists());
}

#[test]
fn a_program_that_does_not_get_to_its_queue_listens_all_the_same() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("s.sock");
    let client = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_nonblocking(true).expect("it is ours");
        let address = socket2::SockAddr::unix(&path).expect("a short path");
        socket.connect(&address).map(|()| socket)
    };
    let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let other = other.expect("a socket");
    let address = socket2::SockAddr::unix(&path).expect("a short path");
    other.bind(&address).expect("free");
    other.listen(1).expect("bound");
    let waiting: Vec<_> = std::iter::from_fn(|| client().ok()).collect();
    let listen = Listen::Unix {
        path: path.clone(),
        mode: 0o600,
    };
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(bind(&listen).map(drop)));
    let answer = told.recv_timeout(std::time::Duration::from_secs(10));
    let error = answer.expect("nobody is waited for").expect_err("taken");
    assert!(error.contains("another program listens there"), "{error}");
    drop(waiting);
}
