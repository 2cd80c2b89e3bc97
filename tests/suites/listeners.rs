//! Where clients come in: several addresses, both families, unix sockets, passed sockets, and load balancers that speak for others.

use crate::harness::certificates::{Authority, connect, write_private};
use crate::harness::curl::curl;
use crate::harness::http::Connection;
use crate::harness::{DEADLINE, Paster, Site, poll};
use crate::tls;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A site whose `[server:main]` is waitress with these options.
fn waitress(options: &str) -> Site {
    let site = tls::site("", "");
    let text = site.text().replace(
        "use = egg:Paste#http\nhost = 127.0.0.1\nport = 0",
        &format!("use = egg:waitress#main\n{options}"),
    );
    site.ini(&text)
}

fn told(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// What the app was told of a request behind `header`.
fn introduced(paster: &Paster, header: &[u8]) -> Value {
    let mut connection = paster.connect();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // In one piece: nothing of the request may be taken for the header.
    connection.send(&[header, request].concat()).expect("sent");
    let response = connection.response().expect("an answer");
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn version_2(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(source);
    header.extend([192, 0, 2, 9]);
    header.extend(port.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

#[test]
fn a_trusted_proxy_tells_of_its_clients() {
    let settings = "[isolate]\ntrusted_proxy = 127.0.0.1 10.0.0.0/8\naccess_log = access.log\n\
        access_log_format = $remote_addr $remote_port\n";
    let paster = tls::site("", settings).serve();
    let told = |fields: &[(&str, &str)]| {
        let answer = paster.connect().request("GET", "/", fields, b"");
        answer.expect("an answer").json()
    };
    let one = told(&[
        ("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.0.0.2"),
        ("X-Forwarded-Proto", "https"),
    ]);
    assert_eq!(one["REMOTE_ADDR"], "203.0.113.7");
    assert_eq!(one["wsgi.url_scheme"], "https");
    let forwarded = "for=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1";
    let two = told(&[("Forwarded", forwarded)]);
    assert_eq!(two["REMOTE_ADDR"], "2001:db8::7");
    assert_eq!(two["REMOTE_PORT"], "4711");
    assert_eq!(two["wsgi.url_scheme"], "https");
    let nothing = told(&[]);
    assert_eq!(nothing["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(nothing["wsgi.url_scheme"], "http");
    let log = paster.site().path("access.log");
    let lines = poll(DEADLINE, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() == 3).then_some(text)
    });
    let lines = lines.expect("three lines");
    assert!(
        lines.starts_with("203.0.113.7 -\n2001:db8::7 4711\n127.0.0.1 "),
        "{lines}"
    );
}

#[test]
fn who_is_not_trusted_tells_of_nobody() {
    let paster = tls::site("", "[isolate]\ntrusted_proxy = 10.0.0.0/8\n").serve();
    let fields = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.7;proto=https"),
    ];
    let told = paster.connect().request("GET", "/", &fields, b"");
    let told = told.expect("an answer").json();
    assert_eq!(told["REMOTE_ADDR"], "127.0.0.1");
    assert_eq!(told["wsgi.url_scheme"], "http");
}

#[test]
fn a_load_balancer_speaks_for_its_clients() {
    let trust = "[isolate]\ntrusted_proxy = 127.0.0.1\n";
    let paster = tls::site("proxy_protocol = on", trust).serve();
    let client = |told: &Value| (told["REMOTE_ADDR"].clone(), told["REMOTE_PORT"].clone());
    let one = introduced(&paster, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n");
    assert_eq!(client(&one), ("203.0.113.7".into(), "4711".into()));
    let two = introduced(&paster, &version_2([203, 0, 113, 8], 4712));
    assert_eq!(client(&two), ("203.0.113.8".into(), "4712".into()));
    let six = introduced(&paster, b"PROXY TCP6 2001:db8::1 2001:db8::2 4713 80\r\n");
    assert_eq!(client(&six), ("2001:db8::1".into(), "4713".into()));
    let itself = introduced(&paster, b"PROXY UNKNOWN\r\n");
    assert_eq!(itself["REMOTE_ADDR"], "127.0.0.1");
    let url = format!("http://{}/", paster.address());
    let answer = curl(&["--haproxy-protocol", &url]).succeeded();
    assert_eq!(told(&answer.body)["REMOTE_ADDR"], "127.0.0.1");
    // A header twice is not a header and a request.
    let mut twice = paster.connect();
    twice
        .send(b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n\r\n")
        .expect("sent");
    assert_eq!(twice.response().expect("an answer").status, 400);
}

#[test]
fn who_does_not_introduce_himself_is_not_served() {
    let trust = "[isolate]\ntrusted_proxy = 127.0.0.1\n";
    let paster = tls::site("proxy_protocol = on", trust).serve();
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4\r\n",
        b"",
    ] {
        let mut connection = paster.connect();
        connection.send(bytes).expect("sent");
        assert_eq!(connection.rest().unwrap_or_default(), b"", "{bytes:?}");
    }
}

#[test]
fn only_trusted_peers_may_speak_for_others() {
    let trust = "[isolate]\ntrusted_proxy = 10.0.0.0/8\n";
    let paster = tls::site("proxy_protocol = on", trust).serve();
    let mut connection = paster.connect();
    connection
        .send(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(connection.rest().unwrap_or_default(), b"");
    let nobody = Paster::refused(&tls::site("proxy_protocol = on", ""));
    assert!(nobody.stderr.contains("trusted_proxy"), "{nobody:#?}");
    assert!(nobody.stderr.contains("site.ini:5"), "{nobody:#?}");
}

#[test]
fn tls_begins_behind_the_header() {
    let authority = Authority::new();
    let trust = "[isolate]\ntrusted_proxy = 127.0.0.1\n";
    let site = tls::certified_site(&authority, &["a.example"], "proxy_protocol = on", trust);
    let paster = site.serve();
    let answer = tls::get(&paster, "a.example", "/", &["--haproxy-protocol"]).succeeded();
    assert_eq!(told(&answer.body)["wsgi.url_scheme"], "https");
    // And not before it.
    let bare = connect(&authority.client(&[]), paster.address(), "a.example");
    assert!(bare.is_err());
}

#[test]
fn a_section_may_have_addresses_of_both_families() {
    if TcpListener::bind("[::1]:0").is_err() {
        return; // a machine without IPv6
    }
    let paster = waitress("listen = 127.0.0.1:0 [::1]:0").serve();
    let [four, six] = paster.addresses() else {
        panic!("two addresses: {:?}", paster.addresses());
    };
    let remote = |address: &str| {
        let answer = curl(&[&format!("http://{address}/")]).succeeded();
        told(&answer.body)["REMOTE_ADDR"].clone()
    };
    assert_eq!(remote(four), "127.0.0.1");
    assert_eq!(remote(six), "::1");
}

#[test]
fn all_addresses_of_ipv6_are_for_ipv6_alone() {
    let Ok(free) = TcpListener::bind("[::]:0") else {
        return; // a machine without IPv6
    };
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let paster = waitress(&format!("listen = [::]:{port} 0.0.0.0:{port}")).serve();
    assert_eq!(paster.addresses().len(), 2);
    for host in ["127.0.0.1", "[::1]"] {
        curl(&[&format!("http://{host}:{port}/")]).succeeded();
    }
}

#[test]
fn an_address_is_not_listened_on_twice() {
    let site = tls::site(
        "",
        "[isolate]\nservers = other\n\n[server:other]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n",
    );
    let refused = Paster::refused(&site);
    let says = "[server:main] and [server:other] both listen on 127.0.0.1:0";
    assert!(refused.stderr.contains(says), "{refused:#?}");
}

#[test]
fn tls_works_on_unix_sockets_and_on_passed_ones() {
    let authority = Authority::new();
    let passed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = passed.local_addr().expect("bound").port();
    let site = waitress(
        "unix_socket = s\ncertfile = site.pem\n\n[server:web]\nuse = egg:waitress#main\nlisten = fd:web\ncertfile = site.pem\n\n\
         [isolate]\nservers = web",
    );
    let certificate = authority.issue(&["a.example"]);
    write_private(&site.path("site.pem"), &certificate.in_one());
    let paster = site.pass("web", passed).serve();
    let config = authority.client(&[b"http/1.1"]);
    let tcp = connect(&config, ([127, 0, 0, 1], port).into(), "a.example");
    let mut tcp = tcp.expect("a handshake");
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    tcp.write_all(request).expect("sent");
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let socket = paster.site().path("s").display().to_string();
    let unix = [
        "--unix-socket",
        &socket,
        "--insecure",
        "https://a.example/x",
    ];
    let told = told(&curl(&unix).succeeded().body);
    assert_eq!(
        (&told["wsgi.url_scheme"], &told["SERVER_PORT"]),
        (&"https".into(), &"443".into())
    );
}

#[test]
fn a_reload_may_change_the_manner_of_an_address() {
    let mut paster = tls::site("", "").serve();
    let address = paster.address();
    let mut old = Connection::open(address).expect("a connection");
    assert_eq!(
        old.get("/").expect("an answer").json()["wsgi.url_scheme"],
        "http"
    );
    let text = paster
        .site()
        .text()
        .replace("port = 0\n", "port = 0\nssl_pem = *\n");
    paster.edit(|site| site.ini(&text));
    paster.command(&["reload"]).succeeded();
    // Who is there is served to the end, in the old manner.
    assert_eq!(old.get("/").expect("an answer").status, 200);
    let status = paster.wait_until("the new proxy serves", |s| s.proxy.table_version > 0);
    assert_eq!(status.listen, [address.to_string()]);
    let url = format!("https://{address}/");
    // The old proxy may take one more that is there already.
    let answer = poll(DEADLINE, || {
        let answer = curl(&["--insecure", &url]);
        (answer.exit == Some(0)).then_some(answer)
    });
    let answer = answer.expect("TLS is spoken");
    assert_eq!(told(&answer.body)["wsgi.url_scheme"], "https");
}
