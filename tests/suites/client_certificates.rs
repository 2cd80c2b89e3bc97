//! Certificates of clients: who is let in, and what apps are told of them.

use crate::harness::certificates::{Authority, write_private};
use crate::harness::curl::Answer;
use crate::harness::{Paster, Site};
use crate::tls::{certified_site, get};
use serde_json::Value;

const PROGRAM: &str = include_str!("../fixtures/programs/server.py");
const NAME: &str = "a.example";
const ALICE: &[u8] = &[0x0a, 0xff];

/// A site whose server has these options too: with a Python app, and a program at `/program`.
fn serve(asks: &str) -> Paster {
    site(&Authority::new(), asks).serve()
}

fn site(authority: &Authority, asks: &str) -> Site {
    let more = "[app:program]\nuse = exec:python3 {here}/program.py\n\n\
                [isolate]\naccess_log = %(here)s/access.log\naccess_log_format = $ssl_client_verify $ssl_client_s_dn $request\n";
    let site = certified_site(authority, &[NAME], asks, more).file("program.py", PROGRAM);
    let mounts = "/ = environ\n/program = program\n";
    let text = site.text().replace("/ = environ\n", mounts);
    let site = site.ini(&text);
    let alice = authority.issue_with(&["alice"], |params| {
        let organization = rcgen::DnType::OrganizationName;
        params.distinguished_name.push(organization, "Zoë, Sons");
        params.serial_number = Some(rcgen::SerialNumber::from_slice(ALICE));
    });
    write_private(&site.path("alice.pem"), &alice.in_one());
    let stranger = Authority::new().issue(&["alice"]);
    write_private(&site.path("stranger.pem"), &stranger.in_one());
    site
}

/// One request, with the certificate in this file, and with these fields.
fn ask(paster: &Paster, path: &str, certificate: Option<&str>, options: &[&str]) -> Answer {
    let file = certificate.map(|name| paster.site().path(name).display().to_string());
    let mut all = options.to_vec();
    if let Some(file) = &file {
        all.extend(["--cert", file]);
    }
    get(paster, NAME, path, &all)
}

fn json(answer: Answer) -> Value {
    serde_json::from_str(&answer.succeeded().body).expect("JSON")
}

const FORGED: [&str; 12] = [
    "-H",
    "X-SSL-Client-Verify: SUCCESS",
    "-H",
    "X-SSL-Client-S-DN: CN=admin",
    "-H",
    "X-SSL-Client-Cert: admin",
    "-H",
    "X_SSL_Client_S_DN: CN=admin",
    "-H",
    "Paster-Client-Certificate: SUCCESS CN=admin CN=admin 01",
    "-H",
    "SSL_CLIENT_S_DN: CN=admin",
];

#[test]
fn nobody_is_let_in_without_a_certificate_that_is_required() {
    let paster = serve("cert_reqs = 2\nca_certs = ca.pem");
    for protocol in ["--http1.1", "--http2"] {
        for version in ["1.2", "1.3"] {
            let options = [protocol, "--tls-max", version];
            let told = json(ask(&paster, "/", Some("alice.pem"), &options));
            assert_eq!(told["certificate"]["SSL_CLIENT_VERIFY"], "SUCCESS");
            assert_ne!(ask(&paster, "/", None, &options).exit, Some(0));
            let stranger = ask(&paster, "/", Some("stranger.pem"), &options);
            assert_ne!(stranger.exit, Some(0), "{stranger:?}");
        }
    }
    paster.wait_until("those that were refused are counted", |s| {
        s.proxy.handshakes_failed == 8
    });
    let config = paster.site().config().display().to_string();
    let checked = Paster::run(paster.site(), &["check", "--json", &config]).succeeded();
    let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let listener = &checked["listeners"][0];
    assert_eq!(listener["tls"]["client_certificates"], "required");
}

#[test]
fn apps_are_told_who_a_client_is_and_nobody_can_forge_it() {
    let paster = serve("cert_reqs = 1\nca_certs = ca.pem");
    let subject = r"O=Zo\C3\AB\, Sons,CN=alice";
    for protocol in ["--http1.1", "--http2"] {
        let options = [&[protocol], &FORGED[..]].concat();
        let told = json(ask(&paster, "/", Some("alice.pem"), &options));
        let expected = serde_json::json!({
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "SSL_CLIENT_S_DN": subject,
            "SSL_CLIENT_I_DN": "CN=authority of a test",
            "SSL_CLIENT_M_SERIAL": "0AFF",
        });
        assert_eq!(told["certificate"], expected);
        let told_of_nobody = json(ask(&paster, "/", None, &options));
        let expected = serde_json::json!({"SSL_CLIENT_VERIFY": "NONE"});
        assert_eq!(told_of_nobody["certificate"], expected);
        for told in [told, told_of_nobody] {
            let fields = told["headers"].to_string();
            assert!(
                !fields.contains("admin") && !fields.contains("CLIENT"),
                "{fields}"
            );
        }
        let seen = json(ask(&paster, "/program/fields", Some("alice.pem"), &options));
        assert_eq!(seen["x-ssl-client-verify"], "SUCCESS");
        assert_eq!(seen["x-ssl-client-s-dn"], subject);
        assert_eq!(seen["x-ssl-client-i-dn"], "CN=authority of a test");
        assert_eq!(seen["x-ssl-client-serial"], "0AFF");
        assert!(!seen.to_string().contains("admin"), "{seen}");
        let seen = json(ask(&paster, "/program/fields", None, &options));
        assert_eq!(seen["x-ssl-client-verify"], "NONE");
        assert!(!seen.to_string().contains("admin"), "{seen}");
        assert_eq!(seen["x-ssl-client-s-dn"], Value::Null);
    }
    let stranger = ask(&paster, "/", Some("stranger.pem"), &[]);
    assert_ne!(stranger.exit, Some(0), "{stranger:?}");
    let log = || std::fs::read_to_string(paster.site().path("access.log")).unwrap_or_default();
    paster.wait_for("the lines of the log", || log().lines().count() == 8);
    let lines = log();
    assert!(
        lines.contains(r"SUCCESS O=Zo\x5CC3\x5CAB\x5C, Sons,CN=alice GET / HTTP/1.1"),
        "{lines}"
    );
    assert!(lines.contains("NONE - GET / HTTP/2.0"), "{lines}");
}

#[test]
fn where_nobody_is_asked_nothing_is_told_and_nothing_can_be_forged() {
    let paster = serve("");
    let told = json(ask(&paster, "/", Some("alice.pem"), &FORGED));
    assert_eq!(told["certificate"], serde_json::json!({}));
    let fields = told["headers"].to_string();
    assert!(!fields.contains("admin"), "{fields}");
    let seen = json(ask(&paster, "/program/fields", None, &FORGED));
    assert!(!seen.to_string().contains("ssl"), "{seen}");
}

#[test]
fn a_reload_changes_who_is_let_in() {
    let mut paster = serve("");
    ask(&paster, "/", None, &[]).succeeded();
    let before = paster.status().proxy.pid;
    let text = paster.site().text();
    let asking = text.replace(
        "\n\n[composite:main]",
        "\ncert_reqs = 2\nca_certs = ca.pem\n\n[composite:main]",
    );
    assert_ne!(asking, text);
    paster.edit(|site| site.ini(&asking));
    paster.command(&["reload"]).succeeded();
    assert_ne!(
        paster.status().proxy.pid,
        before,
        "old connections come to their end"
    );
    assert_ne!(ask(&paster, "/", None, &[]).exit, Some(0));
    ask(&paster, "/", Some("alice.pem"), &[]).succeeded();
    // Another authority.
    Authority::new().write(&paster.site().path("other.pem"));
    paster.edit(|site| site.ini(&asking.replace("ca_certs = ca.pem", "ca_certs = other.pem")));
    paster.command(&["reload"]).succeeded();
    assert_ne!(ask(&paster, "/", Some("alice.pem"), &[]).exit, Some(0));
}

#[test]
fn who_is_on_a_list_of_revoked_certificates_is_not_let_in() {
    let authority = Authority::new();
    let site = site(
        &authority,
        "cert_reqs = 1\nca_certs = ca.pem\nssl_crl = crl.pem",
    );
    let list = site.path("crl.pem");
    let bob = authority.issue(&["bob"]).in_one();
    write_private(&site.path("bob.pem"), &bob);
    std::fs::write(&list, authority.revoke(&[ALICE], 2999)).expect("a file in the site");
    let paster = site.serve();
    paster.expect_log("has ended at");
    paster.expect_log("no list of revoked certificates");
    paster.expect_log("the configuration is invalid");
    for protocol in ["--http1.1", "--http2"] {
        for version in ["1.2", "1.3"] {
            let options = [protocol, "--tls-max", version];
            assert_ne!(ask(&paster, "/", Some("alice.pem"), &options).exit, Some(0));
            ask(&paster, "/", Some("bob.pem"), &options).succeeded();
            ask(&paster, "/", None, &options).succeeded();
        }
    }
    // The next list.
    std::fs::write(&list, authority.revoke(&[], 2999)).expect("a file in the site");
    paster.command(&["reload"]).succeeded();
    ask(&paster, "/", Some("alice.pem"), &[]).succeeded();
    // One that should have been replaced by now says nothing of anybody.
    std::fs::write(&list, authority.revoke(&[], 2021)).expect("a file in the site");
    paster.command(&["reload"]).succeeded();
    assert_ne!(ask(&paster, "/", Some("bob.pem"), &[]).exit, Some(0));
    ask(&paster, "/", None, &[]).succeeded();
    let warned = check(&paster, "warnings");
    assert!(
        warned.contains("has ended at Jan  1 00:00:00 2021"),
        "{warned}"
    );
    // Nor does that of somebody else.
    let other = Authority::new().revoke(&[], 2999);
    std::fs::write(&list, &other).expect("a file in the site");
    paster.command(&["reload"]).succeeded();
    assert_ne!(ask(&paster, "/", Some("bob.pem"), &[]).exit, Some(0));
    // What is no list changes nothing.
    std::fs::write(&list, "nothing").expect("a file in the site");
    let refused = paster.command(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let errors = check(&paster, "errors");
    assert!(
        errors.contains("no list of revoked certificates"),
        "{errors}"
    );
}

/// What `paster check` has in this field.
fn check(paster: &Paster, field: &str) -> String {
    let config = paster.site().config().display().to_string();
    let checked = Paster::run(paster.site(), &["check", "--json", &config]);
    let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    checked[field].to_string()
}
