"""What a Python composite gets as `loader`: members are resolved by paster and built here."""

from .loader import Node


class Loader:
    """`get_app`, `get_filter`, `get_server` and the `*_context` of Paste Deploy's loaders.

    `name` is a section name or a URI; without `global_conf` the member gets the file's own globals only.
    """

    def __init__(self, builder, spec):
        self._builder = builder
        self._spec = spec
        self.spec = (spec or {}).get("spec")
        self.filename = (spec or {}).get("file")

    def get_app(self, name=None, global_conf=None):
        return self.app_context(name, global_conf).create()

    def get_filter(self, name=None, global_conf=None):
        return self.filter_context(name, global_conf).create()

    def get_server(self, name=None, global_conf=None):
        return self.server_context(name, global_conf).create()

    def app_context(self, name=None, global_conf=None):
        return self._context("app", name, global_conf)

    def filter_context(self, name=None, global_conf=None):
        return self._context("filter", name, global_conf)

    def server_context(self, name=None, global_conf=None):
        return self._context("server", name, global_conf)

    def absolute_name(self, name):
        """Whether `name` is a URI."""
        scheme, colon, _ = (name or "").partition(":")
        return bool(colon) and scheme.isascii() and scheme.isalpha()

    def _context(self, kind, name, global_conf):
        conf = None if global_conf is None else {key: _as_text(value) for key, value in global_conf.items()}
        return Context(self._builder, Node(self._builder.resolve(self._spec, kind, name, conf)))


class Context:
    """A resolved member that is not built yet."""

    def __init__(self, builder, node):
        self._builder = builder
        self._node = node
        self.object_type = node.object_type
        self.protocol = node.protocol
        self.global_conf = node.global_conf
        self.local_conf = node.local_conf
        self.loader = Loader(builder, node.loader)

    def create(self):
        """A new instance."""
        return self._builder.create(self._node)

    def config(self):
        """Globals overlaid with locals."""
        return dict(self.global_conf, **self.local_conf)


class Resolver:
    """Asks paster's resolver, a program that reads a question and prints an answer, both in JSON."""

    def __init__(self, argv):
        self._argv = argv

    def __call__(self, loader, kind, name, global_conf):
        """The node. What the resolver reports is raised as the class that Paste Deploy would raise."""
        import json
        import subprocess

        if not self._argv:
            raise LookupError("%s %r cannot be resolved: the configuration names no resolver" % (kind, name))
        question = {"loader": loader, "kind": kind, "name": name, "global_conf": global_conf}
        done = subprocess.run(self._argv, input=json.dumps(question).encode("utf-8"), stdout=subprocess.PIPE)
        try:
            answer = json.loads(done.stdout.decode("utf-8"))
            if "node" in answer:
                return answer["node"]
            error, message = answer["error"], answer["message"]
        except (ValueError, KeyError, TypeError):
            raise LookupError(
                "%s %r cannot be resolved: %s ended with status %d and no answer" % (kind, name, self._argv[0], done.returncode)
            ) from None
        raise exception(error, message)


def exception(name, message):
    """An exception of the class called `name`, or a LookupError for classes that cannot be made from a text alone."""
    import builtins
    import configparser

    kind = getattr(builtins, name, None) or getattr(configparser, name, None)
    if name == "PackageNotFoundError":
        kind = ModuleNotFoundError
    if isinstance(kind, type) and issubclass(kind, configparser.Error):
        error = kind.__new__(kind)  # the constructors want the pieces of the message
        configparser.Error.__init__(error, message)
        return error
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
        try:
            return kind(message)
        except TypeError:
            pass
    if name.startswith("Unicode"):
        return UnicodeError(message)
    return LookupError("%s: %s" % (name, message))


def _as_text(value):
    return value if isinstance(value, str) else str(value)
