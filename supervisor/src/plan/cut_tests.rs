use super::*;
use crate::plan::testing::{FILE, app, filter, pipeline, program, urlmap};

const GZIP: &str = "paste.gzipper:make_gzip_middleware";
const AUTH: &str = "paste.auth.basic:make_basic";

fn options(fan_out: FanOut) -> Options<'static> {
    Options {
        isolate: true,
        fan_out,
        root: Path::new(FILE),
    }
}

fn cut_auto(root: &Node) -> Cutting {
    cut(root, options(FanOut::Auto)).expect("a cut")
}

fn apps(cutting: &Cutting) -> Vec<(&str, Vec<&str>)> {
    cutting
        .pieces
        .iter()
        .map(|piece| {
            (
                piece.name.as_str(),
                piece.mounts.iter().map(String::as_str).collect(),
            )
        })
        .collect()
}

fn to(app: &str) -> RouteNode {
    RouteNode::App {
        app: app.to_owned(),
    }
}

fn route(prefix: &str, to: RouteNode) -> Route {
    Route {
        domain: None,
        prefix: prefix.to_owned(),
        to,
    }
}

#[test]
fn the_root_alone_is_one_app() {
    let cutting = cut_auto(&app("main"));
    assert_eq!(cutting.root, to("main"));
    assert_eq!(apps(&cutting), [("main", vec!["/"])]);
}

#[test]
fn each_route_of_a_urlmap_is_an_app() {
    let cutting = cut_auto(&urlmap(
        "main",
        vec![("/blog", app("blog")), ("/", app("home"))],
        Some(app("missing")),
    ));
    assert_eq!(
        apps(&cutting),
        [
            ("blog", vec!["/blog"]),
            ("home", vec!["/"]),
            ("missing", vec!["(not found)"])
        ]
    );
    let RouteNode::Map {
        routes,
        not_found,
        shift,
    } = cutting.root
    else {
        panic!("a map")
    };
    assert_eq!(routes, [route("/blog", to("blog")), route("", to("home"))]);
    assert_eq!(not_found, Some(Box::new(to("missing"))));
    assert!(shift);
    let levels: Vec<Option<&str>> = cutting.cuts.iter().map(|cut| cut.app.as_deref()).collect();
    assert_eq!(levels, [None, Some("blog"), Some("home"), Some("missing")]);
}

#[test]
fn the_same_section_mounted_twice_is_one_app() {
    let cutting = cut_auto(&urlmap(
        "main",
        vec![("/a", app("x")), ("/b", app("x")), ("ex.org/c", app("x"))],
        None,
    ));
    assert_eq!(apps(&cutting), [("x", vec!["/a", "/b", "//ex.org/c"])]);
}

#[test]
fn the_same_section_with_other_globals_is_another_app() {
    let mut other = app("x");
    other
        .global_conf
        .insert("debug".to_owned(), "true".to_owned());
    let cutting = cut_auto(&urlmap("main", vec![("/a", app("x")), ("/b", other)], None));
    assert_eq!(apps(&cutting), [("x", vec!["/a"]), ("x-2", vec!["/b"])]);
}

#[test]
fn nested_maps_are_cut_level_by_level() {
    let inner = urlmap("inner", vec![("/y", app("y"))], Some(app("gone")));
    let cutting = cut_auto(&urlmap("main", vec![("/in", inner)], None));
    assert_eq!(
        apps(&cutting),
        [("y", vec!["/in/y"]), ("gone", vec!["/in (not found)"])]
    );
    let RouteNode::Map { routes, .. } = cutting.root else {
        panic!("a map")
    };
    let RouteNode::Map { routes, shift, .. } = &routes[0].to else {
        panic!("an inner map")
    };
    assert_eq!(*routes, [route("/y", to("y"))]);
    assert!(shift);
}

#[test]
fn an_unknown_filter_keeps_all_below_together_and_is_named() {
    let map = urlmap("map", vec![("/a", app("a")), ("/b", app("b"))], None);
    let cutting = cut_auto(&pipeline(
        "main",
        vec![filter("zip", GZIP), filter("auth", AUTH)],
        map,
    ));
    assert_eq!(apps(&cutting), [("main", vec!["/"])]);
    assert!(
        cutting.cuts[0].why.contains("`filter:auth`"),
        "{}",
        cutting.cuts[0].why
    );
}

#[test]
fn harmless_filters_fan_out() {
    let map = urlmap("map", vec![("/a", app("a")), ("/b", app("b"))], None);
    let cutting = cut_auto(&pipeline("main", vec![filter("zip", GZIP)], map));
    assert_eq!(
        apps(&cutting),
        [
            ("a", vec!["/a"]),
            ("b", vec!["/b"]),
            ("main", vec!["(not found)"])
        ]
    );
    let RouteNode::Map {
        routes,
        not_found,
        shift,
    } = cutting.root
    else {
        panic!("a map")
    };
    assert!(!shift);
    assert_eq!(routes, [route("/a", to("a")), route("/b", to("b"))]);
    assert_eq!(not_found, Some(Box::new(to("main"))));
    let reduced = urlmap("map", vec![("/b", app("b"))], None);
    assert_eq!(
        cutting.pieces[1].node,
        pipeline("main", vec![filter("zip", GZIP)], reduced)
    );
    assert_eq!(cutting.pieces[1].origin.section, "app:b");
    let empty = urlmap("map", vec![], None);
    assert_eq!(
        cutting.pieces[2].node,
        pipeline("main", vec![filter("zip", GZIP)], empty)
    );
}

#[test]
fn fan_out_keeps_all_routes_of_one_app() {
    let map = urlmap(
        "map",
        vec![("/a", app("a")), ("/b", app("b")), ("/c", app("a"))],
        Some(app("a")),
    );
    let cutting = cut_auto(&pipeline("main", vec![filter("zip", GZIP)], map));
    assert_eq!(
        apps(&cutting),
        [("a", vec!["/a", "/c", "(not found)"]), ("b", vec!["/b"])]
    );
    let reduced = urlmap(
        "map",
        vec![("/a", app("a")), ("/c", app("a"))],
        Some(app("a")),
    );
    assert_eq!(
        cutting.pieces[0].node,
        pipeline("main", vec![filter("zip", GZIP)], reduced)
    );
}

#[test]
fn fan_out_reaches_through_nested_maps() {
    let inner = urlmap("inner", vec![("/y", app("y"))], None);
    let map = urlmap("map", vec![("/in", inner), ("/b", app("b"))], None);
    let cutting = cut_auto(&pipeline("main", vec![filter("zip", GZIP)], map));
    let main = ("main", vec!["/in (not found)", "(not found)"]);
    assert_eq!(
        apps(&cutting),
        [("y", vec!["/in/y"]), main, ("b", vec!["/b"])]
    );
    let RouteNode::Map { routes, .. } = &cutting.root else {
        panic!("a map")
    };
    let RouteNode::Map {
        routes,
        shift,
        not_found,
    } = &routes[0].to
    else {
        panic!("an inner map")
    };
    assert_eq!(*routes, [route("/y", to("y"))]);
    assert!(!shift);
    assert_eq!(*not_found, Some(Box::new(to("main"))));
    // The app for misses still finds its way to the inner map, so that the right map answers 404.
    let misses = urlmap("map", vec![("/in", urlmap("inner", vec![], None))], None);
    assert_eq!(
        cutting.pieces[1].node,
        pipeline("main", vec![filter("zip", GZIP)], misses)
    );
}

#[test]
fn fan_out_can_be_forced_and_forbidden() {
    let root = |target| {
        pipeline(
            "main",
            vec![filter("f", target)],
            urlmap("map", vec![("/a", app("a"))], Some(app("b"))),
        )
    };
    assert_eq!(
        cut(&root(AUTH), options(FanOut::On))
            .expect("a cut")
            .pieces
            .len(),
        2
    );
    let cutting = cut(&root(GZIP), options(FanOut::Off)).expect("a cut");
    assert_eq!(apps(&cutting), [("main", vec!["/"])]);
    assert!(cutting.cuts[0].why.contains("fan_out = off"));
}

#[test]
fn a_pipeline_without_a_map_is_an_app() {
    let cutting = cut_auto(&urlmap(
        "main",
        vec![("/a", pipeline("p", vec![filter("f", AUTH)], app("a")))],
        None,
    ));
    assert_eq!(apps(&cutting), [("p", vec!["/a"])]);
}

#[test]
fn without_isolate_the_tree_is_one_app() {
    let root = urlmap("main", vec![("/a", app("a"))], None);
    let cutting = cut(
        &root,
        Options {
            isolate: false,
            ..options(FanOut::Auto)
        },
    )
    .expect("a cut");
    assert_eq!(cutting.root, to("main"));
    assert_eq!(cutting.pieces[0].node, root);
}

#[test]
fn programs_and_upstreams_are_apps_of_their_own() {
    let root = urlmap(
        "main",
        vec![
            ("/x", program("x", Via::Exec, "./run --fd 3")),
            ("/u", program("u", Via::Http, "//10.0.0.1:90")),
        ],
        None,
    );
    let cutting = cut_auto(&root);
    let argv = ["/srv/./run", "--fd", "3"].map(str::to_owned).to_vec();
    assert_eq!(cutting.pieces[0].work, Work::Exec { argv });
    let address = WorkerAddress::Tcp("10.0.0.1:90".to_owned());
    assert_eq!(cutting.pieces[1].work, Work::Upstream { address });
}

#[test]
fn a_program_inside_a_python_process_is_an_error_with_its_line() {
    let program = || program("x", Via::Exec, "./run");
    let wrapped = pipeline("main", vec![filter("f", AUTH)], program());
    let problems = cut(&wrapped, options(FanOut::Auto)).expect_err("wrapped");
    assert_eq!(
        problems[0].to_string(),
        "/srv/site.ini:2: `exec:` cannot be part of a Python process"
    );
    let fanned = pipeline(
        "main",
        vec![filter("f", GZIP)],
        urlmap("map", vec![("/x", program())], None),
    );
    assert_eq!(
        cut(&fanned, options(FanOut::Auto))
            .expect_err("fanned out")
            .len(),
        1
    );
    let undivided = urlmap("main", vec![("/x", program())], None);
    let undivided = cut(
        &undivided,
        Options {
            isolate: false,
            ..options(FanOut::Auto)
        },
    )
    .expect_err("undivided");
    assert!(
        undivided[0]
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("--isolate"))
    );
}

#[test]
fn a_route_that_is_added_does_not_change_the_other_apps_of_a_fan_out() {
    let site = |names: &[&str]| {
        let routes = names.iter().map(|name| (*name, app(&name[1..]))).collect();
        let mut map = urlmap("map", routes, None);
        map.local_conf = names
            .iter()
            .map(|name| ((*name).to_owned(), name[1..].to_owned()))
            .collect();
        cut_auto(&pipeline("main", vec![filter("zip", GZIP)], map))
    };
    let (before, after) = (site(&["/a", "/b"]), site(&["/a", "/b", "/c"]));
    assert_eq!(before.pieces[0], after.pieces[0]);
    assert_eq!(before.pieces[1], after.pieces[1]);
    assert_eq!(before.pieces[2].node, after.pieces[3].node);
}
