//! TLS: what clients see of certificates, and that renewing them costs nobody a connection.

use crate::harness::certificates::{Authority, Issued, connect, write_private};
use crate::harness::curl::{Answer, curl};
use crate::harness::http::Connection;
use crate::harness::{Paster, Site};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

const ENVIRON: &str = include_str!("../fixtures/apps/environ.py");

/// One app that tells what it was told, behind a server section with these options.
pub(crate) fn site(server: &str, more: &str) -> Site {
    Site::new()
        .file("environ.py", ENVIRON)
        .ini(&text(server, more))
        .listen_as_configured()
}

fn text(server: &str, more: &str) -> String {
    format!(
        "[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n{server}\n\n\
         [composite:main]\nuse = egg:Paste#urlmap\n/ = environ\n\n[app:environ]\nuse = environ:factory\n\n{more}"
    )
}

/// [`site`] with certificates for these names, each in a file of its own.
pub(crate) fn certified_site(
    authority: &Authority,
    names: &[&str],
    server: &str,
    more: &str,
) -> Site {
    let files: Vec<String> = (0..names.len()).map(|at| format!("{at}.pem")).collect();
    let server = format!("ssl_pem = {}\n{server}", files.join("\n  "));
    let site = site(&server, more);
    authority.write(&site.path("ca.pem"));
    for (name, file) in names.iter().zip(&files) {
        write_private(&site.path(file), &authority.issue(&[name]).in_one());
    }
    site
}

fn certified(authority: &Authority, names: &[&str]) -> Paster {
    certified_site(authority, names, "", "").serve()
}

/// `curl` to `https://NAME` at the first address of what serves a [`certified_site`].
pub(crate) fn get(paster: &Paster, name: &str, path: &str, options: &[&str]) -> Answer {
    let address = paster.address();
    let resolve = format!("{name}:{}:127.0.0.1", address.port());
    let url = format!("https://{name}:{}{path}", address.port());
    let authority = paster.site().path("ca.pem").display().to_string();
    let mut arguments = vec!["--cacert", &authority, "--resolve", &resolve, &url];
    arguments.extend(options);
    curl(&arguments)
}

type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn open(authority: &Authority, address: SocketAddr, name: &str) -> Stream {
    let config = authority.client(&[b"http/1.1"]);
    BufReader::new(connect(&config, address, name).expect("a handshake"))
}

/// One GET on a connection that is kept.
fn ask(stream: &mut Stream, path: &str) -> io::Result<Value> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(io::Error::other)
}

/// The certificate that the server has shown.
fn shown(stream: &Stream) -> Vec<u8> {
    let chain = stream.get_ref().conn.peer_certificates();
    chain.expect("after the handshake")[0].to_vec()
}

#[test]
fn an_app_is_told_https_and_clients_of_both_versions_are_served() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    for versions in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        let mut options = versions.to_vec();
        options.push("--http1.1");
        let answer = get(&paster, "a.example", "/x", &options).succeeded();
        assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(told["wsgi.url_scheme"], "https");
        assert_eq!(told["PATH_INFO"], "/x");
        assert_eq!(told["SERVER_PORT"], paster.address().port().to_string());
    }
    assert_ne!(
        get(&paster, "a.example", "/", &["--tls-max", "1.1"]).exit,
        Some(0)
    );
    assert!(
        paster
            .stderr()
            .text()
            .contains("listening on  https://127.0.0.1:")
    );
}

#[test]
fn bodies_of_any_size_pass_both_ways() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let big = paster.site().path("big");
    fs::write(&big, vec![b'x'; 3_000_000]).expect("a file in the site");
    let upload = format!("@{}", big.display());
    let options = ["--http1.1", "--data-binary", &upload];
    let told = get(&paster, "a.example", "/", &options).succeeded().body;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["body"], 3_000_000);
    let answer = get(&paster, "a.example", "/stream?100", &["--http1.1"]).succeeded();
    assert_eq!(answer.body.len(), 5_000_000);
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example", "*.b.example", "c.example"]);
    // Each of them verifies the name.
    for name in ["a.example", "www.b.example", "c.example"] {
        get(&paster, name, "/", &[]).succeeded();
    }
    // The first is for all others, who do not like it.
    let refused = get(&paster, "d.example", "/", &[]);
    assert_eq!(refused.exit, Some(60), "{refused:?}");
    get(&paster, "d.example", "/", &["--insecure"]).succeeded();
}

#[test]
fn a_star_is_a_certificate_for_development_that_survives_a_reload() {
    let paster = site("ssl_pem = *", "").serve();
    let address = paster.address();
    let url = format!("https://localhost:{}/", address.port());
    assert_eq!(curl(&[&url]).exit, Some(60), "nobody trusts it");
    let pinned = |answer: &Answer| {
        let line = answer
            .errors
            .lines()
            .find(|line| line.contains("public key hash"));
        line.map(str::to_owned)
            .expect("curl tells the hash of the key")
    };
    let look = || {
        curl(&[
            "--insecure",
            "--verbose",
            "--pinnedpubkey",
            "sha256//AAAA",
            &url,
        ])
    };
    let before = pinned(&look());
    paster.command(&["reload"]).succeeded();
    assert_eq!(pinned(&look()), before);
    curl(&["--insecure", &url]).succeeded();
}

#[test]
fn renewed_certificates_are_for_new_connections_and_old_ones_live_on() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let proxy = paster.status().proxy.pid;
    let mut old = open(&authority, paster.address(), "a.example");
    ask(&mut old, "/before").expect("an answer");

    let renewed = authority.issue(&["a.example"]).in_one();
    write_private(&paster.site().path("0.pem"), &renewed);
    paster.command(&["reload"]).succeeded();

    let mut new = open(&authority, paster.address(), "a.example");
    assert_ne!(shown(&new), shown(&old));
    ask(&mut new, "/").expect("an answer");
    let told = ask(&mut old, "/after").expect("the old connection is still there");
    assert_eq!(told["PATH_INFO"], "/after");
    assert_eq!(paster.status().proxy.pid, proxy, "the proxy stays");
}

#[test]
fn certificates_that_cannot_be_used_change_nothing() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    paster.expect_log("does not belong to the first certificate");
    paster.allow_log("the configuration is invalid; nothing was changed");
    let other = Issued {
        key: authority.issue(&["a.example"]).key,
        ..authority.issue(&["a.example"])
    };
    write_private(&paster.site().path("0.pem"), &other.in_one());
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(reload.stderr.contains("site.ini:5"), "{reload:#?}");
    get(&paster, "a.example", "/", &[]).succeeded();
}

#[test]
fn tls_survives_an_upgrade() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let mut old = open(&authority, paster.address(), "a.example");
    ask(&mut old, "/before").expect("an answer");
    paster.command(&["upgrade"]).succeeded();
    ask(&mut old, "/after").expect("the old connection is still there");
    get(&paster, "a.example", "/", &[]).succeeded();
}

#[test]
fn a_new_proxy_knows_the_certificates() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let proxy = paster.status().proxy.pid;
    paster.expect_log("the proxy ended; it is replaced");
    crate::harness::process::sigkill(proxy.expect("it runs"));
    paster.wait_until("there is another proxy", |s| {
        s.proxy.pid.is_some() && s.proxy.pid != proxy && s.proxy.table_version > 0
    });
    get(&paster, "a.example", "/", &[]).succeeded();
}

#[test]
fn who_does_not_speak_tls_is_counted_and_is_no_news() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let mut scanner = paster.connect();
    scanner.send(b"\x01\x02\x03\x04\x05\x06").expect("sent");
    scanner.rest().ok();
    drop(paster.connect());
    paster.wait_until("both are counted", |s| s.proxy.handshakes_failed == 2);
    // An open connection that says nothing is closed, too.
    let mut silent = paster.connect();
    assert_eq!(silent.rest().expect("closed"), b"");
    get(&paster, "a.example", "/", &[]).succeeded();
}

#[test]
fn the_log_says_why_a_handshake_failed_where_it_is_to_say_more() {
    let authority = Authority::new();
    let site = || certified_site(&authority, &["a.example"], "", "");
    for site in [
        site().argument("-v"),
        site().variable("PASTER_LOG", "debug"),
    ] {
        let paster = site.serve();
        let mut scanner = paster.connect();
        scanner.send(b"\x01\x02\x03\x04\x05\x06").expect("sent");
        paster.wait_for("the reason", || {
            let log = paster.stderr().text();
            log.contains("DEBUG no TLS connection came about peer=")
        });
    }
}

#[test]
fn who_speaks_http_in_the_clear_to_a_tls_port_is_told_so() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let body = vec![b'x'; 200_000];
    for (method, body) in [("GET", &[][..]), ("POST", &body)] {
        let mut lost = paster.connect();
        let length = body.len();
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        lost.send(&[head.as_bytes(), body].concat()).expect("sent");
        let answer = lost.response().expect("an answer");
        assert_eq!(answer.status, 400, "{method}");
        assert!(answer.text().contains("https://"), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(lost.rest().expect("closed in order"), b"");
    }
    paster.wait_until("they are counted", |s| s.proxy.handshakes_failed == 2);
}

#[test]
fn a_plain_port_sends_its_clients_to_https() {
    let authority = Authority::new();
    let plain = "[isolate]\nservers = plain\n\n[server:plain]\nuse = egg:Paste#http\nhost = 127.0.0.2\nport = 0\nhttps_redirect = on\n";
    let paster = certified_site(&authority, &["a.example"], "", plain).serve();
    let [secure, plain_address] = paster.addresses() else {
        panic!("two addresses: {:?}", paster.addresses());
    };
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    let (secure, plain) = (port(secure), port(plain_address));
    let url = format!("http://a.example:{plain}/x%20y?z");
    let ca = paster.site().path("ca.pem").display().to_string();
    let to_plain = format!("a.example:{plain}:127.0.0.2");
    let to_secure = format!("a.example:{secure}:127.0.0.1");
    let options = [
        "--resolve",
        &to_plain,
        "--resolve",
        &to_secure,
        "--cacert",
        &ca,
    ];
    let answer = curl(&[&options[..], &[&url]].concat()).succeeded();
    assert_eq!(answer.status_line(), "HTTP/1.1 301 Moved Permanently");
    let location = format!("location: https://a.example:{secure}/x%20y?z");
    assert!(answer.head.contains(&location), "{answer:?}");
    let address = plain_address.parse().expect("TCP");
    let mut kept = Connection::open(address).expect("a connection");
    for path in ["/one", "/two"] {
        assert_eq!(kept.get(path).expect("an answer").status, 301);
    }
    let followed =
        curl(&[&options[..], &["--location", "--data", "abc", &url]].concat()).succeeded();
    let told: Value = serde_json::from_str(&followed.body).expect("JSON");
    assert_eq!(
        (&told["REQUEST_METHOD"], &told["body"]),
        (&"POST".into(), &3.into())
    );
    assert_eq!(told["QUERY_STRING"], "z");
    paster.wait_until("redirects are counted for no app", |status| {
        status.without_app["traffic"]["responses"]["3xx"] == 4
    });
}

#[test]
fn a_reload_tells_of_an_expired_certificate_once() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let expired = authority.issue_with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    write_private(&paster.site().path("0.pem"), &expired.in_one());
    paster.expect_log("expired at");
    paster.command(&["reload"]).succeeded();
    paster.command(&["reload"]).succeeded();
    paster.wait_for_log("nothing has changed");
    let log = paster.stderr().text();
    assert_eq!(log.matches("expired at").count(), 1, "{log}");
}

#[test]
fn check_tells_of_certificates_that_clients_will_refuse() {
    let authority = Authority::new();
    let site = site("certfile = cert.pem\nkeyfile = key.pem", "");
    let expired = authority.issue_with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    site.write();
    let check = |certificate: &str, key: &str| {
        write_private(&site.path("cert.pem"), certificate);
        write_private(&site.path("key.pem"), key);
        Paster::run(&site, &["check", &site.config().display().to_string()])
    };
    let old = check(&expired.certificate, &expired.key).succeeded();
    assert!(old.stderr.contains("expired at"), "{old:#?}");
    assert!(old.stderr.contains("site.ini:5"), "{old:#?}");
    assert!(old.stdout.contains("TLS for a.example"), "{old:#?}");
    let config = site.config().display().to_string();
    let json = Paster::run(&site, &["check", "--json", &config]).succeeded();
    let report: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let listener = &report["listeners"][0];
    assert_eq!(listener["tls"]["names"][0], "a.example");
    assert_eq!(listener["scheme"], "https");
    assert!(report["files"].to_string().contains("/key.pem"), "{report}");
    let mixed = check(&expired.certificate, &authority.issue(&["a.example"]).key);
    assert_eq!(mixed.code, Some(1));
    assert!(mixed.stderr.contains("does not belong"), "{mixed:#?}");
    assert!(mixed.stderr.contains("site.ini:6"), "{mixed:#?}");
    let none = check("", &expired.key);
    assert!(none.stderr.contains("there is no certificate"), "{none:#?}");
    fs::remove_file(site.path("key.pem")).expect("written before");
    write_private(&site.path("cert.pem"), &expired.certificate);
    let missing = Paster::refused(&site);
    assert!(missing.stderr.contains("cannot read"), "{missing:#?}");
}

#[test]
fn no_key_is_told_to_anybody() {
    let authority = Authority::new();
    let paster = certified(&authority, &["a.example"]);
    let key = fs::read_to_string(paster.site().path("0.pem")).expect("written");
    let secret = key.lines().nth(1).expect("PEM").to_owned();
    let everything = [
        paster.command(&["status", "--json"]).succeeded().stdout,
        Paster::run(
            paster.site(),
            &[
                "check",
                "--json",
                &paster.site().config().display().to_string(),
            ],
        )
        .stdout,
        paster.stderr().text(),
    ];
    for text in everything {
        assert!(!text.contains(&secret[..32]), "{text}");
    }
}

/// Opens a WebSocket over TLS and says something.
const WEBSOCKET: &str = r#"
import ssl, sys
from websockets.sync.client import connect

trust = ssl.create_default_context(cafile=sys.argv[2])
with connect(sys.argv[1], ssl=trust, server_hostname="a.example", proxy=None) as socket:
    print(socket.recv(timeout=20))
    for message in ("hello", "x" * 300000):
        socket.send(message)
        assert socket.recv(timeout=20) == message
"#;

#[test]
fn websockets_pass() {
    let authority = Authority::new();
    let text = text(
        "ssl_pem = site.pem",
        "[app:echo]\nuse = exec:{python} {here}/echo.py {port}\n",
    )
    .replace("/ = environ", "/ws = echo")
    .replace("{python}", &crate::fixtures::python().display().to_string());
    let site = site("", "")
        .ini(&text)
        .file("echo.py", crate::proxy::ECHO)
        .file("client.py", WEBSOCKET);
    authority.write(&site.path("ca.pem"));
    write_private(
        &site.path("site.pem"),
        &authority.issue(&["a.example"]).in_one(),
    );
    let paster = site.serve();
    let output = std::process::Command::new(crate::fixtures::python())
        .arg(paster.site().path("client.py"))
        .arg(format!("wss://{}/ws/room", paster.address()))
        .arg(paster.site().path("ca.pem"))
        .output()
        .expect("start the client");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("at /room"));
}
