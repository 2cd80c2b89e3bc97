"""Against what others wrote, where it is installed: WebTest's lint, PasteDeploy and Paste themselves."""

import importlib.util
import os
import tempfile
import unittest

import apps
from harness import Worker, filter_node, node
from paster_worker.loader import Builder, Node
from test_loader import call


def installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@unittest.skipUnless(installed("webtest"), "WebTest is not installed")
class Linted(unittest.TestCase):
    def test_the_environ_and_the_responses_pass_webtests_lint(self):
        with Worker(node("apps:linted"), threads=4).ready() as worker, worker.connect() as client:
            for path, status in (("hello", 200), ("several", 200), ("late", 200), ("empty", 200), ("echo", 200), ("replaced", 500)):
                for framing in ("\r\n", "Content-Length: 4\r\n\r\na\nb\n"):
                    client.send("POST /%s HTTP/1.1\r\nHost: x\r\nPaster-Environ:  /%s 1 2 http h 80\r\n%s" % (path, path, framing))
                    self.assertEqual(client.response().status, status, path)
            self.assertNotIn("AssertionError", worker.stderr())


INI = """
[app:core]
paste.app_factory = apps:named
name = core
[filter:a]
paste.filter_factory = apps:tag_filter
tag = a
[filter:b]
paste.filter_factory = apps:tag_filter
tag = b
filter-with = a
[filter:c]
paste.filter_app_factory = apps:tag_filter_app
tag = c
[pipeline:main]
pipeline = a b c core
[filter-app:over]
paste.filter_factory = apps:tag_filter
tag = over
next = core
[app:with]
paste.app_factory = apps:named
name = with
filter-with = b
[composite:map]
use = egg:Paste#urlmap
/x = main
/ = with
not_found_app = core
"""


def trees():
    """What paster resolves INI to."""

    def filtered(outer, inner, kind="filtered_with"):
        return node(None, kind=kind, protocol=None, parts="filtered", filter=outer, next=inner)

    core = node("apps:named", local_conf={"name": "core"})
    a = filter_node("apps:tag_filter", local_conf={"tag": "a"})
    b = filtered(a, filter_node("apps:tag_filter", local_conf={"tag": "b"}))
    c = filter_node("apps:tag_filter_app", protocol="paste.filter_app_factory", local_conf={"tag": "c"})
    main = node(None, kind="pipeline", protocol=None, parts="pipeline", filters=[a, b, c], app=core)
    over = filtered(filter_node("apps:tag_filter", local_conf={"tag": "over"}), core, "filter_app")
    with_ = filtered(b, node("apps:named", local_conf={"name": "with"}))
    routes = [
        {"domain": None, "prefix": "/x", "name": "main", "line": 2, "app": main},
        {"domain": None, "prefix": "", "name": "with", "line": 3, "app": with_},
    ]
    urlmap = node(
        "paste.urlmap:urlmap_factory",
        protocol="paste.composite_factory",
        parts="urlmap",
        routes=routes,
        not_found_app={"name": "core", "app": core},
    )
    return {"main": main, "over": over, "with": with_, "map": urlmap}


@unittest.skipUnless(installed("paste.deploy") and installed("paste.urlmap"), "PasteDeploy or Paste is not installed")
class AsPasteDeploy(unittest.TestCase):
    def test_the_same_calls_in_the_same_order_and_the_same_answers(self):
        from paste.deploy import loadapp

        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "site.ini")
            with open(path, "w") as stream:
                stream.write(INI)
            for name, tree in trees().items():
                apps.calls.clear()
                theirs = loadapp("config:" + path, name=name)
                expected = list(apps.calls)
                apps.calls.clear()
                ours = Builder(lambda text: None, None).create(Node(tree))
                self.assertEqual(apps.calls, expected, name)
                for path_info in ("/", "/x", "//x//y", ""):
                    self.assertEqual(call(ours, PATH_INFO=path_info), call(theirs, PATH_INFO=path_info), name)

    def test_programs_find_pastes_own_map(self):
        from paste.urlmap import URLMap

        self.assertIsInstance(Builder(lambda text: None, None).create(Node(trees()["map"])), URLMap)


if __name__ == "__main__":
    unittest.main()
