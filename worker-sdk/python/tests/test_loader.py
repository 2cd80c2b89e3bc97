"""Building trees: order of calls, signatures, structures. In-process."""

import sys
import unittest

import apps
from harness import filter_node, node
from paster_worker.composite import Loader, exception
from paster_worker.loader import Builder, Node, split_target


def call(app, **more):
    environ = {"SCRIPT_NAME": "", "PATH_INFO": "/", "REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "HTTP_HOST": "ex.org"}
    environ.update(more)
    answer = []
    body = b"".join(app(environ, lambda status, headers, exc_info=None: answer.append(status)))
    return answer[0], body.decode()


class Building(unittest.TestCase):
    def setUp(self):
        apps.calls.clear()
        self.steps = []
        self.builder = Builder(self.steps.append, self.resolve)
        self.members = {}
        self.asked = []

    def resolve(self, loader, kind, name, global_conf):
        self.asked.append((loader, kind, name, global_conf))
        if name not in self.members:
            raise exception("LookupError", "No section %r" % name)
        return self.members[name]

    def build(self, raw):
        return self.builder.create(Node(raw))

    def test_an_app_factory_gets_globals_and_options(self):
        app = self.build(node("apps:named", local_conf={"name": "n", "x": "1"}, global_conf={"debug": "true"}))
        self.assertEqual(app.conf, ({"debug": "true"}, {"x": "1"}))

    def test_every_way_of_naming_a_factory_works(self):
        for via, target in (
            ("explicit", "apps:Holder.Inner.make"),
            ("egg", "apps:Holder.Inner.make"),
            ("egg", "apps:hello [extra]"),
            ("module", "apps:Holder.Inner.make"),
            ("call", "apps:hello"),
        ):
            self.assertEqual(call(self.build(node(target, via=via)))[0], "200 OK")

    def test_call_looks_up_one_attribute_only(self):
        with self.assertRaises(AttributeError):
            self.build(node("apps:Holder.Inner", via="call"))
        self.assertEqual(split_target({"via": "call", "target": "a.b:c.d"}), ("a.b", ["c.d"]))
        self.assertEqual(split_target({"via": "egg", "target": "a.b : c.d [x]"}), ("a.b", ["c", "d"]))

    def test_without_protocol_the_position_tells(self):
        self.assertEqual(call(self.build(node("apps:hello", via="call", protocol=None)))[0], "200 OK")
        wrap = self.build(filter_node("apps:tag_filter", protocol=None, via="call"))
        self.assertIsInstance(wrap(None), apps.Tag)

    def test_an_unknown_protocol_is_an_assertion_error(self):
        with self.assertRaises(AssertionError):
            self.build(node(protocol="paste.nonsense_factory"))

    def test_a_pipeline_builds_the_app_then_filters_in_order_and_wraps_from_the_right(self):
        raw = node(
            None,
            parts="pipeline",
            kind="pipeline",
            protocol=None,
            app=node("apps:named", local_conf={"name": "core"}),
            filters=[
                filter_node("apps:tag_filter", local_conf={"tag": "a"}),
                filter_node("apps:tag_filter", local_conf={"tag": "b"}),
                filter_node("apps:tag_filter_app", protocol="paste.filter_app_factory", local_conf={"tag": "c"}),
            ],
        )
        app = self.build(raw)
        self.assertEqual(apps.calls, ["app core", "filter a", "filter b", "filter_app c", "wrap b", "wrap a"])
        self.assertEqual(call(app)[1], '["core", "a", "b", "c", "", "/"]')

    def test_a_filter_app_builds_the_app_first_and_filter_with_the_filter(self):
        parts = {
            "parts": "filtered",
            "protocol": None,
            "filter": filter_node("apps:tag_filter", local_conf={"tag": "f"}),
            "next": node("apps:named", local_conf={"name": "core"}),
        }
        self.build(node(None, kind="filter_app", **parts))
        self.assertEqual(apps.calls, ["app core", "filter f", "wrap f"])
        apps.calls.clear()
        self.build(node(None, kind="filtered_with", **parts))
        self.assertEqual(apps.calls, ["filter f", "app core", "wrap f"])

    def test_filter_with_on_a_filter_is_outermost(self):
        def filtered(outer, inner):
            return node(None, kind="filtered_with", protocol=None, parts="filtered", filter=outer, next=inner)

        one, two, three = (filter_node("apps:tag_filter", local_conf={"tag": tag}) for tag in "123")
        app = self.build(filtered(filtered(one, filtered(two, three)), node("apps:named")))
        self.assertEqual(call(app)[1], '["?", "1", "2", "3", "", "/"]')

    def test_filter_with_around_pipelines_and_filtered_apps_is_applied(self):
        tag = filter_node("apps:tag_filter", local_conf={"tag": "f"})
        pipeline = node(None, kind="pipeline", protocol=None, parts="pipeline", filters=[tag], app=node("apps:named"))
        filter_app = node(None, kind="filter_app", protocol=None, parts="filtered", filter=tag, next=pipeline)
        outer = node(None, kind="filtered_with", protocol=None, parts="filtered", filter=tag, next=filter_app)
        self.assertEqual(call(self.build(outer))[1], '["?", "f", "f", "f", "", "/"]')

    def test_everything_is_imported_before_anything_is_built(self):
        raw = node(
            None,
            parts="pipeline",
            kind="pipeline",
            protocol=None,
            app=node("apps:named"),
            filters=[filter_node("no_such_module:f")],
        )
        with self.assertRaises(ModuleNotFoundError):
            self.build(raw)
        self.assertEqual(apps.calls, [])
        self.assertEqual((self.builder.failure.stage, self.builder.failure.node.title), ("import", "[filter:f]"))

    def test_the_steps_are_told(self):
        self.build(node("apps:hello", section="app:wiki"))
        self.assertEqual(self.steps, ["building [app:wiki]"])
        sys.modules.pop("wsgiref.simple_server", None)
        self.build(node("wsgiref.simple_server:demo_app", section="app:demo", protocol="paste.filter_app_factory"))
        self.assertEqual(self.steps[1:], ["importing wsgiref.simple_server", "building [app:demo]"])

    # Composites

    def urlmap(self, routes, **more):
        return node("paste.urlmap:urlmap_factory", "composite:main", protocol="paste.composite_factory", parts="urlmap", routes=routes, **more)

    def route(self, prefix, name, line=1, domain=None, **conf):
        return {
            "domain": domain,
            "prefix": prefix,
            "name": name,
            "line": line,
            "app": node("apps:named", local_conf=dict(conf, name=name)),
        }

    def test_a_urlmap_builds_in_file_order_and_matches_in_its_own(self):
        app = self.build(self.urlmap([self.route("/a/b", "ab", 9), self.route("/a", "a", 7), self.route("", "root", 8)]))
        self.assertEqual(apps.calls, ["app a", "app root", "app ab"])
        for path, answer in (
            ("/a", '["a", "/a", ""]'),
            ("//a///b//x//", '["ab", "/a/b", "/x/"]'),
            ("/ab", '["root", "", "/ab"]'),
            ("", '["root", "", ""]'),
            ("http://ex.org/a/x", '["a", "/a", "/x"]'),
        ):
            self.assertEqual(call(app, PATH_INFO=path)[1], answer)

    def test_domains_are_compared_without_case_and_with_port(self):
        app = self.build(self.urlmap([self.route("", "d", domain="Ex.org"), self.route("", "p", domain="b.org:80"), self.route("", "r")]))
        for host, name in (("EX.ORG", "d"), ("ex.org:81", "d"), ("b.org", "p"), ("b.org:81", "r"), ("ex.org.", "r")):
            self.assertIn('["%s"' % name, call(app, HTTP_HOST=host)[1])

    def test_prefixes_match_as_the_bytes_they_were_written_in(self):
        app = self.build(self.urlmap([self.route("/caf\u00e9", "cafe")]))
        self.assertEqual(call(app, PATH_INFO="/caf\xc3\xa9/x")[1], '["cafe", "/caf\\u00c3\\u00a9", "/x"]')

    def test_what_is_not_found_discloses_nothing(self):
        app = self.build(self.urlmap([self.route("/secret", "s")]))
        status, body = call(app, PATH_INFO="/x", HTTP_ACCEPT="text/html")
        self.assertEqual(status, "404 Not Found")
        self.assertNotIn("secret", body)

    def test_a_not_found_app_sees_the_request_unshifted(self):
        other = {"name": "other", "app": node("apps:named", local_conf={"name": "other"})}
        app = self.build(self.urlmap([self.route("/a", "a")], not_found_app=other))
        self.assertEqual(call(app, PATH_INFO="//x")[1], '["other", "", "//x"]')

    def test_a_cascade_goes_on_until_one_answers(self):
        members = [{"name": name, "app": node("apps:named", local_conf={"name": name})} for name in "abc"]
        app = self.build(node("paste.cascade:make_cascade", protocol="paste.composite_factory", parts="cascade", catch=[404], apps=members))
        self.assertIn('["a"', call(app)[1])
        self.assertIn('["b"', call(app, HTTP_X_MISS="a")[1])
        members.pop(), members.pop()
        app = self.build(node("paste.cascade:make_cascade", protocol="paste.composite_factory", parts="cascade", catch=[404], apps=members))
        self.assertEqual(call(app, HTTP_X_MISS="a"), ("404 Not Found", "missed"))

    def test_an_unknown_composite_loads_its_members_through_the_resolver(self):
        self.members = {"core": node("apps:named", local_conf={"name": "core"}), "f": filter_node("apps:tag_filter")}
        loader = {"kind": "config", "file": "/srv/api.ini", "defaults": {"x": "1"}}
        raw = node(
            "apps:pipeline_of_names",
            protocol="paste.composite_factory",
            parts="opaque",
            loader=loader,
            local_conf={"chosen": "f core"},
            global_conf={"g": "1"},
        )
        self.assertEqual(call(self.build(raw))[1], '["core", "?", "", "/"]')
        self.assertEqual(self.asked, [(loader, "app", "core", {"g": "1"}), (loader, "filter", "f", None)])

    def test_a_composite_may_catch_what_the_resolver_reports(self):
        app = self.build(node("apps:forgiving", protocol="paste.composite_factory", parts="opaque"))
        self.assertIn("LookupError: No section 'gone'", call(app)[1])

    def test_contexts_can_be_looked_at_before_they_are_built(self):
        self.members["x"] = node("apps:named", local_conf={"a": "1"}, global_conf={"g": "2"})
        context = Loader(self.builder, {"kind": "config", "file": "/x"}).app_context("x", {"n": 1})
        self.assertEqual((context.config(), apps.calls, self.asked[0][3]), ({"a": "1", "g": "2"}, [], {"n": "1"}))
        context.create()
        self.assertEqual(apps.calls, ["app ?"])

    def test_resolver_errors_have_the_class_that_was_named(self):
        for name, kind in (("KeyError", KeyError), ("FileNotFoundError", FileNotFoundError), ("Nonsense", LookupError), ("print", LookupError)):
            self.assertIs(type(exception(name, "text")), kind)
        self.assertEqual(type(exception("InterpolationSyntaxError", "text")).__name__, "InterpolationSyntaxError")
        self.assertEqual(str(exception("DuplicateSectionError", "text")), "text")
        self.assertIsInstance(exception("UnicodeDecodeError", "text"), ValueError)


class OwnStock(Building):
    """The same with our own classes, as if Paste were not installed."""

    def setUp(self):
        from paster_worker import stock

        super().setUp()
        found = stock._stock
        stock._stock = lambda module, name: None
        self.addCleanup(setattr, stock, "_stock", found)


if __name__ == "__main__":
    unittest.main()
