//! Compressed answers: the same words for every client, in fewer bytes, and none of them late.

use crate::harness::curl::curl;
use crate::harness::front::{front, served};
use crate::harness::h2;
use crate::harness::http::{Connection, Response};
use crate::harness::{DEADLINE, Paster, Site, poll};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::{fs, thread};

/// Answers with 20 KB of text; by path `/page` with its length, by `/parts` without, by `/error` with status 500. It knows who has it.
const APP: &str = r#"
TEXT = b"a line of text that is like the others\n" * 512


def factory(global_conf):
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if '"one"' in environ.get("HTTP_IF_NONE_MATCH", ""):
            start_response("304 Not Modified", [("ETag", '"one"')])
            return []
        fields = [("Content-Type", "text/plain"), ("ETag", '"one"'), ("Accept-Ranges", "bytes")]
        if path != "/parts":
            fields.append(("Content-Length", str(len(TEXT))))
        start_response("500 Oh" if path == "/error" else "200 OK", fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [TEXT[:100], TEXT[100:]]
    return app
"#;

fn site(settings: &[&str]) -> Paster {
    let site = Site::new().python("pages", "/", APP);
    settings
        .iter()
        .fold(site, |site, line| site.policy("pages", line))
        .serve()
}

fn text() -> Vec<u8> {
    b"a line of text that is like the others\n".repeat(512)
}

fn ask(paster: &Paster, method: &str, path: &str, accepts: &str) -> Response {
    paster.ask(method, path, &[("Accept-Encoding", accepts)])
}

fn decode(response: &Response) -> Vec<u8> {
    let bytes = response.body.as_slice();
    let mut text = Vec::new();
    match response.header("content-encoding") {
        None => return response.body.clone(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text),
        Some("zstd") => zstd::Decoder::new(bytes)
            .expect("room")
            .read_to_end(&mut text),
        Some(other) => panic!("{other} was not asked for"),
    }
    .expect("a whole body in its coding");
    text
}

#[test]
fn each_client_gets_what_it_can_decode() {
    let paster = site(&["compress = on"]);
    for path in ["/page", "/parts", "/error"] {
        for (accepts, coding) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, br", Some("gzip")),
            ("gzip;q=0.5, br", Some("br")),
            ("deflate", None),
            ("identity, gzip;q=0.1", None),
        ] {
            let answer = ask(&paster, "GET", path, accepts);
            assert_eq!(answer.header("content-encoding"), coding, "{accepts}");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accepts}");
            assert!(decode(&answer) == text(), "{path} {accepts}");
            if coding.is_some() {
                assert!(answer.body.len() < 500, "{}", answer.body.len());
                assert_eq!(answer.header("etag"), Some("W/\"one\""));
                assert_eq!(answer.header("content-length"), None);
                assert_eq!(answer.header("accept-ranges"), None);
            } else {
                assert_eq!(answer.header("etag"), Some("\"one\""));
            }
        }
    }
}

#[test]
fn nothing_is_done_that_was_not_asked_for() {
    let mut paster = site(&[]);
    let answer = ask(&paster, "GET", "/page", "gzip");
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("vary"), None);
    paster.edit(|site| site.policy("", "compress = gzip"));
    paster.command(&["reload"]).succeeded();
    let answer = ask(&paster, "GET", "/page", "gzip, zstd");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    paster.edit(|site| site.policy("pages", "compress_types = text/html"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(ask(&paster, "GET", "/page", "gzip").header("vary"), None);
}

#[test]
fn head_has_the_fields_of_get() {
    let paster = site(&["compress = on"]);
    let mut connection = paster.connect();
    for path in ["/page", "/parts"] {
        let mut fields = ["HEAD", "GET"].map(|method| {
            let accepts = [("Accept-Encoding", "zstd")];
            let answer = connection.request(method, path, &accepts, b"");
            let mut fields = answer.expect("an answer").headers;
            fields.retain(|(name, _)| {
                !["date", "transfer-encoding"].contains(&name.to_lowercase().as_str())
            });
            fields.sort();
            fields
        });
        let get = std::mem::take(&mut fields[1]);
        assert_eq!(fields[0], get, "{path}");
        assert!(get.iter().any(|(_, value)| value == "zstd"));
    }
}

#[test]
fn an_app_that_says_not_modified_says_it_of_what_the_client_has() {
    let paster = site(&["compress = on"]);
    let again = |tag: &str| {
        let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", tag)];
        let answer = paster.connect().request("GET", "/page", &fields, b"");
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 304);
        let field = |name| answer.header(name).map(str::to_owned);
        (field("etag"), field("vary"))
    };
    let first = ask(&paster, "GET", "/page", "gzip");
    let tag = first.header("etag").expect("a tag").to_owned();
    assert_eq!(tag, "W/\"one\"");
    let same = (Some(tag.clone()), Some("Accept-Encoding".to_owned()));
    assert_eq!(again(&tag), same);
    assert_eq!(again(&format!("\"two\", {tag}")), same);
    // Who has it as it is.
    assert_eq!(again("\"one\""), (Some("\"one\"".to_owned()), None));
}

#[test]
fn an_old_client_learns_the_end_from_the_connection() {
    let paster = site(&["compress = on"]);
    let mut connection = paster.connect();
    connection
        .send(b"GET /page HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n")
        .expect("it reads");
    let answer = connection.response().expect("an answer");
    assert_eq!(answer.header("transfer-encoding"), None);
    assert!(decode(&answer) == text());
}

#[test]
fn curl_decodes_it_over_both_versions() {
    let paster = site(&["compress = on"]);
    let url = format!("http://{}/page", paster.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "--compressed", &url]).succeeded();
        let head = answer.head.to_lowercase();
        assert!(head.contains("\ncontent-encoding: "), "{head}");
        assert_eq!(answer.body.as_bytes(), text(), "{version}");
    }
}

#[test]
fn the_access_log_counts_what_was_sent() {
    let site = Site::new()
        .python("pages", "/", APP)
        .policy("", "compress = gzip")
        .policy("", "access_log = access.log")
        .policy("", "access_log_format = json");
    let paster = site.serve();
    let sent = ask(&paster, "GET", "/parts", "gzip").body.len();
    let log = paster.site().path("access.log");
    let line = poll(DEADLINE, || {
        let text = fs::read_to_string(&log).ok()?;
        text.lines().next().map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    assert_eq!(line["bytes"], sent);
}

/// A server that begins a chunked answer to each request and goes on when it is told to. `None` ends it.
fn stream(head: &'static str) -> (SocketAddr, Sender<Option<&'static [u8]>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (tell, told) = channel::<Option<&'static [u8]>>();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
            }
            send(&stream, head.as_bytes());
            while let Ok(part) = told.recv() {
                let part = part.unwrap_or_default();
                send(&stream, format!("{:x}\r\n", part.len()).as_bytes());
                send(&stream, part);
                send(&stream, b"\r\n");
                if part.is_empty() {
                    break;
                }
            }
        }
    });
    (address, tell)
}

fn send(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the proxy reads");
}

/// The next chunk, as it is framed.
fn chunk(connection: &mut Connection) -> Vec<u8> {
    let size = connection.line().expect("a chunk size");
    let size = u64::from_str_radix(&size, 16).expect("a hexadecimal number");
    let mut chunk = Vec::new();
    connection.exactly(size, &mut chunk).expect("the chunk");
    assert_eq!(connection.line().expect("its end"), "");
    chunk
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn what_an_app_has_sent_arrives_before_it_sends_more() {
    let (backend, tell) = stream(EVENTS);
    let paster = front(backend, "compress = on");
    for coding in ["gzip", "br", "zstd"] {
        let mut connection = paster.connect();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
        connection.send(request.as_bytes()).expect("it reads");
        // The head does not wait for the first event.
        let mut answer = connection.head().expect("a head");
        assert_eq!(answer.header("content-encoding"), Some(coding));
        for event in 1..=3 {
            tell.send(Some(b"data: the same\n\n")).expect("it is there");
            let expected = b"data: the same\n\n".repeat(event);
            while decodable(coding, &answer.body) != expected {
                answer.body.extend(chunk(&mut connection));
            }
        }
        tell.send(None).expect("it is there");
        loop {
            match chunk(&mut connection) {
                last if last.is_empty() => break,
                more => answer.body.extend(more),
            }
        }
        assert_eq!(decode(&answer), b"data: the same\n\n".repeat(3));
    }
}

#[test]
fn streams_arrive_over_http2_as_well() {
    let (backend, tell) = stream(EVENTS);
    let paster = front(backend, "compress = on");
    h2::run(async {
        let mut connection = h2::Connection::open(paster.address()).await;
        let mut request = h2::get("/");
        let accepts = "zstd".parse().expect("a value");
        request.headers_mut().insert("accept-encoding", accepts);
        let answer = connection.ask(request).await.expect("a head");
        assert_eq!(answer.headers()["content-encoding"], "zstd");
        let mut body = answer.into_body();
        let mut sofar = Vec::new();
        for event in 1..=3 {
            tell.send(Some(b"data: the same\n\n")).expect("it is there");
            while decodable("zstd", &sofar) != b"data: the same\n\n".repeat(event) {
                let data = body.data().await.expect("more").expect("a frame");
                body.flow_control()
                    .release_capacity(data.len())
                    .expect("a window");
                sofar.extend_from_slice(&data);
            }
        }
        tell.send(None).expect("it is there");
        while let Some(data) = body.data().await {
            sofar.extend_from_slice(&data.expect("a frame"));
        }
        let whole = zstd::decode_all(sofar.as_slice()).expect("a whole body");
        assert_eq!(whole, b"data: the same\n\n".repeat(3));
    });
}

/// What can be decoded so far.
fn decodable(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::Decoder::new(bytes).expect("room")),
    };
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = decoder.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    text
}

#[test]
fn trailers_follow_the_compressed_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n";
    let paster = front(one_answer(answer), "compress = on");
    let mut connection = paster.connect();
    connection
        .send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n")
        .expect("it reads");
    let head = connection.head().expect("a head");
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    let rest = connection.rest().expect("the end");
    let text = String::from_utf8_lossy(&rest).to_lowercase();
    assert!(text.ends_with("0\r\nx-end: yes\r\n\r\n"), "{text}");
}

/// A server that sends these bytes to whoever asks, and closes.
fn one_answer(answer: &'static str) -> SocketAddr {
    served(move |stream| {
        let mut buffer = [0; 4096];
        let _ = (&stream).read(&mut buffer);
        send(&stream, answer.as_bytes());
    })
}

#[test]
fn a_worker_that_breaks_off_does_not_look_finished() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc";
    let paster = front(one_answer(cut), "compress = on");
    let mut connection = paster.connect();
    connection
        .send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        .expect("it reads");
    assert_eq!(connection.head().expect("a head").status, 200);
    let rest = connection.rest().unwrap_or_default();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let site = Site::new()
        .python("pages", "/", APP)
        .policy("pages", "compress = deflate")
        .policy("pages", "compress_types = text");
    let refused = Paster::refused(&site);
    for part in [
        "compress = deflate",
        "found `deflate`",
        "found `text`",
        "site.ini:",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
}

/// A site of files at `/`, with text that is large, small and compressed beforehand.
fn files(settings: &[&str]) -> Paster {
    let text = String::from_utf8(text()).expect("ASCII");
    let site = Site::new()
        .file("public/page.txt", &text)
        .file("public/large.txt", &text.repeat(100))
        .file("public/short.txt", "short")
        .file("public/empty.txt", "")
        .file("public/picture.png", &text)
        .file("public/old.txt.gz", &text)
        .file("public/app.txt", &text)
        .file("public/app.txt.br", "made beforehand")
        .section("files", "/", "egg:Paste#static")
        .option("files", "document_root = %(here)s/public")
        .option("files", "cache_max_age = 60");
    settings
        .iter()
        .fold(site, |site, line| site.policy("files", line))
        .serve()
}

#[test]
fn files_are_compressed_for_those_who_can_decode_it() {
    let paster = files(&["compress = on"]);
    for (path, expected) in [("/page.txt", text()), ("/large.txt", text().repeat(100))] {
        let plain = ask(&paster, "GET", path, "identity");
        assert!(plain.body == expected, "{path}");
        assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
        assert_eq!(plain.header("accept-ranges"), Some("bytes"));
        let tag = plain.header("etag").expect("a tag");
        for coding in ["gzip", "zstd", "br"] {
            let answer = ask(&paster, "GET", path, coding);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-encoding"), Some(coding));
            assert!(decode(&answer) == expected, "{path} in {coding}");
            assert!(answer.body.len() < expected.len() / 20);
            for (name, value) in [
                ("vary", Some("Accept-Encoding")),
                ("etag", Some(&*format!("W/{tag}"))),
                ("content-type", Some("text/plain")),
                ("last-modified", plain.header("last-modified")),
                ("cache-control", Some("public, max-age=60")),
                ("content-length", None),
                ("accept-ranges", None),
            ] {
                assert_eq!(answer.header(name), value, "{name}: {answer:?}");
            }
        }
    }
    assert_eq!(
        decode(&ask(&paster, "GET", "/page.txt", "gzip, br")),
        text()
    );
    let url = format!("http://{}/large.txt", paster.address());
    let old = curl(&["--http1.0", "--compressed", &url]).succeeded();
    assert!(old.body.as_bytes() == text().repeat(100));
    let new = curl(&["--http2-prior-knowledge", "--compressed", &url]).succeeded();
    assert!(new.body.as_bytes() == text().repeat(100));
    assert!(new.head.contains("content-encoding: "), "{}", new.head);
}

#[test]
fn these_files_are_sent_as_they_are() {
    let paster = files(&["compress = on"]);
    for path in ["/short.txt", "/empty.txt", "/picture.png"] {
        let answer = ask(&paster, "GET", path, "gzip");
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary")),
            (None, None),
            "{path}"
        );
        assert!(answer.header("content-length").is_some());
    }
    // What is compressed already, and what somebody has compressed better.
    let old = ask(&paster, "GET", "/old.txt.gz", "br");
    assert_eq!(old.header("content-encoding"), Some("gzip"));
    assert!(old.body == text());
    let copy = ask(&paster, "GET", "/app.txt", "gzip, br");
    assert_eq!(copy.text(), "made beforehand");
    let other = ask(&paster, "GET", "/app.txt", "gzip");
    assert!(decode(&other) == text());
    // By default, and where a rule forbids it.
    for settings in [
        &[][..],
        &["compress = on", "compress_types = text/html"],
        &["compress = on", "compress_min_length = 1M"],
        &[
            "compress = on",
            "response_headers = Cache-Control: no-transform",
        ],
    ] {
        let answer = ask(&files(settings), "GET", "/page.txt", "gzip");
        let fields = ["content-encoding", "vary"].map(|name| answer.header(name));
        assert_eq!(fields, [None, None], "{settings:?}");
        assert!(answer.body == text());
    }
}

#[test]
fn conditions_and_ranges_know_of_compressed_files() {
    let paster = files(&["compress = gzip"]);
    let with = |method: &str, fields: &[(&str, &str)]| {
        let mut connection = paster.connect();
        let fields = [&[("Accept-Encoding", "gzip")], fields].concat();
        connection
            .request(method, "/page.txt", &fields, b"")
            .expect("an answer")
    };
    let whole = with("GET", &[]);
    let tag = whole.header("etag").expect("a tag");
    let strong = tag.strip_prefix("W/").expect("a weak one");
    let same = with("GET", &[("If-None-Match", tag)]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    for name in ["etag", "vary", "cache-control"] {
        assert_eq!(same.header(name), whole.header(name), "{name}");
    }
    for name in ["content-encoding", "content-type", "content-length"] {
        assert_eq!(same.header(name), None, "{name}");
    }
    assert_eq!(with("GET", &[("If-None-Match", strong)]).status, 304);
    assert_eq!(with("HEAD", &[("If-None-Match", tag)]).status, 304);
    assert_eq!(with("GET", &[("If-None-Match", "\"other\"")]).status, 200);
    assert_eq!(with("GET", &[("If-Match", strong)]).status, 200);
    let part = with("GET", &[("Range", "bytes=2-5")]);
    assert_eq!((part.status, part.text().as_str()), (206, "line"));
    assert_eq!(part.header("etag"), Some(strong));
    assert_eq!(part.header("vary"), Some("Accept-Encoding"));
    assert_eq!(part.header("content-encoding"), None);
    // Of a compressed one there are no parts.
    let range = [("Range", "bytes=2-5"), ("If-Range", tag)];
    assert!(decode(&with("GET", &range)) == text());
    let head = with("HEAD", &[]);
    let fields = |response: &Response| {
        let mut fields = response.headers.clone();
        fields.retain(|(name, _)| {
            !["date", "transfer-encoding", "expires"].contains(&name.to_lowercase().as_str())
        });
        fields.sort();
        fields
    };
    assert_eq!(fields(&head), fields(&whole));
}

#[test]
fn a_file_that_is_compressed_for_long_delays_nobody() {
    let site = Site::new()
        .file("public/ten.txt", "0123456789")
        .section("files", "/", "egg:Paste#static")
        .option("files", "document_root = %(here)s/public")
        .policy("files", "compress = on");
    let long = fs::File::create(site.path("public/long.txt")).expect("our own file");
    long.set_len(4 << 30).expect("a file of holes");
    let paster = site.serve();
    let mut slow: Vec<Connection> = (0..4).map(|_| paster.connect()).collect();
    for client in &mut slow {
        client
            .send(b"GET /long.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
            .expect("sent");
        assert_eq!(client.head().expect("a head").status, 200);
    }
    for _ in 0..20 {
        assert_eq!(paster.text("/ten.txt"), "0123456789");
    }
    long.set_len(1).expect("our own file");
    for mut client in slow {
        let rest = client.rest().unwrap_or_default();
        assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "it does not look whole");
    }
}
