use super::*;
use crate::plan::spec::Tls;
use crate::plan::testing;

fn read(target: &str, options: &[(&str, &str)]) -> Result<Listening, Vec<Problem>> {
    listening(&testing::server(target, options), &|key, _| {
        Some(Place {
            file: "site.ini".into(),
            line: key.len(),
        })
    })
}

fn tcp(host: &str, port: u16) -> Listen {
    Listen::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn addresses(target: &str, options: &[(&str, &str)]) -> Vec<Listen> {
    let listen = read(target, options).expect("good").listen;
    listen.into_iter().map(|endpoint| endpoint.listen).collect()
}

const WAITRESS: &str = "waitress:serve_paste";
const GUNICORN: &str = "gunicorn.app.pasterapp:serve";
const PASTE: &str = "paste.httpserver:server_runner";

#[test]
fn each_server_has_its_own_default() {
    assert_eq!(addresses(PASTE, &[]), [tcp("127.0.0.1", 8080)]);
    assert_eq!(addresses(WAITRESS, &[]), [tcp("0.0.0.0", 8080)]);
    assert_eq!(addresses(GUNICORN, &[]), [tcp("127.0.0.1", 8000)]);
    assert_eq!(
        addresses(
            "paste.script.wsgiutils_server:run_server",
            &[("port", "90")]
        ),
        [tcp("localhost", 90)]
    );
}

#[test]
fn a_host_may_contain_the_port() {
    assert_eq!(
        addresses(PASTE, &[("host", "localhost:81")]),
        [tcp("localhost", 81)]
    );
    assert_eq!(
        addresses(PASTE, &[("host", "::1"), ("port", "82")]),
        [tcp("::1", 82)]
    );
}

#[test]
fn waitress_listens_on_a_list() {
    let listen = addresses(WAITRESS, &[("listen", "*:8080 [::1]:8081\nlocalhost")]);
    assert_eq!(
        listen,
        [
            tcp("0.0.0.0", 8080),
            tcp("::1", 8081),
            tcp("localhost", 8080)
        ]
    );
    let unix = addresses(
        WAITRESS,
        &[("unix_socket", "run/s"), ("unix_socket_perms", "660")],
    );
    assert_eq!(
        unix,
        [Listen::Unix {
            path: "/srv/run/s".into(),
            mode: 0o660
        }]
    );
}

#[test]
fn no_address_is_named_twice() {
    for (target, option) in [
        (WAITRESS, ("listen", "*:80 localhost:81 0.0.0.0:80")),
        (GUNICORN, ("bind", "0.0.0.0:80, unix:s, 0.0.0.0:80")),
    ] {
        let problems = read(target, &[option]).expect_err("there is one socket");
        let message = &problems[0].message;
        assert!(message.contains("0.0.0.0:80 is there twice"), "{message}");
        assert_eq!(problems.len(), 1);
    }
    let any = addresses(WAITRESS, &[("listen", "localhost:0 localhost:0")]);
    assert_eq!(any, [tcp("localhost", 0), tcp("localhost", 0)]);
}

#[test]
fn passed_sockets_have_names() {
    let passed = [Listen::Passed {
        name: "http".to_owned(),
    }];
    assert_eq!(addresses(WAITRESS, &[("listen", "fd:http")]), passed);
    assert_eq!(addresses(GUNICORN, &[("bind", "fd:http")]), passed);
    assert_eq!(addresses(PASTE, &[("host", "fd:http")]), passed);
}

#[test]
fn gunicorn_binds() {
    let listen = addresses(GUNICORN, &[("bind", "unix:/run/g.sock, 0.0.0.0:9000")]);
    assert_eq!(
        listen,
        [
            Listen::Unix {
                path: "/run/g.sock".into(),
                mode: 0o777
            },
            tcp("0.0.0.0", 9000)
        ]
    );
    let read = read(GUNICORN, &[("workers", "3"), ("threads", "8")]).expect("good");
    assert_eq!((read.processes, read.threads), (Some(3), Some(8)));
}

#[test]
fn a_certificate_that_is_not_there_is_refused_and_nothing_served_in_the_clear() {
    for key in ["ssl_pem", "certfile", "ssl_certificate"] {
        let problems = read(PASTE, &[(key, "x.pem")]).expect_err(key);
        assert!(
            problems[0].message.starts_with("cannot read /srv/x.pem"),
            "{key}"
        );
        assert_eq!(problems.len(), 1);
    }
}

#[test]
fn certificates_of_clients_need_authorities_and_tls() {
    let problems = |options: &[(&str, &str)]| {
        let problems = read(GUNICORN, options).expect_err("bad");
        let messages = problems.into_iter().map(|problem| problem.message);
        messages.collect::<Vec<String>>().join("\n")
    };
    let tls = ("ssl_pem", "*");
    assert!(problems(&[tls, ("cert_reqs", "2")]).contains("no authority"));
    assert!(problems(&[tls, ("cert_reqs", "required")]).contains("expected 0"));
    let unreadable = problems(&[("cert_reqs", "1"), ("ca_certs", "ca.pem")]);
    assert!(unreadable.contains("no TLS here") && unreadable.contains("cannot read /srv/ca.pem"));
    assert!(problems(&[tls, ("ssl_context", "x")]).contains("made in Python"));
    let ignored = read(GUNICORN, &[tls, ("ca_certs", "ca.pem"), ("cert_reqs", "0")]).expect("good");
    assert_eq!(ignored.listen[0].manner.clients, None);
    assert!(ignored.warnings[0].message.contains("asks no client"));
}

#[test]
fn the_original_has_another_port_with_tls() {
    let read = read(PASTE, &[("ssl_pem", "*")]).expect("good");
    assert_eq!(read.listen[0].listen, tcp("127.0.0.1", 4443));
    assert_eq!(read.listen[0].manner.tls, Some(Tls::SelfSigned));
    assert_eq!(read.listen[0].manner.scheme(), "https");
}

#[test]
fn a_section_says_how_clients_are_spoken_to() {
    let manner = |options: &[(&str, &str)]| {
        let read = read(PASTE, options).expect("good");
        assert_eq!(read.warnings, []);
        read.listen[0].manner.clone()
    };
    assert_eq!(
        manner(&[("https_redirect", "on")]).redirect,
        Some(Redirect::Ours)
    );
    assert_eq!(
        manner(&[("https_redirect", "8443")]).redirect,
        Some(Redirect::Port(8443))
    );
    assert!(manner(&[("proxy_protocol", "on")]).proxy_protocol);
    assert_eq!(manner(&[("url_scheme", "https")]).scheme(), "https");
    assert_eq!(manner(&[]).scheme(), "http");
    assert!(read(PASTE, &[("ssl_pem", "*"), ("https_redirect", "on")]).is_err());
}

#[test]
fn what_is_not_honoured_is_named() {
    let warnings = read(WAITRESS, &[("ident", "x"), ("url_scheme", "http")])
        .expect("good")
        .warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].to_string(),
        "site.ini:5: `ident` is not honoured"
    );
}

#[test]
fn all_bad_values_are_reported() {
    let problems = read(
        PASTE,
        &[
            ("host", "a b"),
            ("port", "http"),
            ("threadpool_workers", "0"),
        ],
    )
    .expect_err("bad");
    assert_eq!(problems.len(), 3);
}

#[test]
fn a_server_that_is_not_http_is_refused() {
    let problems = read("paste.script.flup_server:run_fcgi_thread", &[]).expect_err("FastCGI");
    assert!(problems[0].message.contains("FastCGI"));
}

#[test]
fn an_unknown_server_is_a_warning() {
    let read = read("acme:serve", &[("port", "99")]).expect("good");
    assert_eq!(read.listen[0].listen, tcp("127.0.0.1", 99));
    assert!(read.warnings[0].message.contains("acme:serve"));
}
