//! Resolution as a whole, on files in a temporary directory.

use super::document::Documents;
use super::problem::Problem;
use super::python::{Environments, SearchPath};
use super::tree::{Conf, Loader, Node, ObjectType, Parts, Via};
use super::{Kind, Query, Resolved, describe, member, resolve};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Directories to search, and what was asked for.
#[derive(Default)]
struct Fixed {
    directories: Vec<PathBuf>,
    asked: Mutex<Vec<Option<String>>>,
}

impl Environments for Fixed {
    fn search_path(&self, python: Option<&str>, _directory: &Path) -> SearchPath {
        self.asked
            .lock()
            .expect("not poisoned")
            .push(python.map(str::to_owned));
        SearchPath {
            directories: self.directories.clone(),
            described: "the test environment".to_owned(),
            interpreter: "python".into(),
        }
    }
}

struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new(text: &str) -> Site {
        let site = Site {
            dir: tempfile::tempdir().expect("a directory"),
        };
        site.file("site.ini", text)
    }

    fn file(self, name: &str, text: &str) -> Site {
        std::fs::write(self.dir.path().join(name), text).expect("written");
        self
    }

    fn query(&self) -> Query {
        Query {
            uri: "config:site.ini".to_owned(),
            name: None,
            kind: Kind::App,
            global_conf: Conf::new(),
            relative_to: self.dir.path().to_owned(),
        }
    }

    fn resolve(&self) -> Result<Resolved, Vec<Problem>> {
        resolve(&self.query(), &mut Documents::default(), &Fixed::default())
    }

    fn node(&self) -> Node {
        self.resolve().expect("a valid site").node
    }

    fn problems(&self) -> Vec<Problem> {
        self.resolve().expect_err("an invalid site")
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.resolve().expect("a valid site").warnings;
        let line = |problem: &Problem| problem.place.as_ref().map_or(0, |place| place.line);
        warnings
            .iter()
            .map(|problem| format!("{}: {}", line(problem), problem.message))
            .collect()
    }
}

fn lines(problems: &[Problem]) -> Vec<(&str, usize)> {
    let line = |problem: &Problem| problem.place.as_ref().map_or(0, |place| place.line);
    problems
        .iter()
        .map(|problem| (problem.class.as_str(), line(problem)))
        .collect()
}

#[test]
fn the_first_tutorial_runs_as_it_is_printed() {
    let text = "[DEFAULT]\ndebug = True\n[server:main]\nuse = egg:PasteScript#wsgiutils\nhost = localhost\nport = 90\n\
                [app:main]\nuse = salmon:factory\n";
    let site = Site::new(text);
    let node = site.node();
    let factory = node.factory.expect("a factory");
    assert_eq!(
        (factory.via, factory.target.as_str()),
        (Via::Module, "salmon:factory")
    );
    assert_eq!(node.protocol.as_deref(), Some("paste.app_factory"));
    assert_eq!(
        (
            node.origin.section.as_str(),
            node.origin.line,
            node.origin.factory_line
        ),
        ("app:main", 7, 8)
    );
    let server = resolve(
        &Query {
            kind: Kind::Server,
            ..site.query()
        },
        &mut Documents::default(),
        &Fixed::default(),
    )
    .expect("a server")
    .node;
    assert_eq!(server.local_conf["port"], "90");
}

#[test]
fn a_module_may_stand_wherever_a_name_may() {
    let site = Site::new(
        "[composite:main]\nuse = egg:Paste#urlmap\n/a = shop.wsgi:make\n/b = pipe\n/c = wrapped\n/d = filtered\n\
         [pipeline:pipe]\npipeline = shop.filters:gz call:shop:app\n\
         [filter-app:wrapped]\nuse = call:shop.filters:auth\nnext = shop:app\n\
         [app:filtered]\nuse = shop:app\nfilter-with = shop:log\n",
    );
    let Parts::Urlmap(map) = site.node().parts else {
        panic!("not a urlmap")
    };
    let protocol = |node: &Node| node.protocol.clone().unwrap_or_default();
    assert_eq!(protocol(&map.routes[0].app), "paste.app_factory");
    let Parts::Pipeline { filters, app } = &map.routes[1].app.parts else {
        panic!("not a pipeline")
    };
    assert_eq!(
        (protocol(&filters[0]), protocol(app)),
        ("paste.filter_factory".into(), "paste.app_factory".into())
    );
    for route in &map.routes[2..] {
        let Parts::Filtered { filter, next } = &route.app.parts else {
            panic!("not filtered")
        };
        assert_eq!(
            (protocol(filter), protocol(next)),
            ("paste.filter_factory".into(), "paste.app_factory".into())
        );
    }
}

#[test]
fn a_section_wins_over_a_module_of_the_same_name() {
    let site = Site::new(
        "[app:main]\nuse = shop.wsgi:make\n[app:shop.wsgi:make]\npaste.app_factory = other:x\n",
    );
    assert_eq!(site.node().factory.expect("a factory").target, "other:x");
}

#[test]
fn programs_and_upstreams_are_apps() {
    for (text, via, target) in [
        (
            "exec: ./run --tag=#1 {socket}",
            Via::Exec,
            "./run --tag=#1 {socket}",
        ),
        ("unix:/run/x.sock", Via::Unix, "/run/x.sock"),
        ("http://10.0.0.1:80", Via::Http, "//10.0.0.1:80"),
    ] {
        let factory = Site::new(&format!("[app:main]\nuse = {text}\nkey = v\n"))
            .node()
            .factory
            .expect("a factory");
        assert_eq!((factory.via, factory.target.as_str()), (via, target));
    }
    assert_eq!(
        lines(&Site::new("[app:main]\nuse = unix:x\n").problems()),
        [("LookupError", 2)]
    );
    assert_eq!(
        lines(&Site::new("[app:main]\nuse = ftp://x\n").problems()),
        [("LookupError", 2)]
    );
}

#[test]
fn outer_options_and_set_lines_win() {
    let site = Site::new(
        "[DEFAULT]\nlevel = 0\n[app:main]\nuse = mid\nset level = 2\no = main\n\
         [app:mid]\nuse = base\nset level = 1\no = mid\np = mid\n\
         [app:base]\npaste.app_factory = a:b\nget seen = level\nq = base\n",
    );
    let node = site.node();
    assert_eq!(node.global_conf["level"], "2");
    let locals: Vec<(&str, &str)> = node
        .local_conf
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    assert_eq!(
        locals,
        [("q", "base"), ("seen", "1"), ("o", "main"), ("p", "mid")]
    );
}

#[test]
fn a_map_taken_from_another_file_asks_the_using_file() {
    let site = Site::new(
        "[composite:main]\nuse = config:lib.ini#map\n[app:x]\npaste.app_factory = here:x\n",
    )
    .file(
        "lib.ini",
        "[composite:map]\nuse = egg:Paste#urlmap\n/x = x\n[app:x]\npaste.app_factory = lib:x\n",
    );
    let node = site.node();
    let Parts::Urlmap(map) = &node.parts else {
        panic!("not a urlmap")
    };
    assert_eq!(
        map.routes[0]
            .app
            .factory
            .as_ref()
            .expect("a factory")
            .target,
        "here:x"
    );
    assert_eq!(map.routes[0].line, 3);
    assert_eq!(node.origin.file, site.dir.path().join("site.ini"));
}

#[test]
fn all_routes_report_their_problems_in_the_order_of_the_file() {
    let site = Site::new(
        "[composite:main]\nuse = egg:Paste#urlmap\n/a = nope\nbad = ok\n/b = inner\n/c = egg:Missing\n\
         [app:ok]\npaste.app_factory = a:b\n\
         [composite:inner]\nuse = egg:Paste#urlmap\n/ = okk\n",
    );
    let problems = site.problems();
    let expected = [
        ("LookupError", 3),
        ("AssertionError", 4),
        ("PackageNotFoundError", 6),
        ("LookupError", 11),
    ];
    assert_eq!(lines(&problems), expected);
    assert_eq!(
        problems[3].hint.as_deref(),
        Some("did you mean `ok`, defined at line 7?")
    );
}

#[test]
fn a_broken_map_is_shown_in_its_place_for_comparison() {
    let site = Site::new("[composite:main]\nuse = egg:Paste#urlmap\n/a = nope\n");
    let shown = describe(&site.query(), &Fixed::default()).expect("a context");
    assert_eq!(shown["urlmap"]["error"], "LookupError");
}

#[test]
fn cycles_name_their_chain() {
    for text in [
        "[app:main]\nuse = a\n[app:a]\nuse = main\n",
        "[composite:main]\nuse = egg:Paste#urlmap\n/ = a\n[composite:a]\nuse = egg:Paste#urlmap\n/ = main\n",
    ] {
        let problems = Site::new(text).problems();
        assert_eq!(problems[0].class, "RecursionError");
        let message = &problems[0].message;
        assert!(
            message.contains(" → ") && message.contains("main]") && message.contains(":a]"),
            "{message}"
        );
    }
}

#[test]
fn maps_that_multiply_are_given_up() {
    let mut text = String::new();
    for level in 0..40 {
        let name = if level == 0 {
            "main".to_owned()
        } else {
            format!("m{level}")
        };
        let next = level + 1;
        text +=
            &format!("[composite:{name}]\nuse = egg:Paste#urlmap\n/a = m{next}\n/b = m{next}\n");
    }
    text += "[app:m40]\npaste.app_factory = a:b\n";
    assert_eq!(Site::new(&text).problems()[0].class, "RecursionError");
}

#[test]
fn accidents_that_files_rely_on_are_kept_with_a_warning() {
    let site = Site::new(
        "[DEFAULT]\na =\nb = %(a)s\nport = 80\n[composite:main]\nuse = egg:Paste#urlmap\ndomain EX.org / = x\n\
         [app:x]\npaste.app_factory = a:b\nport = 90\nnote = 1 ; comment\n[filter:z\n\
         [pipeline:y]\npipeline = x\nfilter-with = f\n",
    );
    let warnings = site.warnings();
    for (line, part) in [
        (3, "expands to nothing"),
        (7, "EX.org"),
        (10, "has no effect"),
        (11, "comment"),
        (12, "no header"),
    ] {
        let start = format!("{line}: ");
        assert!(
            warnings
                .iter()
                .any(|text| text.starts_with(&start) && text.contains(part)),
            "{part}: {warnings:#?}"
        );
    }
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert_eq!(site.node().global_conf["b"], "%(a)s");
}

#[test]
fn filter_with_applies_to_pipelines_too() {
    let site = Site::new(
        "[pipeline:main]\npipeline = a:b\nfilter-with = f\n[filter:f]\npaste.filter_factory = a:f\n",
    );
    assert_eq!(site.node().object_type, ObjectType::FilteredWith);
    assert!(site.warnings()[0].starts_with("3: `filter-with` on [pipeline:main]"));
}

#[test]
fn a_percent_in_the_path_is_harmless() {
    let site = Site::new("").file(
        "50%s.ini",
        "[app:main]\npaste.app_factory = a:b\nx = %(here)s\n",
    );
    let query = Query {
        uri: "config:50%25s.ini".to_owned(),
        ..site.query()
    };
    let node = resolve(&query, &mut Documents::default(), &Fixed::default())
        .expect("a valid site")
        .node;
    assert_eq!(node.local_conf["x"], site.dir.path().to_string_lossy());
}

#[test]
fn the_interpreter_follows_the_innermost_isolate_section() {
    let site = Site::new(
        "[isolate]\npython = common\n[isolate:blog]\npython = %(here)s/blog\n\
         [composite:main]\nuse = egg:Paste#urlmap\n/ = blog\n/wiki = wiki\n\
         [app:blog]\nuse = part\n[app:part]\nuse = egg:Waitress#x\n[app:wiki]\nuse = egg:Waitress#x\n",
    );
    let environments = Fixed::default();
    resolve(&site.query(), &mut Documents::default(), &environments)
        .expect_err("no such entry points");
    let asked = environments.asked.into_inner().expect("not poisoned");
    let blog = format!("{}/blog", site.dir.path().display());
    assert_eq!(
        asked,
        [
            Some("common".to_owned()),
            Some(blog),
            Some("common".to_owned())
        ]
    );
}

#[test]
fn a_member_asked_for_later_is_the_one_resolved_before() {
    let site = Site::new("[composite:main]\nuse = config:lib.ini#outer\nset z = 9\n").file(
        "lib.ini",
        "[DEFAULT]\ny = 1\n[pipeline:outer]\npipeline = map\n[composite:map]\nuse = egg:Paste#urlmap\nset y = 2\n/x = x\n\
         [app:x]\npaste.app_factory = lib:x\na = %(v)s\nz = hidden?\n",
    );
    let query = Query {
        global_conf: Conf::from_iter([("v".to_owned(), "3".to_owned())]),
        ..site.query()
    };
    let node = resolve(&query, &mut Documents::default(), &Fixed::default())
        .expect("a valid site")
        .node;
    let Parts::Pipeline { app: map, .. } = &node.parts else {
        panic!("not a pipeline")
    };
    let Parts::Urlmap(routes) = &map.parts else {
        panic!("not a urlmap")
    };
    let again = member(
        &map.loader,
        Kind::App,
        Some("x"),
        Some(map.global_conf.clone()),
        &Fixed::default(),
    );
    assert_eq!(again.as_ref(), Ok(&*routes.routes[0].app));
    assert!(matches!(&map.loader, Loader::Config { defaults, .. } if defaults["v"] == "3"));
}

#[test]
fn a_composite_may_ask_without_a_name() {
    let site = Site::new("[app]\npaste.app_factory = a:b\n");
    let file = site.dir.path().join("site.ini");
    let loader = Loader::Config {
        file,
        defaults: Conf::new(),
    };
    assert!(member(&loader, Kind::App, None, None, &Fixed::default()).is_ok());
    assert!(member(&loader, Kind::App, Some("main"), None, &Fixed::default()).is_err());
}

#[test]
fn a_file_is_read_once_for_all_that_is_resolved_of_a_configuration() {
    let site = Site::new("[app:main]\nuse = config:lib.ini\n").file(
        "lib.ini",
        "[app:main]\npaste.app_factory = a:b\n[filter:late]\npaste.filter_factory = a:f\n",
    );
    let mut documents = Documents::default();
    resolve(&site.query(), &mut documents, &Fixed::default()).expect("a valid site");
    let site = site.file("lib.ini", "[app:main]\npaste.app_factory = other:b\n");
    let filter = Query {
        uri: "config:lib.ini#late".to_owned(),
        kind: Kind::Filter,
        ..site.query()
    };
    let late = resolve(&filter, &mut documents, &Fixed::default()).expect("as it was read before");
    assert_eq!(late.files, [site.dir.path().join("lib.ini")]);
    resolve(&filter, &mut Documents::default(), &Fixed::default()).expect_err("as it is now");
}

#[test]
fn every_file_that_was_read_is_listed_once() {
    let site = Site::new("[app:main]\nuse = config:lib.ini\nfilter-with = config:lib.ini\n").file(
        "lib.ini",
        "[app:main]\npaste.app_factory = a:b\n[filter:main]\npaste.filter_factory = a:f\n",
    );
    let resolved = site.resolve().expect("a valid site");
    assert_eq!(
        resolved.files,
        ["site.ini", "lib.ini"].map(|name| site.dir.path().join(name))
    );
    assert_eq!(resolved.document.path, site.dir.path().join("site.ini"));
}

/// Options and values from which most things that can go wrong can be put together.
fn section() -> impl Strategy<Value = String> {
    let header = "\\[(DEFAULT|(app|composite|pipeline|filter-app|filter|server):(main|a|b))\\]";
    let option = "(use|next|pipeline|filter-with|require|set x|get x|x|/|app1|catch|domain x|not_found_app|paste\\.(app|composite|filter)_factory)";
    let value = "(main|a|b|a b|egg:Paste#(urlmap|cascade)|egg:|config:site.ini(#a)?|call:m:f|m:f|%\\(x\\)s|%|%%|404|é|paste.urlmap:urlmap_factory|)";
    (header, proptest::collection::vec((option, value), 0..4)).prop_map(|(header, options)| {
        let options: Vec<String> = options
            .iter()
            .map(|(option, value)| format!("{option} = {value}\n"))
            .collect();
        format!("{header}\n{}", options.concat())
    })
}

/// What a worker does for a member of a map gives what the undivided program has.
fn members_can_be_asked_for_again(node: &Node) {
    let without_origin = |node: &Node| Node {
        origin: Default::default(),
        ..node.clone()
    };
    match &node.parts {
        Parts::Leaf | Parts::Opaque => {}
        Parts::Pipeline { app, .. } => members_can_be_asked_for_again(app),
        Parts::Filtered { next, .. } => members_can_be_asked_for_again(next),
        Parts::Cascade { apps, .. } => apps
            .iter()
            .for_each(|member| members_can_be_asked_for_again(&member.app)),
        Parts::Urlmap(map) => {
            for route in &map.routes {
                let globals = Some(node.global_conf.clone());
                let again = member(
                    &node.loader,
                    Kind::App,
                    Some(&route.name),
                    globals,
                    &Fixed::default(),
                );
                assert_eq!(
                    again.as_ref().map(without_origin),
                    Ok(without_origin(&route.app))
                );
                members_can_be_asked_for_again(&route.app);
            }
        }
    }
}

#[test]
fn long_chains_fit_the_stack() {
    let chain = |length: usize, reference: &str| {
        let section = |level: usize| {
            let name = if level == 0 {
                "main".to_owned()
            } else {
                format!("a{level}")
            };
            format!("[app:{name}]\nuse = {reference}a{}\n", level + 1)
        };
        let sections: String = (0..length).map(section).collect();
        Site::new(&format!(
            "{sections}[app:a{length}]\npaste.app_factory = a:b\n"
        ))
        .resolve()
    };
    assert!(chain(399, "").is_ok());
    assert!(chain(399, "config:site.ini#").is_ok());
    assert_eq!(
        chain(450, "").expect_err("too long")[0].class,
        "RecursionError"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_resolver_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let site = Site::new("");
        std::fs::write(site.dir.path().join("site.ini"), [b"[app:main]\n", &bytes[..]].concat()).expect("written");
        let _ = site.resolve();
    }

    #[test]
    fn no_sections_make_the_resolver_panic(sections in proptest::collection::vec(section(), 1..6)) {
        let site = Site::new(&sections.concat());
        let strict = site.resolve();
        let shown = describe(&site.query(), &Fixed::default());
        prop_assert!(shown.is_ok() || strict.is_err());
        if let Ok(resolved) = strict {
            members_can_be_asked_for_again(&resolved.node);
        }
    }
}

#[test]
fn what_paster_does_itself_needs_no_installation_and_the_rest_does() {
    assert!(
        Site::new("[composite:main]\nuse = egg:paste#cascade\napp1 = a:b\n")
            .resolve()
            .is_ok()
    );
    let files = "[app:main]\nuse = egg:Paste#static\n";
    assert!(Site::new(files).resolve().is_ok());
    let problems = Site::new("[app:main]\nuse = egg:Paste#test\n").problems();
    assert_eq!(lines(&problems), [("PackageNotFoundError", 2)]);
    let hint = problems[0].hint.as_deref().expect("a hint");
    assert!(hint.contains("python -m pip install Paste"), "{hint}");
}
