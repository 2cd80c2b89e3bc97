use super::path::{BadPath, percent_decode};
use super::*;
use crate::fuzz::fuzz;
use crate::router::message::Route;
use proptest::prelude::*;

fn app(name: &str) -> RouteNode {
    RouteNode::App {
        app: name.to_owned(),
    }
}

/// A map in the given order; an app is named after its route.
fn map(routes: &[(Option<&str>, &str)]) -> RouteNode {
    let routes = routes.iter().map(|&(domain, prefix)| {
        let to = app(&format!("{}{prefix}", domain.unwrap_or("")));
        Route {
            domain: domain.map(str::to_owned),
            prefix: prefix.to_owned(),
            to,
        }
    });
    RouteNode::Map {
        routes: routes.collect(),
        not_found: None,
        shift: true,
    }
}

fn nest(prefix: &str, to: RouteNode, not_found: Option<RouteNode>, shift: bool) -> RouteNode {
    let routes = vec![Route {
        domain: None,
        prefix: prefix.to_owned(),
        to,
    }];
    RouteNode::Map {
        routes,
        not_found: not_found.map(Box::new),
        shift,
    }
}

fn request<'q>(host: &'q str, path: &'q str) -> RequestTarget<'q> {
    RequestTarget {
        host: Some(host.as_bytes()),
        scheme: "http",
        path_info: path.as_bytes(),
        script_name: b"",
    }
}

/// `app SCRIPT_NAME|PATH_INFO`, or how there is none.
fn ask(router: &Router, request: &RequestTarget<'_>) -> String {
    match router.route(request) {
        Outcome::App(found) => format!(
            "{} {}|{}",
            found.app,
            String::from_utf8_lossy(&found.script_name),
            String::from_utf8_lossy(&found.path_info)
        ),
        Outcome::NotFound => "404".to_owned(),
        Outcome::BadRequest => "400".to_owned(),
    }
}

fn get(node: &RouteNode, host: &str, path: &str) -> String {
    ask(&Router::new(node), &request(host, path))
}

#[test]
fn a_prefix_matches_itself_and_what_is_below_it_but_not_what_merely_begins_like_it() {
    let node = map(&[(None, "/foo"), (None, "")]);
    assert_eq!(get(&node, "h", "/foo"), "/foo /foo|");
    assert_eq!(get(&node, "h", "/foo/"), "/foo /foo|/");
    assert_eq!(get(&node, "h", "/foo/x"), "/foo /foo|/x");
    assert_eq!(get(&node, "h", "/foobar"), " |/foobar");
    assert_eq!(get(&node, "h", "/FOO"), " |/FOO");
    assert_eq!(get(&node, "h", ""), " |");
}

#[test]
fn runs_of_slashes_are_one_slash_and_the_app_sees_them_so() {
    let node = map(&[(None, "/foo/bar"), (None, "/foo")]);
    assert_eq!(get(&node, "h", "//foo///bar//x//"), "/foo/bar /foo/bar|/x/");
    assert_eq!(get(&node, "h", "/foo//"), "/foo /foo|/");
}

#[test]
fn dot_segments_are_ordinary_text() {
    assert_eq!(
        get(&map(&[(None, "/foo")]), "h", "/foo/../bar"),
        "/foo /foo|/../bar"
    );
}

#[test]
fn without_a_route_for_the_path_nothing_is_found() {
    assert_eq!(get(&map(&[(None, "/a")]), "h", "/"), "404");
    assert_eq!(get(&map(&[]), "h", "/"), "404");
}

#[test]
fn a_domain_matches_whatever_the_case_of_the_host_and_on_every_port() {
    let node = map(&[(Some("ex.org"), "/in"), (None, "")]);
    assert_eq!(get(&node, "EX.org:8080", "/in/x"), "ex.org/in /in|/x");
    assert_eq!(get(&node, "ex.org.", "/in"), " |/in");
    assert_eq!(get(&node, "sub.ex.org", "/in"), " |/in");
}

#[test]
fn a_miss_on_the_domain_falls_through_to_routes_without_one() {
    let node = map(&[(Some("ex.org"), "/in"), (None, "")]);
    assert_eq!(get(&node, "ex.org", "/out"), " |/out");
}

#[test]
fn a_domain_route_beats_a_longer_one_without_domain() {
    let node = map(&[(Some("ex.org"), ""), (None, "/long/path")]);
    assert_eq!(get(&node, "ex.org", "/long/path"), "ex.org |/long/path");
    assert_eq!(get(&node, "other", "/long/path"), "/long/path /long/path|");
}

#[test]
fn a_domain_without_port_shadows_the_same_domain_with_port() {
    let node = map(&[(Some("ex.org"), ""), (Some("ex.org:8080"), "/x")]);
    assert_eq!(get(&node, "ex.org:8080", "/x"), "ex.org |/x");
}

#[test]
fn the_port_of_a_host_without_one_comes_from_the_scheme() {
    let router = Router::new(&map(&[
        (Some("ex.org:80"), "/p"),
        (Some("ex.org:443"), "/s"),
    ]));
    assert_eq!(ask(&router, &request("ex.org", "/p")), "ex.org:80/p /p|");
    assert_eq!(
        ask(
            &router,
            &RequestTarget {
                scheme: "https",
                ..request("ex.org", "/p")
            }
        ),
        "404"
    );
    assert_eq!(
        ask(
            &router,
            &RequestTarget {
                scheme: "https",
                ..request("ex.org", "/s")
            }
        ),
        "ex.org:443/s /s|"
    );
}

#[test]
fn a_request_without_host_matches_no_domain() {
    let router = Router::new(&map(&[(Some("ex.org"), ""), (None, "/a")]));
    assert_eq!(
        ask(
            &router,
            &RequestTarget {
                host: None,
                ..request("", "/a")
            }
        ),
        "/a /a|"
    );
    assert_eq!(
        ask(
            &router,
            &RequestTarget {
                host: None,
                ..request("", "/b")
            }
        ),
        "404"
    );
}

#[test]
fn an_address_literal_is_cut_at_its_first_colon_like_the_original_does() {
    let router = Router::new(&map(&[(Some("[::1]"), "")]));
    assert_eq!(ask(&router, &request("[::1]", "/")), "[::1] |/");
    assert_eq!(ask(&router, &request("[::1]:8080", "/")), "404");
}

#[test]
fn the_order_of_the_table_decides_even_against_domains_and_lengths() {
    let node = map(&[(None, ""), (Some("ex.org"), "/x"), (None, "/x")]);
    assert_eq!(get(&node, "ex.org", "/x"), " |/x");
}

#[test]
fn a_prefix_beyond_ascii_matches_the_utf8_bytes_of_the_path() {
    let node = map(&[(None, "/café")]);
    let path = percent_decode(b"/caf%C3%A9/x");
    assert_eq!(
        ask(
            &Router::new(&node),
            &RequestTarget {
                path_info: &path,
                ..request("h", "")
            }
        ),
        "/café /café|/x"
    );
    let latin1 = percent_decode(b"/caf%E9");
    assert_eq!(
        ask(
            &Router::new(&node),
            &RequestTarget {
                path_info: &latin1,
                ..request("h", "")
            }
        ),
        "404"
    );
}

#[test]
fn a_path_that_is_not_absolute_is_a_bad_request() {
    assert_eq!(get(&map(&[(None, "")]), "h", "*"), "400");
    assert_eq!(get(&app("only"), "h", "*"), "only |*");
}

#[test]
fn scheme_and_host_in_front_of_the_path_are_dropped() {
    let node = map(&[(None, "/a")]);
    assert_eq!(get(&node, "h", "http://other//a/b"), "/a /a|/b");
    assert_eq!(get(&node, "h", "https://other"), "404");
    assert_eq!(get(&node, "h", "HTTP://other/a"), "400");
}

#[test]
fn an_inner_map_sees_the_shifted_path_and_its_miss_is_final() {
    let RouteNode::Map { mut routes, .. } = nest("/a", map(&[(None, "/b")]), None, true) else {
        unreachable!()
    };
    routes.push(Route {
        domain: None,
        prefix: String::new(),
        to: app("top"),
    });
    let node = RouteNode::Map {
        routes,
        not_found: None,
        shift: true,
    };
    assert_eq!(get(&node, "h", "/a//b/c"), "/b /a/b|/c");
    assert_eq!(get(&node, "h", "/a/x"), "404");
    assert_eq!(get(&node, "h", "/x"), "top |/x");
}

#[test]
fn domains_are_tested_again_on_an_inner_level() {
    let node = nest("/a", map(&[(Some("ex.org"), "/b")]), None, true);
    assert_eq!(get(&node, "ex.org", "/a/b"), "ex.org/b /a/b|");
    assert_eq!(get(&node, "other", "/a/b"), "404");
}

#[test]
fn the_not_found_app_sees_the_pair_of_its_level_untouched() {
    let outer = nest("/a", map(&[]), Some(app("missing")), true);
    assert_eq!(get(&outer, "h", "//x//y"), "missing |//x//y");
    let inner = nest(
        "/a",
        nest("/b", app("b"), Some(app("missing")), true),
        None,
        true,
    );
    assert_eq!(get(&inner, "h", "//a//x"), "missing /a|/x");
}

#[test]
fn below_an_unshifted_map_apps_see_what_the_map_got_while_inner_maps_match_the_rest() {
    let node = nest("/a", nest("/b", app("b"), None, true), None, false);
    assert_eq!(get(&node, "h", "//a//b//c"), "b |//a//b//c");
    let node = nest("/a", nest("/b", app("b"), None, false), None, true);
    assert_eq!(get(&node, "h", "//a//b//c"), "b /a|/b/c");
}

#[test]
fn the_outer_script_name_is_extended() {
    let router = Router::new(&map(&[(None, "/a"), (None, "")]));
    let outer = |path| RequestTarget {
        script_name: b"/outer",
        ..request("h", path)
    };
    assert_eq!(ask(&router, &outer("/a/x")), "/a /outer/a|/x");
    assert_eq!(ask(&router, &outer("//x")), " /outer|/x");
}

#[test]
fn nothing_is_copied_where_nothing_changes() {
    let router = Router::new(&map(&[(None, "/a")]));
    let Outcome::App(found) = router.route(&request("h", "/a/x")) else {
        panic!("no match")
    };
    assert!(matches!(found.script_name, Cow::Borrowed(b"/a")));
    assert!(matches!(found.path_info, Cow::Borrowed(b"/x")));
    assert!(matches!(
        path_info(b"/a/x?q=%20"),
        Ok(Cow::Borrowed(b"/a/x"))
    ));
}

#[test]
fn escapes_are_decoded_once_and_malformed_ones_stay() {
    assert_eq!(
        percent_decode(b"/%66oo%2Fbar%252F%zz%4").as_ref(),
        b"/foo/bar%2F%zz%4"
    );
    assert_eq!(path_info(b"/a%20b?c=%00"), Ok(b"/a b"[..].into()));
    for bad in ["/%00", "/a%0Ab", "/%0d"] {
        assert_eq!(path_info(bad.as_bytes()), Err(BadPath), "{bad}");
    }
}

#[test]
fn stripping_leaves_the_rest_of_the_target_as_it_came() {
    let cases = [
        ("/foo/bar?q=1", 4, "/bar?q=1"),
        ("/foo", 4, "/"),
        ("/foo?q", 4, "/?q"),
        ("/foo/?", 4, "/?"),
        ("//%66oo///b%2Fr//x", 4, "/b%2Fr//x"),
        ("/foo%2Fbar", 4, "/bar"),
        ("/foo%2F/%2fbar/%2e", 4, "/bar/%2e"),
        ("/a/b/c", 4, "/c"),
        ("//x//y?", 0, "//x//y?"),
        ("/caf%C3%A9/%zz", 6, "/%zz"),
    ];
    for (target, consumed, rest) in cases {
        assert_eq!(
            strip_prefix(target.as_bytes(), consumed).as_ref(),
            rest.as_bytes(),
            "{target}"
        );
    }
}

/// One level by trying every route in turn, as the original does.
fn reference(routes: &[Route], request: &RequestTarget<'_>) -> Option<(usize, Vec<u8>, Vec<u8>)> {
    let host = request.host.map(<[u8]>::to_ascii_lowercase);
    let default_port = if request.scheme == "http" {
        "80"
    } else {
        "443"
    };
    let mut path = request.path_info.to_vec();
    while let Some(double) = path.windows(2).position(|pair| pair == b"//") {
        path.remove(double);
    }
    for (rank, route) in routes.iter().enumerate() {
        if let Some(domain) = &route.domain {
            let Some(host) = &host else { continue };
            let (name, full) = match host.iter().position(|&byte| byte == b':') {
                Some(colon) => (host[..colon].to_vec(), host.clone()),
                None => (
                    host.clone(),
                    [host, ":".as_bytes(), default_port.as_bytes()].concat(),
                ),
            };
            if domain.as_bytes() != name && domain.as_bytes() != full {
                continue;
            }
        }
        let prefix = route.prefix.as_bytes();
        if path == prefix || path.starts_with(&[prefix, b"/"].concat()) {
            let script = [request.script_name, prefix].concat();
            return Some((rank, script, path[prefix.len()..].to_vec()));
        }
    }
    None
}

#[test]
fn the_index_agrees_with_the_original_loop() {
    let route = (
        prop::option::of("(a|b|a\\.b)(:80|:443|:8)?"),
        "(/[ab%é]{1,2}){0,3}",
    );
    let request = (
        prop::option::of("(a|A|b|a\\.b|c)(:80|:443|:8|:)?"),
        "(/{0,2}[ab%é]{0,2}){0,4}",
        any::<bool>(),
    );
    let input = (
        prop::collection::vec(route, 0..12),
        prop::collection::vec(request, 1..12),
    );
    fuzz(&input, |(routes, requests)| {
        let routes: Vec<Route> = routes
            .into_iter()
            .enumerate()
            .map(|(rank, (domain, prefix))| Route {
                domain,
                prefix,
                to: app(&rank.to_string()),
            })
            .collect();
        let router = Router::new(&RouteNode::Map {
            routes: routes.clone(),
            not_found: None,
            shift: true,
        });
        for (host, path, tls) in requests {
            let path = if path.is_empty() || path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            };
            let target = RequestTarget {
                host: host.as_deref().map(str::as_bytes),
                scheme: if tls { "https" } else { "http" },
                path_info: path.as_bytes(),
                script_name: b"/s",
            };
            let ours = match router.route(&target) {
                Outcome::App(found) => {
                    let rank = found
                        .app
                        .parse::<usize>()
                        .expect("apps are named after ranks");
                    Some((
                        rank,
                        found.script_name.into_owned(),
                        found.path_info.into_owned(),
                    ))
                }
                Outcome::NotFound => None,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(ours, reference(&routes, &target), "{:?}", target);
        }
        Ok(())
    });
}

#[test]
fn no_bytes_make_the_router_panic() {
    let input = (
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 0..10),
        0_usize..50,
    );
    fuzz(&input, |(path, host, consumed)| {
        let router = Router::new(&map(&[(Some("a:1"), "/a"), (None, "")]));
        router.route(&RequestTarget {
            host: Some(&host),
            scheme: "",
            path_info: &path,
            script_name: b"",
        });
        strip_prefix(&path, consumed);
        if let Ok(decoded) = path_info(&path) {
            prop_assert!(!decoded.contains(&0));
        }
        Ok(())
    });
}

proptest! {
    #[test]
    fn a_stripped_target_decodes_and_collapses_to_path_info(path in "(/{1,2}(a|%61|%2F|b){0,2}){1,5}") {
        let node = map(&[(None, "/a/b"), (None, "/a"), (None, "/b")]);
        let router = Router::new(&node);
        let decoded = path_info(path.as_bytes()).expect("no control characters");
        let target = RequestTarget { path_info: &decoded, ..request("h", "") };
        if let Outcome::App(found) = router.route(&target) {
            let stripped = strip_prefix(path.as_bytes(), found.consumed);
            let seen = percent_decode(&stripped);
            let seen = path::normalize(&seen).expect("it begins with a slash");
            let wanted = if found.path_info.is_empty() { &b"/"[..] } else { &found.path_info };
            prop_assert_eq!(seen.as_ref(), wanted);
        }
    }
}
