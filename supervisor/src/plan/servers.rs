//! The servers that people name in `[server:main]`, and what their options mean.

use crate::config::tree::Node;

/// A server as far as its address is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// For messages.
    pub(super) name: &'static str,
    pub(super) host: &'static str,
    pub(super) port: u16,
    /// The option with the size of its thread pool.
    pub(super) threads: Option<&'static str>,
    pub(super) speech: Speech,
}

/// How a server's addresses are written, or why there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// `host` and `port` only.
    Plain,
    /// `listen`, `unix_socket`, `unix_socket_perms` as well, with waitress's meaning.
    Waitress,
    /// `bind` and `workers` as well, with gunicorn's meaning.
    Gunicorn,
    /// Nobody we know: all of the above, as far as they make sense.
    Unknown,
    /// Not HTTP: the proxy cannot stand in for it.
    Foreign(&'static str),
}

const fn plain(name: &'static str, host: &'static str, threads: Option<&'static str>) -> Server {
    Server {
        name,
        host,
        port: 8080,
        threads,
        speech: Speech::Plain,
    }
}

const fn foreign(name: &'static str, protocol: &'static str) -> Server {
    Server {
        name,
        host: "",
        port: 0,
        threads: None,
        speech: Speech::Foreign(protocol),
    }
}

/// What is known, by factory target. The defaults are those of the servers.
const SERVERS: &[(&str, Server)] = &[
    (
        "paste.httpserver:server_runner",
        plain("egg:Paste#http", "127.0.0.1", Some("threadpool_workers")),
    ),
    (
        "paste.script.wsgiutils_server:run_server",
        plain("egg:PasteScript#wsgiutils", "localhost", None),
    ),
    (
        "paste.script.cherrypy_server:cpwsgi_server",
        plain("egg:PasteScript#cherrypy", "127.0.0.1", Some("numthreads")),
    ),
    (
        "pyramid.scripts.pserve:wsgiref_server_runner",
        plain("egg:pyramid#wsgiref", "0.0.0.0", None),
    ),
    (
        "pyramid.scripts.pserve:cherrypy_server_runner",
        plain("egg:pyramid#cherrypy", "127.0.0.1", Some("numthreads")),
    ),
    (
        "waitress:serve_paste",
        Server {
            name: "egg:waitress#main",
            host: "0.0.0.0",
            port: 8080,
            threads: Some("threads"),
            speech: Speech::Waitress,
        },
    ),
    (
        "gunicorn.app.pasterapp:serve",
        Server {
            name: "egg:gunicorn#main",
            host: "127.0.0.1",
            port: 8000,
            threads: Some("threads"),
            speech: Speech::Gunicorn,
        },
    ),
    (
        "paste.script.cgi_server:paste_run_cgi",
        foreign("egg:PasteScript#cgi", "CGI"),
    ),
    (
        "paste.script.flup_server:run_ajp_fork",
        foreign("egg:PasteScript#flup_ajp_fork", "AJP"),
    ),
    (
        "paste.script.flup_server:run_ajp_thread",
        foreign("egg:PasteScript#flup_ajp_thread", "AJP"),
    ),
    (
        "paste.script.flup_server:run_fcgi_fork",
        foreign("egg:PasteScript#flup_fcgi_fork", "FastCGI"),
    ),
    (
        "paste.script.flup_server:run_fcgi_thread",
        foreign("egg:PasteScript#flup_fcgi_thread", "FastCGI"),
    ),
    (
        "paste.script.flup_server:run_scgi_fork",
        foreign("egg:PasteScript#flup_scgi_fork", "SCGI"),
    ),
    (
        "paste.script.flup_server:run_scgi_thread",
        foreign("egg:PasteScript#flup_scgi_thread", "SCGI"),
    ),
];

/// A server that is not in the list.
const UNKNOWN: Server = Server {
    name: "",
    host: "127.0.0.1",
    port: 8080,
    threads: Some("threads"),
    speech: Speech::Unknown,
};

/// The server that a node names.
pub(super) fn server(node: &Node) -> Server {
    let target = node
        .factory
        .as_ref()
        .map_or("", |factory| factory.target.as_str());
    SERVERS
        .iter()
        .find(|(known, _)| *known == target)
        .map_or(UNKNOWN, |(_, server)| *server)
}
