//! Filters above a urlmap: may they be built again in each app below?

use super::cut::title;
use super::keys::FanOut;
use super::stock;
use crate::config::tree::{Node, Parts};

/// What stands above a node's map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no urlmap below filters alone.
    NoMap,
    /// Every filter may be built again.
    FansOut,
    /// Why everything below must stay together.
    Blocked { why: String },
}

/// Looks at a pipeline, filter-app or `filter-with` whose innermost app is a urlmap.
pub(super) fn above_a_map(node: &Node, fan_out: FanOut) -> Verdict {
    let mut filters = Vec::new();
    let mut inner = node;
    while let Some((around, next)) = layer(inner) {
        filters.extend(around);
        inner = next;
    }
    if !matches!(inner.parts, Parts::Urlmap(_)) || filters.is_empty() {
        return Verdict::NoMap;
    }
    let blocking = filters
        .iter()
        .flat_map(|filter| plain(filter))
        .find(|filter| !harmless(filter));
    match (fan_out, blocking) {
        (FanOut::On, _) | (FanOut::Auto, None) => Verdict::FansOut,
        (FanOut::Off, _) => Verdict::Blocked {
            why: format!(
                "`fan_out = off`: filter `{}` and everything below it stay in one process",
                title(filters.first().copied().unwrap_or(node))
            ),
        },
        (FanOut::Auto, Some(filter)) => Verdict::Blocked {
            why: format!(
                "filter `{}`{} stands above a urlmap and may route, answer or share state, so everything below it stays in \
                 one process; `fan_out = on` in [isolate] cuts all the same",
                title(filter),
                filter
                    .factory
                    .as_ref()
                    .map(|factory| format!(" ({})", factory.target))
                    .unwrap_or_default()
            ),
        },
    }
}

/// The filters of one layer, and what is below.
pub(super) fn layer(node: &Node) -> Option<(Vec<&Node>, &Node)> {
    match &node.parts {
        Parts::Pipeline { filters, app } => Some((filters.iter().collect(), app)),
        Parts::Filtered { filter, next } => Some((vec![filter], next)),
        _ => None,
    }
}

/// A filter that has a filter itself is two filters.
fn plain(filter: &Node) -> Vec<&Node> {
    match &filter.parts {
        Parts::Filtered { filter, next } => plain(filter).into_iter().chain(plain(next)).collect(),
        _ => vec![filter],
    }
}

fn harmless(filter: &Node) -> bool {
    filter
        .factory
        .as_ref()
        .is_some_and(|factory| stock::fans_out(&factory.target))
}
