//! What Paste Deploy puts around an app, and `[loggers]`.

use crate::fixtures::{Undivided, site};
use crate::harness::http::Connection;
use crate::harness::{Paster, Site};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;

const COMPOSED: &str = "
[DEFAULT]
colour = red
shared = from the file

[composite:main]
use = egg:Paste#urlmap
/chosen = chosen
/methods = methods
/cascade = cascade
/with = with
/file = config:parts/other.ini#far
/egg = egg:Fixture-Site#flask
/set = set

[composite:chosen]
paste.composite_factory = probe:chosen
chain = a b seen

[composite:methods]
paste.composite_factory = probe:by_method
get = seen
post = config:parts/other.ini#far

[composite:cascade]
use = egg:Paste#cascade
app1 = nothing
app2 = seen

[app:nothing]
paste.app_factory = probe:missing

[app:with]
use = seen
filter-with = a
local = 1

[app:set]
use = seen
set colour = green
get borrowed = shared

[app:seen]
paste.app_factory = probe:environ

[filter:a]
paste.filter_factory = probe:tag_filter
tag = a

[filter:b]
use = egg:Fixture-Site#stamp
ink = black
";

const OTHER: &str = "
[DEFAULT]
colour = yellow

[app:far]
use = near
option = far

[app:near]
paste.app_factory = probe:environ
option = near
place = %(here)s
";

#[test]
fn whatever_paste_deploy_composes_is_what_the_original_composes() {
    let build = |site: Site| site.file("parts/other.ini", OTHER);
    let paster = build(site(COMPOSED)).serve();
    let whole = build(site(COMPOSED)).undivided().serve();
    let original = Undivided::start(&whole.site().config());
    let here = |paster: &Paster| paster.site().dir().display().to_string();
    for (method, target) in [
        ("GET", "/chosen/x"),
        ("GET", "/methods/x"),
        ("POST", "/methods/x"),
        ("GET", "/cascade/x"),
        ("GET", "/with/x"),
        ("GET", "/file/x"),
        ("GET", "/set/x"),
    ] {
        let look = |address: SocketAddr, here: &str| {
            let response = Connection::open(address)
                .and_then(|mut connection| {
                    connection.request(method, target, &[("Host", "a")], b"")
                })
                .expect("an answer");
            let tags: Vec<String> = response
                .headers
                .iter()
                .filter(|(name, _)| {
                    name.eq_ignore_ascii_case("x-tag") || name.eq_ignore_ascii_case("x-stamp")
                })
                .map(|(name, value)| format!("{}={value}", name.to_ascii_lowercase()))
                .collect();
            let seen = response.json();
            let text = json!({
                "tags": tags,
                "global_conf": seen["global_conf"],
                "local_conf": seen["local_conf"],
                "script_name": seen["environ"]["SCRIPT_NAME"],
                "path_info": seen["environ"]["PATH_INFO"],
                "probe": seen["environ"]["probe.tags"],
            })
            .to_string();
            text.replace(here, "HERE")
        };
        let expected = look(original.address, &here(&whole));
        assert_eq!(
            look(paster.address(), &here(&paster)),
            expected,
            "--isolate {method} {target}"
        );
        assert_eq!(
            look(whole.address(), &here(&whole)),
            expected,
            "{method} {target}"
        );
    }
}

#[test]
fn the_section_loggers_is_applied() {
    let paster = site(
        "
[app:main]
paste.app_factory = probe:logged

[loggers]
keys = root, probe

[handlers]
keys = file

[formatters]
keys = plain

[logger_root]
level = WARNING
handlers = file

[logger_probe]
level = INFO
handlers =
qualname = probe

[handler_file]
class = FileHandler
args = ('%(here)s/probe.log',)
formatter = plain

[formatter_plain]
format = %(levelname)s/%(name)s/%(message)s
",
    )
    .serve();
    assert_eq!(paster.text("/some/path"), "logged\n");
    let log = fs::read_to_string(paster.site().path("probe.log")).expect("the handler's file");
    assert_eq!(log, "INFO/probe/asked for /some/path\n");
}
