//! What is known about the factories of Paste, PasteDeploy and the servers that people use with them.

/// Stock filters that can be built again in each app below a urlmap without changing any answer: they neither choose
/// where a request goes, nor answer it themselves, nor look at or change SCRIPT_NAME, PATH_INFO or Host, nor keep state
/// that outlives a request. All others tie what is below them together: `prefix` changes path and host before the map
/// sees them; `auth_*`, `openid`, `evalerror`, `pony` and `cowbell` answer on paths of their own or keep sessions;
/// `recursive` and `errordocument` send requests back through the map; `paste_session`, `flup_session` and `profile`
/// keep state in the process.
///
/// Factory target, and the name that the documentation gives it.
pub const FANS_OUT: &[(&str, &str)] = &[
    ("paste.auth.grantip:make_grantip", "egg:Paste#grantip"),
    (
        "paste.cgitb_catcher:make_cgitb_middleware",
        "egg:Paste#cgitb",
    ),
    ("paste.config:make_config_filter", "egg:Paste#config"),
    (
        "paste.debug.prints:PrintDebugMiddleware",
        "egg:Paste#printdebug",
    ),
    (
        "paste.debug.wdg_validate:make_wdg_validate_middleware",
        "egg:Paste#wdg_validate",
    ),
    (
        "paste.deploy.config:make_config_filter",
        "egg:PasteDeploy#config",
    ),
    (
        "paste.exceptions.errormiddleware:make_error_middleware",
        "egg:Paste#error_catcher",
    ),
    ("paste.gzipper:make_gzip_middleware", "egg:Paste#gzip"),
    (
        "paste.httpexceptions:make_middleware",
        "egg:Paste#httpexceptions",
    ),
    ("paste.lint:make_middleware", "egg:Paste#lint"),
    ("paste.registry:make_registry_manager", "egg:Paste#registry"),
    ("paste.translogger:make_filter", "egg:Paste#translogger"),
];

/// Whether the filter of this factory target is one of [`FANS_OUT`].
pub fn fans_out(target: &str) -> bool {
    FANS_OUT.iter().any(|(known, _)| *known == target)
}
