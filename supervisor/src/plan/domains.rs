//! Domains of urlmap routes are written in lower case, because Host is compared that way.
//!
//! The original keeps the case of the key and lowers Host, so that such a route never matches; the resolver warns of that.

use crate::config::tree::{Node, Parts, Urlmap, UrlmapRoute};

/// Lowers all domains of a tree and puts the routes in matching order again.
pub(super) fn lower(node: &mut Node) {
    match &mut node.parts {
        Parts::Leaf | Parts::Opaque => {}
        Parts::Pipeline { filters, app } => {
            filters.iter_mut().for_each(lower);
            lower(app);
        }
        Parts::Filtered { filter, next } => {
            lower(filter);
            lower(next);
        }
        Parts::Cascade { apps, .. } => apps.iter_mut().for_each(|member| lower(&mut member.app)),
        Parts::Urlmap(map) => {
            let mut changed = false;
            for route in &mut map.routes {
                changed |= lower_route(route);
                lower(&mut route.app);
            }
            if changed {
                sort(map);
            }
            if let Some(member) = &mut map.not_found_app {
                lower(&mut member.app);
            }
        }
    }
}

fn lower_route(route: &mut UrlmapRoute) -> bool {
    let Some(domain) = &mut route.domain else {
        return false;
    };
    let lowered = domain.to_lowercase();
    let changed = lowered != *domain;
    *domain = lowered;
    changed
}

/// Matching order of `paste.urlmap`: by domain, those without one last; then longest prefix first. Of two routes that
/// have become the same, the one that stands later in the file counts, and comes first.
fn sort(map: &mut Urlmap) {
    map.routes.sort_by(|a, b| {
        let key = |route: &UrlmapRoute| route.domain.clone().unwrap_or_else(|| "\u{ff}".to_owned());
        let length = |route: &UrlmapRoute| std::cmp::Reverse(route.prefix.chars().count());
        (key(a), length(a), &a.prefix, std::cmp::Reverse(a.line)).cmp(&(
            key(b),
            length(b),
            &b.prefix,
            std::cmp::Reverse(b.line),
        ))
    });
    map.routes
        .dedup_by(|later, first| later.domain == first.domain && later.prefix == first.prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{app, urlmap};

    #[test]
    fn a_lowered_domain_takes_its_place_in_the_order() {
        let mut map = urlmap(
            "main",
            vec![
                ("Ex.org/", app("a")),
                ("ex.org/long", app("b")),
                ("/", app("c")),
            ],
            None,
        );
        lower(&mut map);
        let Parts::Urlmap(map) = &map.parts else {
            panic!("a urlmap")
        };
        let order: Vec<&str> = map.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(order, ["app:b", "app:a", "app:c"]);
    }
}
