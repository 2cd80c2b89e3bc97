//! `filters`: filters around single apps, by settings.

use crate::harness::{Paster, Site};

const APP: &str = r#"
def factory(global_conf):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ.get("app.seen", "nothing").encode("ascii")]
    return app
"#;

const FILTER: &str = r#"
def factory(global_conf, word):
    def filter(app):
        def filtered(environ, start_response):
            environ["app.seen"] = environ.get("app.seen", "") + word
            return app(environ, start_response)
        return filtered
    return filter
"#;

const SITE: &str = "[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = 0\n\
    [composite:main]\nuse = egg:Paste#urlmap\n/ = plain\n/two = two\n\
    [app:plain]\nuse = thing:factory\n[app:two]\nuse = thing:factory\n\
    [filter:outer]\nuse = call:words:factory\nword = outer\n\
    [filter:inner]\nuse = call:words:factory\nword = inner\n";

fn site(settings: &str) -> Site {
    Site::new()
        .file("thing.py", APP)
        .file("words.py", FILTER)
        .ini(&format!("{SITE}{settings}"))
}

#[test]
fn filters_stand_around_the_app_that_asks_for_them() {
    let mut paster = site("[isolate:two]\nfilters = outer inner\n").serve();
    assert_eq!(paster.text("/"), "nothing");
    assert_eq!(paster.text("/two"), "outerinner");
    let untouched = paster.status().app("plain").pids();
    paster.edit(|site| site.ini(&format!("{SITE}[isolate:two]\nfilters = inner\n")));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text("/two"), "inner");
    assert_eq!(paster.status().app("plain").pids(), untouched);
}

#[test]
fn filters_for_all_leave_other_programs_alone() {
    let elsewhere = "[isolate]\nfilters = outer\n[app:two]\nuse = unix:/nowhere.sock\n";
    let text = SITE.replace("[app:two]\nuse = thing:factory\n", "");
    let paster = Site::new()
        .file("thing.py", APP)
        .file("words.py", FILTER)
        .ini(&format!("{text}{elsewhere}"))
        .serve();
    assert_eq!(paster.text("/"), "outer");
}

#[test]
fn a_filter_that_is_not_there_is_refused_with_its_line() {
    let mut site = site("[isolate:two]\nfilters = outer nobody\n");
    site.write();
    let refused = Paster::refused(&site);
    let said = &refused.stderr;
    assert!(said.contains("`filters` names `nobody`"), "{said}");
    assert!(said.contains("site.ini"), "{said}");
    let text = site.text().replace("thing:factory", "unix:/nowhere.sock");
    site = site.ini(&text.replace("outer nobody", "outer"));
    site.write();
    let refused = Paster::refused(&site);
    let said = &refused.stderr;
    assert!(said.contains("app `two` is no Python app"), "{said}");
}
