"""Why an app could not be built: for the log in full, for the supervisor in a line."""

import sys
import traceback

from .loader import split_target


def log(text, stream=None):
    """Writes to `stream` (else stderr) as far as it is there: an app may have closed it, the reader may have gone."""
    try:
        print(text, file=stream or sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass


def format_exception(error):
    """The traceback of `error` as text, without our own frames and the import machinery's."""
    _trim(error, set())
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


class Report:
    """The message on a failed start: what, where, what next."""

    def __init__(self, summary, place=None, hint=None):
        self.summary = summary
        self.place = place
        self.hint = hint

    def __str__(self):
        lines = ["error: " + self.summary]
        if self.place:
            lines.append("  --> " + self.place)
        if self.hint:
            lines.append("hint: " + self.hint)
        return "\n".join(lines)


def explain(failure):
    """The report on a `loader.Failure`."""
    node = failure.node
    cause, hint, place = _cause(failure)
    return Report("cannot build %s: %s" % (node.title, cause), place or place_of(node), hint)


def place_of(node):
    """`/srv/site.ini:21 (use = egg:Blog#main)`, or None for what was written nowhere."""
    origin = node.origin
    if not origin.get("file"):
        return None
    line = origin.get("factory_line") or origin.get("line")
    place = origin["file"] + (":%d" % line if line else "")
    written = _written(node.factory, node.protocol)
    return "%s (%s)" % (place, written) if written else place


def _written(factory, protocol):
    if not factory:
        return None
    target = factory.get("target")
    via = factory.get("via")
    if via == "explicit":
        return "%s = %s" % (protocol, target)
    if via == "egg" and factory.get("distribution"):
        return "use = egg:%s#%s" % (factory["distribution"], factory.get("name") or "main")
    return "use = call:%s" % target if via == "call" else "use = %s" % target


def _cause(failure):
    """(cause, hint, place) where place is None for the place of the node."""
    node, error, stage = failure.node, failure.error, failure.stage
    module, attributes = split_target(node.factory or {})
    target = (node.factory or {}).get("target") or node.title
    if isinstance(error, SystemExit):
        where = "importing `%s`" % module if stage == "import" else "factory `%s`" % target
        return "%s called sys.exit(%r)" % (where, error.code), "an app must not end the process that hosts it", None
    if isinstance(error, SyntaxError) and error.filename:
        place = place_of(node)
        hint = "imported for %s" % place if place else None
        return "%s: %s" % (type(error).__name__, error.msg), hint, "%s:%s" % (error.filename, error.lineno or 0)
    if stage == "import":
        if isinstance(error, ModuleNotFoundError) and error.name:
            wanted = module == error.name or module.startswith(error.name + ".")
            cause = "module '%s' cannot be imported" % module
            if not wanted:
                cause += ": it needs '%s', which is not installed" % error.name
            return cause, _where_searched(error.name), None
        return "importing '%s' raised %s" % (module, _one_line(error)), None, None
    if stage == "attribute":
        missing = ".".join(attributes)
        return "module '%s' has no '%s'" % (module, missing), _similar(module, attributes), None
    if isinstance(error, TypeError) and _raised_by_the_call(error):
        mismatch = _mismatch(node)
        return "factory `%s` cannot be called with this configuration: %s" % (target, error), mismatch, None
    if isinstance(error, LookupError) and node.parts == "opaque":
        return "composite `%s` raised %s" % (target, _one_line(error)), None, None
    return "factory `%s` raised %s" % (target, _one_line(error)), None, None


def _one_line(error):
    text = " ".join(str(error).split())
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def _where_searched(name):
    lines = ["`%s` was searched by %s in" % (name, sys.executable or "this interpreter")]
    lines.extend("        " + (entry or ".") for entry in sys.path)
    return "\n".join(lines)


def _similar(module, attributes):
    import difflib

    found = dir(sys.modules.get(module))
    close = difflib.get_close_matches(attributes[0], found, 1) if attributes else []
    return "did you mean '%s:%s'?" % (module, close[0]) if close else None


def _mismatch(node):
    """What was given and what is wanted, for a factory that rejected its arguments."""
    import inspect

    given = sorted(node.local_conf)
    lines = ["given: global_conf" + "".join(", " + name for name in given)]
    try:
        signature = inspect.signature(node.object)
    except (TypeError, ValueError):
        return lines[0]
    parameters = list(signature.parameters.values())
    lines.append("      wanted: %s" % signature)
    names = [item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]
    if not any(item.kind == item.VAR_KEYWORD for item in parameters):
        unknown = [name for name in given if name not in names]
        if unknown:
            lines.append("      not accepted: " + ", ".join(unknown))
    before = 2 if node.protocol in _TWO_POSITIONAL else 1
    missing = [
        item.name
        for item in parameters[before:]
        if item.default is item.empty and item.name in names and item.name not in node.local_conf
    ]
    if missing:
        lines.append("      missing: " + ", ".join(missing))
    return "\n".join(lines)


_TWO_POSITIONAL = ("paste.composite_factory", "paste.composit_factory", "paste.filter_app_factory", "paste.server_runner")


def _raised_by_the_call(error):
    """Whether the call itself was refused, so that no frame of the factory ran."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return _is_ours(trace.tb_frame)


def _is_ours(frame):
    return frame.f_globals.get("__name__", "").startswith("paster_worker.")


def _is_noise(frame):
    return _is_ours(frame) or frame.f_code.co_filename.startswith("<frozen importlib")


def _trim(error, seen):
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        kept = []
        trace = error.__traceback__
        while trace is not None:
            if not _is_noise(trace.tb_frame):
                kept.append(trace)
            trace = trace.tb_next
        for first, second in zip(kept, kept[1:] + [None]):
            first.tb_next = second
        error.__traceback__ = kept[0] if kept else None
        _trim(error.__context__, seen)
        error = error.__cause__
