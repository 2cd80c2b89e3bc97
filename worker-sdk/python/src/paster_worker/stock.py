"""The stock composites of Paste, `egg:Paste#urlmap` and `egg:Paste#cascade`, from routes and members that are resolved.

Where Paste can be imported its classes are used (programs find them in environ and change them); otherwise our own, which
answer the same. Deliberate differences, with both: prefixes are compared as the UTF-8 bytes they were written in, domains
without regard to case, and the page for "not found" tells nobody which routes exist.
"""


def build_urlmap(node, member):
    """The map of `node`; `member(tree)` builds an app. Apps are built in file order, matched in the order given."""
    not_found = node.raw.get("not_found_app")
    not_found = member(not_found["app"]) if not_found else not_found_app
    routes = node.raw["routes"]
    apps = {}
    for index in sorted(range(len(routes)), key=lambda index: routes[index].get("line") or 0):
        apps[index] = member(routes[index]["app"])
    applications = []
    for index, route in enumerate(routes):
        domain = route.get("domain")
        prefix = route["prefix"].encode("utf-8", "surrogateescape").decode("latin-1")
        applications.append(((domain.lower() if domain else domain, prefix), apps[index]))
    kind = _stock("paste.urlmap", "URLMap") or URLMap
    urlmap = kind(not_found_app=not_found)
    urlmap.applications = applications
    return urlmap


def build_cascade(node, member):
    """The cascade of `node`; `member(tree)` builds an app."""
    apps = [member(item["app"]) for item in node.raw["apps"]]
    kind = _stock("paste.cascade", "Cascade") or Cascade
    return kind(apps, catch=tuple(node.raw["catch"]))


def not_found_app(environ, start_response):
    """404 that discloses nothing."""
    body = b"404 Not Found\n\nThe resource could not be found.\n"
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


class URLMap:
    """Dispatches by host and longest prefix; moves the prefix from PATH_INFO to SCRIPT_NAME."""

    def __init__(self, not_found_app=not_found_app):
        self.applications = []
        self.not_found_application = not_found_app

    def __call__(self, environ, start_response):
        host = (environ.get("HTTP_HOST") or environ.get("SERVER_NAME") or "").lower()
        if ":" in host:
            host, port = host.split(":", 1)
        else:
            port = "80" if environ["wsgi.url_scheme"] == "http" else "443"
        path = collapse(environ.get("PATH_INFO", ""))
        for (domain, prefix), app in self.applications:
            if domain and domain != host and domain != host + ":" + port:
                continue
            if path == prefix or path.startswith(prefix + "/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                return app(environ, start_response)
        environ["paste.urlmap_object"] = self
        return self.not_found_application(environ, start_response)


def collapse(path):
    """PATH_INFO as the map compares it: an absolute URL loses its host, runs of `/` become one."""
    for scheme in ("http://", "https://"):
        if path.startswith(scheme):
            _, slash, rest = path[len(scheme) :].partition("/")
            path = slash + rest
    while "//" in path:
        path = path.replace("//", "/")
    return path


class Cascade:
    """Tries one app after the other until one answers with a status that is not in `catch`; the last one's answer is final."""

    def __init__(self, applications, catch=(404,)):
        self.apps = applications
        self.catch = frozenset(catch)

    def __call__(self, environ, start_response):
        body = _rewindable(environ)
        for app in self.apps[:-1]:
            caught = []

            def try_start_response(status, headers, exc_info=None, caught=caught):
                if int(status.split(None, 1)[0]) in self.catch:
                    caught.append(status)
                    return lambda data: None
                return start_response(status, headers, exc_info)

            result = app(environ.copy(), try_start_response)
            if not caught:
                return result
            try:
                for _ in result:
                    pass
            finally:
                if hasattr(result, "close"):
                    result.close()
            if body is not None:
                body.seek(0)
        return self.apps[-1](environ, start_response)


def _rewindable(environ):
    """Puts the request body where it can be read again: in memory, or above 64 KiB in a temporary file."""
    if not environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in environ:
        return None
    import shutil
    import tempfile

    body = tempfile.SpooledTemporaryFile(max_size=65536)
    shutil.copyfileobj(environ["wsgi.input"], body)
    body.seek(0)
    environ["wsgi.input"] = body
    return body


def _stock(module, name):
    """The class of Paste, or None where Paste is not installed."""
    try:
        return getattr(__import__(module, fromlist=[name]), name)
    except ModuleNotFoundError as error:
        if error.name in ("paste", module):
            return None
        raise
