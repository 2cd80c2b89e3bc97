//! Distributions whose entry points paster knows itself, so that they need not be installed:
//! what the proxy does in their place.

use super::metadata::{Distribution, normalize};

type EntryPoints = &'static [(&'static str, &'static str, &'static str)];

const PASTE: EntryPoints = &[
    (
        "paste.composite_factory",
        "urlmap",
        super::tree::URLMAP_TARGET,
    ),
    (
        "paste.composite_factory",
        "cascade",
        super::tree::CASCADE_TARGET,
    ),
    ("paste.app_factory", "static", super::tree::STATIC_TARGET),
    (
        "paste.server_runner",
        "http",
        "paste.httpserver:server_runner",
    ),
];
const PASTE_SCRIPT: EntryPoints = &[
    (
        "paste.server_runner",
        "wsgiutils",
        "paste.script.wsgiutils_server:run_server",
    ),
    (
        "paste.server_runner",
        "cherrypy",
        "paste.script.cherrypy_server:cpwsgi_server",
    ),
    (
        "paste.server_runner",
        "cgi",
        "paste.script.cgi_server:paste_run_cgi",
    ),
    (
        "paste.server_runner",
        "flup_fcgi_thread",
        "paste.script.flup_server:run_fcgi_thread",
    ),
    (
        "paste.server_runner",
        "flup_fcgi_fork",
        "paste.script.flup_server:run_fcgi_fork",
    ),
    (
        "paste.server_runner",
        "flup_scgi_thread",
        "paste.script.flup_server:run_scgi_thread",
    ),
    (
        "paste.server_runner",
        "flup_scgi_fork",
        "paste.script.flup_server:run_scgi_fork",
    ),
    (
        "paste.server_runner",
        "flup_ajp_thread",
        "paste.script.flup_server:run_ajp_thread",
    ),
    (
        "paste.server_runner",
        "flup_ajp_fork",
        "paste.script.flup_server:run_ajp_fork",
    ),
    (
        "paste.server_runner",
        "twisted",
        "paste.script.twisted_web2_server:run_twisted",
    ),
];
const WAITRESS: EntryPoints = &[("paste.server_runner", "main", "waitress:serve_paste")];
const GUNICORN: EntryPoints = &[(
    "paste.server_runner",
    "main",
    "gunicorn.app.pasterapp:serve",
)];
const PYRAMID: EntryPoints = &[
    (
        "paste.server_runner",
        "wsgiref",
        "pyramid.scripts.pserve:wsgiref_server_runner",
    ),
    (
        "paste.server_runner",
        "cherrypy",
        "pyramid.scripts.pserve:cherrypy_server_runner",
    ),
];

/// The server types of PasteScript: entry points that `paster serve --server` can name.
pub(crate) fn server_types() -> impl Iterator<Item = &'static str> {
    PASTE_SCRIPT.iter().map(|(_, name, _)| *name)
}

/// The distribution of that name (any spelling), if it is one of these.
pub(crate) fn find(name: &str) -> Option<Distribution> {
    let (name, entry_points) = match normalize(name).as_str() {
        "paste" => ("Paste", PASTE),
        "pastescript" => ("PasteScript", PASTE_SCRIPT),
        "waitress" => ("waitress", WAITRESS),
        "gunicorn" => ("gunicorn", GUNICORN),
        "pyramid" => ("pyramid", PYRAMID),
        _ => return None,
    };
    Some(Distribution::known(name, entry_points))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_urlmap_is_there_under_any_spelling() {
        let paste = find("PASTE").expect("Paste");
        let urlmap = paste
            .entry_point("paste.composite_factory", "urlmap")
            .expect("readable");
        assert_eq!(urlmap.as_deref(), Some(super::super::tree::URLMAP_TARGET));
    }

    #[test]
    fn other_distributions_are_not() {
        assert!(find("PasteDeploy").is_none());
    }
}
