//! With and without `--isolate`, and as PasteDeploy and waitress serve the same file: the answers are the same.

use crate::fixtures::{Undivided, site};
use crate::harness::http::{Connection, Response};
use std::net::SocketAddr;

struct Case {
    name: &'static str,
    ini: &'static str,
    targets: &'static [&'static str],
}

const APPS: &str = "
[app:one]
paste.app_factory = probe:where
name = one

[app:two]
paste.app_factory = probe:where
name = two

[app:lost]
paste.app_factory = probe:where
name = lost

[filter:a]
paste.filter_factory = probe:tag_filter
tag = a

[filter:b]
paste.filter_app_factory = probe:tag_filter_app
tag = b
";

const TARGETS: &[&str] = &[
    "/",
    "/one",
    "/one/",
    "/one/x%20y?q=1",
    "/two/one",
    "/x",
    "/deep/one/1",
    "/deep/two//2",
    "/deep",
    "/onetwo",
];

const CASES: &[Case] = &[
    Case {
        name: "a pipeline above a map",
        ini: "
[pipeline:main]
pipeline = a b map

[composite:map]
use = egg:Paste#urlmap
/one = one
/two = two
",
        targets: TARGETS,
    },
    Case {
        name: "a pipeline above a map, fan_out = on",
        ini: "
[isolate]
fan_out = on

[pipeline:main]
pipeline = a b map

[composite:map]
use = egg:Paste#urlmap
/one = one
/two = two
/deep = deeper

[composite:deeper]
use = egg:Paste#urlmap
/one = two
/two = one
",
        targets: TARGETS,
    },
    Case {
        name: "stock filters above a map",
        ini: "
[pipeline:main]
pipeline = egg:Paste#httpexceptions egg:Paste#registry map

[composite:map]
use = egg:Paste#urlmap
not_found_app = lost
/one = one
/two = two
",
        targets: TARGETS,
    },
    Case {
        name: "the same, fan_out = off",
        ini: "
[isolate]
fan_out = off

[composite:main]
use = egg:Paste#urlmap
filter-with = egg:Paste#httpexceptions
/one = one
/two = two
",
        targets: TARGETS,
    },
    Case {
        name: "nested maps with filters between",
        ini: "
[composite:main]
use = egg:Paste#urlmap
/one = one
/deep = inner

[pipeline:inner]
pipeline = a deeper

[composite:deeper]
use = egg:Paste#urlmap
/one = filtered
/two = two

[filter-app:filtered]
paste.filter_factory = probe:tag_filter
tag = c
next = one
",
        targets: TARGETS,
    },
    Case {
        name: "not_found_app at two levels",
        ini: "
[composite:main]
use = egg:Paste#urlmap
not_found_app = lost
/deep = deeper
/one = one

[composite:deeper]
use = egg:Paste#urlmap
not_found_app = two
/one = one
",
        targets: TARGETS,
    },
    Case {
        name: "a cascade",
        ini: "
[composite:main]
use = egg:Paste#cascade
app1 = nothing
app2 = map

[composite:map]
use = egg:Paste#urlmap
/one = one
/ = two

[app:nothing]
paste.app_factory = probe:missing
",
        targets: TARGETS,
    },
];

/// What a client may rely on.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn answer(address: SocketAddr, target: &str) -> Answer {
    let mut connection = Connection::open(address).expect("it accepts connections");
    let response = connection
        .request("GET", target, &[("Host", "site.test")], b"")
        .unwrap_or_else(|error| panic!("GET {target}: {error}"));
    Answer {
        status: response.status,
        headers: headers(&response),
        body: body(&response),
    }
}

/// Without those of the server itself.
fn headers(response: &Response) -> Vec<(String, String)> {
    let own = [
        "date",
        "server",
        "via",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    let mut headers: Vec<(String, String)> = response
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .collect();
    if response.status == 404 {
        // The page of nobody is the server's own, and so is its type.
        headers.retain(|(name, _)| name != "content-type");
    }
    headers.sort();
    headers
}

fn body(response: &Response) -> String {
    if response.status == 404 {
        return String::new();
    }
    response.text()
}

#[test]
fn a_divided_site_answers_as_the_undivided_one_and_as_the_original() {
    let mut reports = Vec::new();
    for case in CASES {
        let ini = format!("{}{APPS}", case.ini);
        let divided = site(&ini).serve();
        let whole = site(&ini).undivided().serve();
        let original = Undivided::start(&whole.site().config());
        assert_eq!(whole.status().apps.len(), 1, "{}", case.name);
        for target in case.targets {
            let expected = answer(original.address, target);
            for (mode, address) in [
                ("--isolate", divided.address()),
                ("undivided", whole.address()),
            ] {
                let found = answer(address, target);
                if found != expected {
                    reports.push(format!(
                        "{}: GET {target} {mode}\n  {found:?}\ninstead of\n  {expected:?}",
                        case.name
                    ));
                }
            }
        }
    }
    assert!(reports.is_empty(), "{}", reports.join("\n\n"));
}
