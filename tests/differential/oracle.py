"""Asks the original: what does a configuration resolve to, where does a urlmap send a request?

One JSON object per line in, one per line out, in order, so that one interpreter answers a whole test run.
Needs PasteDeploy and Paste; nothing that a configuration names is ever imported.

    {"resolve": {"uri", "directory", "name", "kind", "global_conf", "path"}}  ->  {"context": NODE or ERROR}
        relative URIs start in `directory`; `path` goes in front of sys.path, for distributions of the case

    {"urlmap": {"keys": [...], "not_found": bool}, "requests": [{"host", "scheme", "path_info", "script_name"}]}
        ->  {"order": [{"domain", "prefix", "app"}], "answers": [{"app", "script_name", "path_info"} or ERROR]}
        or ERROR; `keys` as in an INI file, each names its app; texts of a request are WSGI strings (Latin-1)

ERROR is {"error": exception class, "message": text}.
"""

import importlib
import importlib.metadata
import json
import sys

from paste.cascade import make_cascade
from paste.deploy import loadwsgi
from paste.urlmap import URLMap, parse_path_expression, urlmap_factory

# Only a cycle nests deeper: a urlmap whose route leads back to itself is no cycle to the loader.
DEEPEST = 60


class Reference:
    """What a configuration names, in place of the imported object."""

    def __init__(self, via, target, **more):
        self.target = target
        self.description = {"via": via, "target": target, **more}


def reference_of_entry_point(point):
    # A value outside the grammar gives no match, and the same AttributeError as in the library.
    module, attribute = point.pattern.match(point.value).group("module", "attr")
    target = f"{module}:{attribute}" if attribute else module
    if point.name is None:
        return Reference("explicit", target)
    return Reference("egg", target, group=point.group, name=point.name)


def reference_of_call(spec):
    module, *attributes = spec.split(":")
    if len(attributes) > 1:
        raise ValueError(f"more than one colon in {spec!r}")
    attribute = "".join(attributes)
    if "." in attribute:
        # The library looks up one attribute, whose name would contain a dot.
        raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
    return Reference("call", f"{module}:{attribute}" if attribute else module)


importlib.metadata.EntryPoint.load = reference_of_entry_point
loadwsgi.lookup_object = reference_of_call


def error(problem):
    return {"error": type(problem).__name__, "message": str(problem)}


class TooDeep(Exception):
    pass


class Member:
    """Given to urlmap and cascade as an app: remembers what was asked for."""

    def __init__(self, name, context):
        self.name = name
        self.context = context

    def describe(self, depth):
        return {"name": self.name, "app": describe(self.context, depth)}


class MemberLoader:
    """Resolves like the loader of a composite, and builds nothing."""

    def __init__(self, loader):
        self.loader = loader

    def get_app(self, name=None, global_conf=None):
        return Member(name, self.loader.app_context(name=name, global_conf=global_conf))


def describe_urlmap(context, depth):
    made = urlmap_factory(MemberLoader(context.loader), context.global_conf, **context.local_conf)
    routes = [
        {"domain": domain, "prefix": prefix, **member.describe(depth)}
        for (domain, prefix), member in made.applications
    ]
    missing = made.not_found_application
    return {"routes": routes, "not_found_app": missing.describe(depth) if isinstance(missing, Member) else None}


def describe_cascade(context, depth):
    made = make_cascade(MemberLoader(context.loader), context.global_conf, **context.local_conf)
    return {"catch": sorted(made.catch_codes), "apps": [member.describe(depth) for member in made.apps]}


STOCK = {
    "paste.urlmap:urlmap_factory": ("urlmap", describe_urlmap),
    "paste.cascade:make_cascade": ("cascade", describe_cascade),
}

LOADERS = {
    loadwsgi.ConfigLoader: lambda loader: {"kind": "config", "file": loader.filename},
    loadwsgi.EggLoader: lambda loader: {"kind": "egg", "spec": loader.spec},
    loadwsgi.FuncLoader: lambda loader: {"kind": "call", "spec": loader.spec},
}


def describe(context, depth=0):
    """A context as a NODE; the levels below a stock composite count as its children."""
    if depth > DEEPEST:
        raise TooDeep
    below = depth + 1
    reference = context.object
    node = {
        "object_type": context.object_type.name,
        "protocol": context.protocol,
        "factory": None,
        "loader": LOADERS[type(context.loader)](context.loader),
        "global_conf": dict(context.global_conf),
        "local_conf": dict(context.local_conf),
    }
    if isinstance(reference, Reference):
        node["factory"] = dict(reference.description)
        if context.distribution is not None:
            node["factory"]["distribution"] = context.distribution.metadata["Name"]
    if context.object_type is loadwsgi.PIPELINE:
        node["filters"] = [describe(each, below) for each in context.filter_contexts]
        node["app"] = describe(context.app_context, below)
    elif context.object_type in (loadwsgi.FILTER_APP, loadwsgi.FILTER_WITH):
        node["filter"] = describe(context.filter_context, below)
        node["next"] = describe(context.next_context, below)
    elif context.protocol in ("paste.composite_factory", "paste.composit_factory"):
        stock = STOCK.get(reference.target) if isinstance(reference, Reference) else None
        if stock is None:
            node["opaque"] = True
        else:
            member, make = stock
            try:
                node[member] = make(context, below)
            except TooDeep:
                raise
            except Exception as problem:
                node[member] = error(problem)  # also a cycle below one member
    return node


KINDS = {"app": loadwsgi.APP, "filter": loadwsgi.FILTER, "server": loadwsgi.SERVER}


def resolve(case):
    uri = case["uri"]
    before_colon, colon, _ = uri.partition(":")
    # As on the command line: two letters at least, or it is a path.
    is_uri = colon and len(before_colon) > 1 and before_colon.isascii() and before_colon.isalpha()
    saved = list(sys.path)
    sys.path[:0] = case.get("path", [])
    importlib.invalidate_caches()
    try:
        context = loadwsgi.loadcontext(
            KINDS[case.get("kind", "app")],
            uri if is_uri else "config:" + uri,
            name=case.get("name"),
            relative_to=case["directory"],
            global_conf=case.get("global_conf") or None,
        )
        return {"context": describe(context)}
    except (TooDeep, RecursionError):
        return {"context": {"error": "RecursionError", "message": "the configuration refers to itself"}}
    except Exception as problem:
        return {"context": error(problem)}
    finally:
        sys.path[:] = saved


def answering_app(name, log):
    def app(environ, start_response):
        log.append({"app": name, "script_name": environ["SCRIPT_NAME"], "path_info": environ["PATH_INFO"]})
        return []

    return app


def map_requests(keys, not_found, requests):
    log = []
    try:
        mapping = URLMap(not_found_app=answering_app("NOT FOUND", log) if not_found else None)
        names = {}
        for key in keys:
            app = answering_app(key, log)
            names[app] = key
            mapping[parse_path_expression(key)] = app
    except Exception as problem:
        return error(problem)
    answers = []
    for request in requests:
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": request["script_name"],
            "PATH_INFO": request["path_info"],
            "SERVER_NAME": "",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": request["scheme"],
            "HTTP_HOST": request["host"],
        }
        log.clear()
        try:
            list(mapping(environ, lambda status, headers, exc_info=None: None))
        except Exception as problem:
            answers.append(error(problem))
            continue
        nobody = {"app": None, "script_name": environ["SCRIPT_NAME"], "path_info": environ["PATH_INFO"]}
        answers.append(log[0] if log else nobody)
    order = [{"domain": d, "prefix": p, "app": names[app]} for (d, p), app in mapping.applications]
    return {"order": order, "answers": answers}


def main():
    for line in sys.stdin:
        case = json.loads(line)
        if "resolve" in case:
            answer = resolve(case["resolve"])
        else:
            answer = map_requests(case["urlmap"]["keys"], case["urlmap"]["not_found"], case["requests"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
