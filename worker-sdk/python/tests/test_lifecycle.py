"""Start, failure reports, drain, signals: what the supervisor sees."""

import json
import os
import signal
import sys
import tempfile
import unittest

from harness import HERE, Worker, filter_node, node


class Starting(unittest.TestCase):
    def test_the_steps_are_told_in_order(self):
        with Worker(node(section="app:wiki")).ready() as worker:
            worker.wait_for("STATUS=serving")
            self.assertEqual(
                worker.messages, ["STATUS=importing apps", "STATUS=building [app:wiki]", "READY=1", "STATUS=serving"]
            )

    def test_the_world_of_the_app_is_tidy(self):
        for carried in (True, False):
            with Worker(node("apps:toolbox"), carried=carried, app="blog").ready() as worker:
                world = worker.get("/world").json()
                self.assertEqual((world["argv"], world["comm"]), (["paster", "/srv/site.ini"], "paster:blog"))
                self.assertEqual((world["path"][0], world["main"]), (HERE, "__main__"))
                self.assertEqual(world["environ"], [])
                self.assertNotIn("", world["path"])
                self.assertEqual(worker.get("/descriptors").json(), [0, 1, 2])

    def test_sigquit_prints_all_stacks_whatever_the_threads_do(self):
        # Dumps made by faulthandler's own signal handler kill a busy worker with SIGSEGV now and then.
        with Worker(node("apps:toolbox"), threads=4).ready() as worker:
            for _ in range(200):
                worker.process.send_signal(signal.SIGQUIT)
                self.assertEqual(worker.get("/descriptors").status, 200)
            self.assertIn("in take", worker.stderr())

    def test_logging_is_configured_before_the_app_is_built(self):
        text = "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[logger_root]\nlevel=INFO\nhandlers=h\n"
        text += "[handler_h]\nclass=StreamHandler\nargs=(sys.stderr,)\nformatter=f\n[formatter_f]\nformat=<%(name)s> %(message)s\n"
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
            file.write(text)
            file.flush()
            with Worker(node("apps:logging_app"), logging=file.name).ready() as worker:
                self.assertIn("<apps> built\n", worker.stderr())

    def test_a_broken_logging_section_is_reported(self):
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
            file.write("[loggers]\nkeys=root\n")
            file.flush()
            with Worker(logging=file.name) as worker:
                self.assertEqual(worker.wait(), 1)
                self.assertIn("error: cannot configure logging: ", worker.stderr())

    def test_a_composite_is_answered_by_the_resolver_program(self):
        with tempfile.TemporaryDirectory() as directory:
            members = {"core": node("apps:named", local_conf={"name": "core"}), "f": filter_node("apps:tag_filter")}
            script = os.path.join(directory, "resolver.py")
            with open(script, "w") as stream:
                stream.write(RESOLVER % json.dumps(members))
            argv = [sys.executable, "-S", script]
            loader = {"kind": "config", "file": "/srv/api.ini", "defaults": {}}
            composite = {"protocol": "paste.composite_factory", "parts": "opaque", "loader": loader}
            raw = node("apps:pipeline_of_names", local_conf={"chosen": "f core"}, **composite)
            with Worker(raw, resolver=argv).ready() as worker:
                self.assertEqual(worker.get("/x").json(), ["core", "?", "", "/x"])
            with Worker(node("apps:forgiving", **composite), resolver=argv).ready() as worker:
                self.assertEqual(worker.get().json()[0], "LookupError: no section gone in /srv/api.ini")
            raw = node("apps:pipeline_of_names", local_conf={"chosen": "nowhere"}, **composite)
            with Worker(raw, resolver=argv) as worker:
                self.assertEqual(worker.wait(), 1)
                self.assertIn("LookupError: no section nowhere in /srv/api.ini", worker.stderr())
            with Worker(raw, resolver=["/bin/false"]) as worker:
                self.assertEqual(worker.wait(), 1)
                self.assertIn("'nowhere' cannot be resolved: /bin/false ended with status 1", worker.stderr())


RESOLVER = """
import json, sys
members = json.loads(r'''%s''')
question = json.load(sys.stdin)
name = question["name"]
if name in members:
    print(json.dumps({"node": members[name]}))
else:
    print(json.dumps({"error": "LookupError", "message": "no section %%s in %%s" %% (name, question["loader"]["file"])}))
    sys.exit(1)
"""


class Failing(unittest.TestCase):
    """Each report says what, where and what next; the supervisor gets the first line."""

    def failure(self, target, section="app:blog", via="module", **more):
        with Worker(node(target, section, via, **more)) as worker:
            self.assertEqual(worker.wait(), 1)
            text = worker.stderr()
            summary = text[text.index("\nerror: ") + 8 :].split("\n")[0]
            self.assertEqual(worker.messages[-1], "STATUS=" + summary)
            self.assertNotIn("paster_worker/", text)
            self.assertNotIn("importlib", text)
            return text

    def test_a_missing_module(self):
        text = self.failure("blgo:factory")
        self.assertIn("error: cannot build [app:blog]: module 'blgo' cannot be imported\n", text)
        self.assertIn("\n  --> /srv/site.ini:21 (use = blgo:factory)\n", text)
        self.assertIn("hint: `blgo` was searched by %s in\n        %s\n" % (sys.executable, HERE), text)

    def test_a_module_that_needs_a_missing_one(self):
        text = self.failure("needs_missing:factory", via="explicit")
        self.assertIn("module 'needs_missing' cannot be imported: it needs 'no_such_library_at_all', which is not installed\n", text)
        self.assertIn("(paste.app_factory = needs_missing:factory)", text)
        self.assertIn("    import no_such_library_at_all\n", text)

    def test_a_syntax_error_is_shown_where_it_is(self):
        text = self.failure("broken_syntax:factory")
        self.assertIn("error: cannot build [app:blog]: SyntaxError: ", text)
        self.assertRegex(text, r"\n  --> %s:[23]\n" % os.path.join(HERE, "broken_syntax.py"))

    def test_a_missing_attribute(self):
        text = self.failure("apps:helo", via="call")
        self.assertIn("error: cannot build [app:blog]: module 'apps' has no 'helo'\n", text)
        self.assertIn("(use = call:apps:helo)\nhint: did you mean 'apps:hello'?", text)

    def test_a_factory_that_raises(self):
        text = self.failure("apps:raising", via="egg", distribution="Blog")
        self.assertIn("error: cannot build [app:blog]: factory `apps:raising` raised RuntimeError: no route to the database\n", text)
        self.assertIn("in raising\n", text)

    def test_wrong_options(self):
        text = self.failure("apps:strict", local_conf={"databse": "x", "size": "1"})
        self.assertIn("error: cannot build [app:blog]: factory `apps:strict` cannot be called with this configuration: ", text)
        self.assertIn("hint: given: global_conf, databse, size\n", text)
        self.assertIn("wanted: (global_conf, database, size=1)\n", text)
        self.assertIn("not accepted: databse\n", text)
        self.assertIn("missing: database\n", text)

    def test_sys_exit_is_no_exit(self):
        self.assertIn("factory `apps:leaving` called sys.exit('enough')\n", self.failure("apps:leaving"))
        self.assertIn("importing `leaves` called sys.exit(3)\n", self.failure("leaves:factory"))

    def test_a_filter_is_named_with_its_own_place(self):
        broken = filter_node("apps:raising", "filter:auth", origin={"file": "/srv/f.ini", "section": "filter:auth", "line": 3, "factory_line": 4})
        with Worker(node(None, kind="pipeline", protocol=None, parts="pipeline", filters=[broken], app=node())) as worker:
            self.assertEqual(worker.wait(), 1)
            self.assertIn("error: cannot build [filter:auth]: ", worker.stderr())
            self.assertIn("  --> /srv/f.ini:4 (paste.filter_factory = apps:raising)", worker.stderr())

    def test_a_contract_that_is_not_kept(self):
        with Worker(contract=2) as worker:
            self.assertEqual(worker.wait(), 1)
            self.assertIn("error: the configuration is not a document of contract version 1", worker.stderr())


class Stopping(unittest.TestCase):
    def test_sigterm_finishes_what_is_in_flight_and_closes_the_rest(self):
        with Worker(node("apps:exiting")).ready() as worker:
            idle, busy, other = worker.connect(), worker.connect(), worker.connect()
            for client in (idle, busy, other):
                self.addCleanup(client.close)
            idle.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(idle.response().body, b"Hello, world!\n")
            busy.begin("/lines", 3)
            busy.send("a\n")
            other.send("POST /ping-pong HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n")
            other.head()
            self.assertEqual(other.chunk(), b"1\n")
            worker.terminate()
            self.assertTrue(idle.ended())
            busy.send("b")
            response = busy.response()
            self.assertEqual(response.json(), [["a\n"], ["b"], []])
            self.assertEqual(response.fields["connection"], "close")
            other.send("0\r\n\r\n")
            self.assertEqual(other.chunk(), b"")
            self.assertTrue(busy.ended() and other.ended())
            self.assertEqual(worker.wait(), 0)
            self.assertIn("STOPPING=1", worker.messages)
            self.assertIn("atexit ran", worker.stdout())
            self.assertEqual(worker.stderr(), "")

    def test_what_waits_in_the_backlog_is_left_to_the_next(self):
        with Worker(node("apps:toolbox")).ready() as worker:
            worker.terminate()
            self.assertEqual(worker.wait(), 0)
            worker.connect().close()  # it has closed its listener, and not shut it down for others who hold it

    def test_a_second_signal_ends_at_once(self):
        for second in (signal.SIGTERM, signal.SIGINT):
            with Worker(node("apps:toolbox")).ready() as worker, worker.connect() as busy, worker.connect() as idle:
                idle.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                idle.response()
                busy.send("POST /ping-pong HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na\n")
                busy.head()
                worker.terminate()
                self.assertTrue(idle.ended())
                worker.process.send_signal(second)
                self.assertEqual(worker.wait(), 128 + second)

    def test_a_signal_to_a_forked_child_is_the_childs(self):
        with Worker(node("apps:toolbox")).ready() as worker:
            self.assertEqual(worker.get("/fork").body, b"15")
            self.assertEqual(worker.get("/hello").status, 200)

    def test_a_fatal_signal_shows_the_stack_that_it_hit(self):
        with Worker(node("apps:toolbox")).ready() as worker:
            self.assertEqual(worker.get("/hello").status, 200)
            worker.process.send_signal(signal.SIGABRT)
            self.assertEqual(worker.wait(), -signal.SIGABRT)
            self.assertIn("Fatal Python error: Aborted", worker.stderr())
            self.assertIn("<paster>/paster_worker/server.py", worker.stderr())

    def test_the_watchdog_is_pinged_while_idle_and_while_draining(self):
        with Worker(node("apps:toolbox"), environ={"WATCHDOG_USEC": "200000"}).ready() as worker, worker.connect() as client:
            worker.wait_for("WATCHDOG=1")
            worker.messages.clear()
            worker.wait_for("WATCHDOG=1")
            client.begin("/lines", 1)
            worker.terminate()
            worker.messages.clear()
            worker.wait_for("WATCHDOG=1")
            client.send("b")
            self.assertEqual(client.response().status, 200)
            self.assertEqual(worker.wait(), 0)


if __name__ == "__main__":
    unittest.main()
