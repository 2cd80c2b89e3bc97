"""From the resolved tree to a WSGI application, in the order and with the calls of Paste Deploy.

As there, all factories of a subtree are imported before the first is called, each reference builds a new instance, and the
members of a composite are imported and built while the composite is. One deliberate difference: `filter-with` around a
pipeline or filter-app is simply applied (there it gives garbage).
"""

import sys

_DEFAULT_PROTOCOL = {
    "application": "paste.app_factory",
    "filter": "paste.filter_factory",
    "server": "paste.server_factory",
}
_COMPOSITES = ("paste.composite_factory", "paste.composit_factory")


class Node:
    """A node of the tree (docs/worker-contract.md), with the factory once it is imported."""

    def __init__(self, raw):
        self.raw = raw
        self.object_type = raw["object_type"]
        self.protocol = raw.get("protocol") or _DEFAULT_PROTOCOL.get(self.object_type)
        self.factory = raw.get("factory")
        self.loader = raw.get("loader")
        self.global_conf = dict(raw.get("global_conf") or {})
        self.local_conf = dict(raw.get("local_conf") or {})
        self.parts = raw.get("parts", "leaf")
        self.origin = raw.get("origin") or {}
        self.object = None
        # Children in the order in which Paste Deploy resolves them.
        self.children = []
        if self.parts == "pipeline":
            self.app = Node(raw["app"])
            self.filters = [Node(item) for item in raw["filters"]]
            self.children = [self.app] + self.filters
        elif self.parts == "filtered":
            self.next = Node(raw["next"])
            self.filter = Node(raw["filter"])
            self.children = [self.next, self.filter]

    @property
    def title(self):
        """How the user wrote it: `[app:blog]`."""
        section = self.origin.get("section")
        if section:
            return "[%s]" % section
        factory = self.factory or {}
        if factory.get("distribution"):
            return "egg:%s#%s" % (factory["distribution"], factory.get("name") or "main")
        return factory.get("target") or self.object_type

    @property
    def is_filter(self):
        """Whether it builds a filter; a filtered object is what it filters."""
        if self.parts == "filtered" and self.object_type == "filtered_with":
            return self.next.is_filter
        return self.object_type == "filter"


class Failure:
    """Where a start failed: `error` came up at `stage` ("import", "attribute" or "call") of `node`."""

    def __init__(self, error, node, stage):
        self.error = error
        self.node = node
        self.stage = stage


class Builder:
    """Builds nodes. `status` is told each step; `resolve(loader, kind, name, global_conf)` answers composites."""

    def __init__(self, status, resolve):
        self._status = status
        self.resolve = resolve
        self._modules = set()
        self.failure = None

    def create(self, node):
        """The object that `node` stands for. Errors pass as they are; `failure` says where they came up."""
        self._import(node)
        return self._build(node)

    # Importing

    def _import(self, node):
        for child in node.children:
            self._import(child)
        if node.factory is not None and node.parts in ("leaf", "opaque"):
            node.object = self._import_factory(node)

    def _import_factory(self, node):
        module_name, attributes = split_target(node.factory)
        if module_name not in self._modules:
            self._modules.add(module_name)
            if module_name not in sys.modules:
                self._status("importing " + module_name)
        with self._watch(node, "import"):
            __import__(module_name)
            found = sys.modules[module_name]
        with self._watch(node, "attribute"):
            for name in attributes:
                found = getattr(found, name)
        return found

    # Building

    def _build(self, node):
        if node.parts == "pipeline":
            app = self._build(node.app)
            filters = [self._build(item) for item in node.filters]
            for wrapper, item in zip(reversed(filters), reversed(node.filters)):
                app = self._apply(item, wrapper, app)
            return app
        if node.parts == "filtered":
            return self._build_filtered(node)
        self._status("building " + node.title)
        if node.parts in ("urlmap", "cascade"):
            from . import stock

            with self._watch(node, "call"):
                return (stock.build_urlmap if node.parts == "urlmap" else stock.build_cascade)(node, self._member)
        return self._call(node)

    def _build_filtered(self, node):
        if node.object_type == "filter_app":
            app = self._build(node.next)
            return self._apply(node.filter, self._build(node.filter), app)
        wrapper = self._build(node.filter)
        inner = self._build(node.next)
        if not node.next.is_filter:
            return self._apply(node.filter, wrapper, inner)
        return lambda app: self._apply(node.filter, wrapper, self._apply(node.next, inner, app))

    def _member(self, raw):
        return self.create(Node(raw))

    def _apply(self, node, wrapper, app):
        with self._watch(node, "call"):
            return wrapper(app)

    def _call(self, node):
        factory, protocol = node.object, node.protocol
        with self._watch(node, "call"):
            if protocol in ("paste.app_factory", "paste.filter_factory", "paste.server_factory"):
                return factory(node.global_conf, **node.local_conf)
            if protocol in ("paste.filter_app_factory", "paste.filter-app_factory", "paste.server_runner"):
                return lambda app: factory(app, node.global_conf, **node.local_conf)
            if protocol in _COMPOSITES:
                from .composite import Loader

                return factory(Loader(self, node.loader), node.global_conf, **node.local_conf)
            raise AssertionError("Protocol %r unknown" % (protocol,))

    def _watch(self, node, stage):
        return _Watch(self, node, stage)


class _Watch:
    """Notes where an exception came up first, and lets it pass: composites catch what their members raise."""

    def __init__(self, builder, node, stage):
        self._builder = builder
        self._node = node
        self._stage = stage

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        known = self._builder.failure
        if error is not None and (known is None or known.error is not error):
            self._builder.failure = Failure(error, self._node, self._stage)


def split_target(factory):
    """(module, attribute names) of a factory's `module:attr`.

    `call:` looks up one attribute, dots included, as Paste Deploy does; everything else follows dots. Extras are dropped.
    """
    target = factory.get("target") or ""
    module, _, attribute = target.partition(":")
    attribute = attribute.partition("[")[0].strip()
    if not attribute:
        return module.strip(), []
    return module.strip(), [attribute] if factory.get("via") == "call" else attribute.split(".")
