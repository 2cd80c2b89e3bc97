//! Applications that nobody here wrote.

use crate::fixtures::{complete, site};
use crate::harness::Paster;
use serde_json::json;

const REAL: &str = "
[composite:main]
use = egg:Paste#urlmap
/flask = flask
/pyramid = pyramid
/django = egg:Fixture-Site#django
/test = egg:Paste#test
/files = files
/httpbin = httpbin
/debug = debug

[app:flask]
use = egg:Fixture-Site
greeting = Hello from Flask

[app:pyramid]
use = egg:Fixture-Site#pyramid
title = salmon

[app:files]
use = egg:Paste#static
document_root = %(here)s/public

[app:httpbin]
paste.app_factory = real:httpbin_app

[app:debug]
paste.app_factory = real:debug_app
";

const REAL_PY: &str = "
def httpbin_app(global_conf, **local_conf):
    from httpbin import app
    return app


def debug_app(global_conf, **local_conf):
    from webtest.debugapp import debug_app
    return debug_app
";

fn real() -> Paster {
    site(REAL)
        .file("real.py", REAL_PY)
        .file("public/index.html", "<p>index</p>")
        .file("public/deep/page.txt", "a page\n")
        .serve()
}

#[test]
fn applications_that_nobody_here_wrote_work_below_a_prefix() {
    let paster = real();
    let with = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("Host", "site.test")];
        all.extend_from_slice(headers);
        paster
            .connect()
            .request(method, path, &all, body)
            .expect("an answer")
    };
    let form = [("Content-Type", "application/x-www-form-urlencoded")];

    let page = with("GET", "/flask/", &[], b"");
    assert_eq!(
        page.text(),
        "Hello from Flask, nobody; http://site.test/flask/name"
    );
    let done = with("POST", "/flask/name", &form, b"name=Coho");
    assert_eq!(
        (done.status, done.header("location")),
        (302, Some("/flask/"))
    );
    let cookie = done
        .header("set-cookie")
        .expect("a session")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    assert!(
        with("GET", "/flask/", &[("Cookie", &cookie)], b"")
            .text()
            .starts_with("Hello from Flask, Coho")
    );

    let page = with("GET", "/pyramid/", &[], b"").json();
    assert_eq!(
        page,
        json!({"url": "http://site.test/pyramid/item/7", "title": "salmon", "path": "/pyramid/"})
    );
    assert_eq!(
        with("GET", "/pyramid/item/%C3%A9?a=1", &[], b"").json(),
        json!({"id": "é", "query": {"a": "1"}})
    );
    assert_eq!(with("GET", "/pyramid/none", &[], b"").status, 404);

    let page = with("GET", "/django/?q=1", &[], b"").json();
    assert_eq!(
        page,
        json!({"here": "http://site.test/django/?q=1", "item": "/django/item/7"})
    );
    assert_eq!(
        with("PUT", "/django/item/3", &[], b"12345").json(),
        json!({"number": 3, "method": "PUT", "body": 5})
    );
    let numbers: String = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(with("GET", "/django/stream", &[], b"").text(), numbers);

    assert!(with("GET", "/test/", &[], b"").text().contains("simple"));
    assert_eq!(
        with("GET", "/files/deep/page.txt", &[], b"").text(),
        "a page\n"
    );
    assert_eq!(with("GET", "/files/", &[], b"").text(), "<p>index</p>");
    assert_eq!(with("GET", "/files/none", &[], b"").status, 404);
    let part = with(
        "GET",
        "/files/deep/page.txt",
        &[("Range", "bytes=2-5")],
        b"",
    );
    assert_eq!((part.status, part.text().as_str()), (206, "page"));

    let got = with("GET", "/httpbin/get?a=1", &[], b"").json();
    assert_eq!(
        (&got["args"]["a"], &got["url"]),
        (&json!("1"), &json!("http://site.test/httpbin/get?a=1"))
    );
    assert_eq!(
        with("POST", "/httpbin/post", &form, b"x=y").json()["form"],
        json!({"x": "y"})
    );
    assert_eq!(with("GET", "/httpbin/status/418", &[], b"").status, 418);
    assert_eq!(
        with("GET", "/httpbin/bytes/5000", &[], b"").body.len(),
        5000
    );
    assert_eq!(
        with("GET", "/httpbin/stream-bytes/5000?chunk_size=100", &[], b"")
            .body
            .len(),
        5000
    );
    assert_eq!(
        with("GET", "/httpbin/redirect/1", &[], b"").header("location"),
        Some("/httpbin/get")
    );
    assert_eq!(
        with("GET", "/httpbin/gzip", &[], b"").header("content-encoding"),
        Some("gzip")
    );

    assert!(
        with("POST", "/debug/x", &[], b"sent")
            .text()
            .contains("sent")
    );
}

#[test]
fn the_same_applications_work_in_one_process() {
    let ini = complete("[app:main]\nuse = egg:Fixture-Site#django\n");
    let paster = site("").ini(&ini).undivided().serve();
    assert_eq!(
        paster.get("/item/9").json(),
        json!({"number": 9, "method": "GET", "body": 0})
    );
}
