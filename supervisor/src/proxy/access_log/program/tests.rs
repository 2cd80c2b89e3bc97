use super::super::entry::Try;
use super::*;
use crate::proxy::client_certificate::ClientCertificate;
use crate::proxy::outbox::Outbox;
use crate::proxy::tls::Secured;
use crate::proxy::trace::Trace;
use crate::proxy::traffic::End;
use crate::proxy::upstream::Upstream;
use crate::router::message::{Worker, WorkerAddress};
use http::{Method, Version};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

const PARENT: &str = "00-0af92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn worker() -> Arc<Upstream> {
    let worker = Worker {
        id: 1,
        slot: 2,
        generation: 3,
        pid: 4120,
        address: WorkerAddress::Unix("blog-2".into()),
        max_in_flight: 1,
    };
    Arc::new(Upstream::new(worker, Arc::default(), Outbox::new().0))
}

fn entry(program: &Program) -> Entry {
    let peer = Some("192.0.2.1:5".parse().unwrap());
    let secured = Some(Secured {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        client: Some(Arc::new(ClientCertificate::of(None).unwrap())),
    });
    let mut entry = Entry::refused(Vec::new(), peer, secured, 200, 0);
    let known = [
        (USER_AGENT, HeaderValue::from_bytes(b"x\"\xff").unwrap()),
        (REFERER, HeaderValue::from_static("http://from.test/")),
    ];
    let value = |name| {
        known
            .iter()
            .find_map(|(n, v)| (n == name).then(|| v.clone()))
    };
    entry.request_fields = program.request_fields().iter().map(value).collect();
    entry.time = UNIX_EPOCH + Duration::from_millis(1_709_210_096_789);
    entry.line = RequestLine::Parsed(Method::GET, "/a?b=%22c".parse().unwrap(), Version::HTTP_11);
    entry.host = Some(HeaderValue::from_static("Blog.test:8080"));
    entry.authorization = Some(HeaderValue::from_static("basic YW5uOnNlY3JldA=="));
    entry.request_id = Some(HeaderValue::from_static("id-1"));
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static(PARENT));
    entry.trace = Trace::of(&headers);
    entry.app = Some("blog".into());
    entry.upstream = Some(worker());
    let began = Instant::now();
    let after = |ms| Some(began + Duration::from_millis(ms));
    entry.last_try = Some(Try {
        began,
        connected: after(1),
        answered: after(20),
        status: Some(201),
        ended: after(1300),
    });
    entry.total = End {
        status: Some(200),
        sent: 12,
        received: 7,
        took: Duration::from_micros(1_305_999),
        waited: Some(Duration::from_millis(4)),
        tries: 1,
    };
    entry
}

fn line(format: &LogFormat) -> String {
    let program = Program::new(format).unwrap();
    let mut out = Vec::new();
    program.push_line(&mut out, &entry(&program));
    let line = String::from_utf8(out).unwrap();
    line.strip_suffix('\n').expect("a line").to_owned()
}

fn text(format: &str) -> String {
    line(&LogFormat::Text(format.to_owned()))
}

#[test]
fn the_common_format_is_the_common_format() {
    let expected = "192.0.2.1 - ann [29/Feb/2024:12:34:56 +0000] \"GET /a?b=%22c HTTP/1.1\" 200 12";
    assert_eq!(line(&LogFormat::Common), expected);
}

#[test]
fn the_combined_format_cannot_be_forged() {
    let line = line(&LogFormat::Combined);
    assert!(
        line.ends_with(" 200 12 \"http://from.test/\" \"x\\x22\\xFF\""),
        "{line}"
    );
}

#[test]
fn a_json_line_says_who_served_it_and_how_long_it_took() {
    let line: serde_json::Value = serde_json::from_str(&line(&LogFormat::Json)).unwrap();
    let expected = serde_json::json!({
        "time": "2024-02-29T12:34:56.789Z", "client": "192.0.2.1", "method": "GET", "target": "/a?b=%22c",
        "version": "HTTP/1.1", "scheme": null, "host": "Blog.test:8080", "tls": "TLSv1.3", "status": 200,
        "bytes": 12, "bytes_received": 7, "duration_ms": 1305.999, "queue_ms": 4.0, "upstream_status": 201, "upstream_connect_ms": 1.0,
        "upstream_header_ms": 20.0, "upstream_ms": 1300.0, "tries": 1, "app": "blog", "slot": 2, "generation": 3,
        "pid": 4120, "request_id": "id-1", "trace_id": "0af92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "referer": "http://from.test/", "user_agent": "x\"\u{fffd}",
    });
    assert_eq!(line, expected);
}

#[test]
fn variables_are_written_as_nginx_writes_them() {
    for (variable, expected) in [
        ("$request_time", "1.305"),
        ("$queue_time", "0.004"),
        ("$upstream_connect_time", "0.001"),
        ("$upstream_header_time", "0.020"),
        ("$upstream_response_time", "1.300"),
        ("$upstream_addr", "unix:blog-2"),
        ("$remote_addr:$remote_port", "192.0.2.1:5"),
        ("$request_uri", "/a?b=%22c"),
        ("$args $query_string", "b=%22c b=%22c"),
        ("$upstream_status", "201"),
        ("$host", "blog.test"),
        ("$msec", "1709210096.789"),
        (
            "$ssl_protocol/$ssl_cipher",
            "TLSv1.3/TLS_AES_128_GCM_SHA256",
        ),
        ("$ssl_client_verify/$ssl_client_s_dn", "NONE/-"),
        ("$app:$slot:$generation:$pid", "blog:2:3:4120"),
        ("$http_user_agent", "x\\x22\\xFF"),
        (
            "$trace_id $span_id",
            "0af92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7",
        ),
        ("$http_nothing $sent_http_nothing $scheme", "- - -"),
        ("$body_bytes_sent/$body_bytes_received", "12/7"),
    ] {
        assert_eq!(text(variable), expected, "{variable}");
    }
}

#[test]
fn a_json_text_stays_json() {
    let line =
        text(r#"escape=json {"agent": "$http_user_agent", "none": "$http_x", "s": $status}"#);
    let line: serde_json::Value = serde_json::from_str(&line).expect(&line);
    let expected = serde_json::json!({"agent": "x\"\u{fffd}", "none": "", "s": 200});
    assert_eq!(line, expected);
}

#[test]
fn a_user_is_who_basic_authentication_names() {
    let user = |field: &'static str| {
        let user = basic_user(&HeaderValue::from_static(field))?;
        String::from_utf8(user).ok()
    };
    assert_eq!(user("Basic YW5uOmE6Yg=="), Some("ann".to_owned()));
    assert_eq!(user("Basic bm9jb2xvbg=="), None);
    assert_eq!(user("Bearer YW5uOnNlY3JldA=="), None);
    assert_eq!(user("Basic !"), None);
    assert_eq!(user("Bas"), None);
}

proptest! {
    #[test]
    fn what_a_client_sends_ends_no_value_and_no_line(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let escaped = |escape| {
            let mut out = Vec::new();
            Value { out: &mut out, escape }.escaped(&bytes);
            out
        };
        let plain = escaped(Escape::Default);
        prop_assert!(plain.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'"'), "{:?}", plain);
        let json = [b"\"".as_slice(), &escaped(Escape::Json), b"\""].concat();
        let read: String = serde_json::from_slice(&json).expect("a string");
        prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
    }
}
