"""The worker over a raw connection: framing, streaming, PEP 3333."""

import threading
import unittest

from harness import Worker, node


class Serving(unittest.TestCase):
    app = "apps:toolbox"

    @classmethod
    def setUpClass(cls):
        cls.worker = Worker(node(cls.app), threads=4).ready()

    @classmethod
    def tearDownClass(cls):
        cls.worker.__exit__()

    def setUp(self):
        self.client = self.worker.connect()
        self.addCleanup(self.client.close)

    def ask(self, text, bodyless=False):
        self.client.send(text)
        return self.client.response(bodyless)

    def ask_while_sending(self, text):
        sender = threading.Thread(target=self.client.send, args=(text,))
        sender.start()
        try:
            return self.client.response()
        finally:
            sender.join()

    def get(self, path):
        return self.ask("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)

    def assert_alive(self):
        self.assertEqual(self.get("/hello").body, b"Hello, world!\n")

    def assert_closed(self):
        self.assertTrue(self.client.ended())

    # Keep-alive

    def test_a_single_item_gets_a_content_length(self):
        response = self.get("/hello")
        self.assertEqual((response.status, response.body), (200, b"Hello, world!\n"))
        self.assertEqual(response.fields, {"content-type": "text/plain", "content-length": "14"})

    def test_a_thousand_requests_pass_on_one_connection(self):
        for _ in range(1000):
            self.assert_alive()

    def test_pipelined_requests_are_answered_in_order(self):
        paths = ["/hello", "/several", "/ignore", "/echo", "/nothing", "/hello"] * 20
        self.client.send("".join("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
        bodies = {"/hello": b"Hello, world!\n", "/several": b"a" + b"bc" * 50000 + b"d", "/ignore": b"ignored"}
        for path in paths:
            self.assertEqual(self.client.response().body, bodies.get(path, b""))

    def test_a_request_that_comes_byte_by_byte_is_served(self):
        for char in "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc":
            self.client.send(char)
        self.assertEqual(self.client.response().body, b"abc")
        self.assert_alive()

    def test_line_ends_between_requests_are_skipped(self):
        self.client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
        self.assertEqual(self.client.response().body, b"a")
        self.assertEqual(self.client.response().body, b"Hello, world!\n")
        self.assert_alive()

    def test_connection_close_is_honoured(self):
        response = self.ask("GET /several HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n")
        self.assertEqual(response.fields["connection"], "close")
        self.assert_closed()

    def test_http_10_gets_an_unchunked_answer_and_the_end(self):
        response = self.ask("GET /several HTTP/1.0\r\n\r\n")
        self.assertNotIn("transfer-encoding", response.fields)
        self.assertEqual(len(response.body), 100002)

    # Request bodies

    def test_a_sized_body_is_echoed(self):
        body = "0123456789" * 50000
        text = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        self.assertEqual(self.ask_while_sending(text).body, body.encode())
        self.assert_alive()

    def test_a_chunked_body_is_echoed_without_its_framing(self):
        text = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        text += "5;ext=1\r\nhello\r\n00A\r\n, chunked \r\n5\r\nworld\r\n0\r\nTrailer: 1\r\n\r\n"
        self.assertEqual(self.ask(text).body, b"hello, chunked world")
        self.assert_alive()

    def test_a_large_chunked_body_streams_through(self):
        chunk = b"10000\r\n" + b"y" * 65536 + b"\r\n"
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.ask_while_sending(head + chunk * 100 + b"0\r\n\r\n").body, b"y" * 6553600)
        self.assert_alive()

    def test_both_directions_stream_at_the_same_time(self):
        self.client.send("POST /ping-pong HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            self.client.send("7\r\nline %d\n\r\n" % number)
            if not number:
                self.client.head()
            self.assertEqual(self.client.chunk(), b"line %d\n" % number)
        self.client.send("0\r\n\r\n")
        self.assertEqual(self.client.chunk(), b"")
        self.assert_alive()

    def test_input_reads_by_line(self):
        for framing in ("Content-Length: 9\r\n\r\na\nb\nc\nd\ne", "Transfer-Encoding: chunked\r\n\r\n9\r\na\nb\nc\nd\ne\r\n0\r\n\r\n"):
            response = self.ask("POST /lines HTTP/1.1\r\nHost: x\r\n" + framing)
            self.assertEqual(response.json(), [["a\n"], ["b\n"], ["c\n", "d\n", "e"]])

    def test_a_short_body_that_nobody_read_does_not_end_the_connection(self):
        body = "z" * 100000
        self.ask("POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        self.ask("POST /ignore HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        self.assert_alive()

    def test_a_long_body_that_nobody_read_ends_the_connection(self):
        response = self.ask("POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nz")
        self.assertEqual((response.body, response.fields["connection"]), (b"ignored", "close"))
        self.assert_closed()

    def test_expect_gets_100_when_the_app_reads(self):
        self.client.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual(self.client.head(), (100, {}))
        self.client.send("abc")
        self.assertEqual(self.client.response().body, b"abc")
        self.assert_alive()

    def test_expect_gets_the_answer_alone_when_the_app_does_not_read(self):
        response = self.ask("POST /ignore HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        self.assertEqual((response.status, response.fields["connection"]), (200, "close"))
        self.assert_closed()

    def test_a_body_that_breaks_off_is_no_end_of_file(self):
        self.client.send("POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        self.client.sock.shutdown(1)
        self.assert_closed()

    def test_broken_chunks_end_the_connection(self):
        for chunks in ("xyz\r\nabc", "3\r\nabcd\r\n0\r\n\r\n", "-1\r\n\r\n", "3 \n\r\nabc\r\n", "\r\n\r\n", "1" * 20 + "\r\n"):
            with self.subTest(chunks=chunks), self.worker.connect() as client:
                client.send("POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
                self.assertTrue(client.ended())

    # Responses

    def test_several_items_are_chunked(self):
        response = self.get("/several")
        self.assertEqual(response.body, b"a" + b"bc" * 50000 + b"d")
        self.assertEqual(response.fields["transfer-encoding"], "chunked")

    def test_start_response_may_come_with_the_first_item(self):
        self.assertEqual(self.get("/late").body, b"late")

    def test_write_comes_before_the_items(self):
        self.assertEqual(self.get("/written").body, b"by write, by iteration")

    def test_exc_info_replaces_a_head_that_is_not_sent(self):
        response = self.get("/replaced")
        self.assertEqual((response.status, response.body), (500, b"replaced"))
        self.assertNotIn("x-first", response.fields)

    def test_exc_info_after_the_head_is_raised_again_and_breaks_off(self):
        self.client.send("GET /too-late HTTP/1.1\r\nHost: x\r\n\r\n")
        self.client.head()
        self.assertEqual(self.client.chunk(), b"first")
        self.assert_closed()
        self.assertIn("too late for a new head", self.worker.stderr())

    def test_misuse_of_start_response_is_500(self):
        for path in ("/twice", "/silent", "/unicode", "/error"):
            self.assertEqual(self.get(path).status, 500, path)
        self.assert_alive()

    def test_an_empty_response_has_length_0(self):
        self.assertEqual(self.get("/empty").fields["content-length"], "0")
        self.assert_alive()

    def test_204_and_304_have_no_body(self):
        self.assertEqual(self.get("/nothing").fields, {})
        self.assertEqual(self.get("/unchanged").fields["content-length"], "999")
        self.assert_alive()

    def test_head_has_the_fields_of_get_and_no_body(self):
        for path, length in (("/hello", "14"), ("/several", None), ("/too-short", "10"), ("/file?50", "50"), ("/empty", None)):
            response = self.ask("HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path, bodyless=True)
            self.assertEqual((response.status, response.fields.get("content-length")), (200, length), path)
        self.assertEqual(self.ask("HEAD /error HTTP/1.1\r\nHost: x\r\n\r\n", bodyless=True).status, 500)
        self.assert_alive()

    def test_an_exception_is_500_and_a_traceback_in_the_log(self):
        response = self.get("/error")
        self.assertEqual(response.body, b"Internal Server Error\n")
        log = self.worker.stderr()
        self.assertIn("error: the application failed: GET /error\nTraceback (most recent call last):\n", log)
        self.assertIn("RuntimeError: the app is broken", log)
        self.assertNotIn("paster_worker/wsgi", log)

    def test_an_exception_in_mid_stream_breaks_off_without_the_last_chunk(self):
        self.client.send("GET /mid-stream HTTP/1.1\r\nHost: x\r\n\r\n")
        self.client.head()
        self.assertEqual(self.client.chunk(), b"first")
        with self.assertRaises(EOFError):
            self.client.chunk()

    def test_a_body_shorter_than_declared_breaks_off(self):
        self.client.send("GET /too-short HTTP/1.1\r\nHost: x\r\n\r\n")
        self.client.head()
        self.assertEqual(self.client.stream.read(), b"short")
        self.assertIn("the response has 5 bytes, but its Content-Length is 10", self.worker.stderr())

    def test_a_body_longer_than_declared_is_cut_and_ends_the_connection(self):
        self.assertEqual(self.get("/too-long").body, b"abc")
        self.assert_closed()

    def test_headers_that_break_http_are_500(self):
        for query in ("X=a%0d%0aSet-Cookie:%20b", "X=a%0ab", "X=%00", "Bad%20Name=1", "=1", "Connection=close", "X=%e2%82%ac"):
            self.assertEqual(self.get("/header?" + query).status, 500, query)
        for query in ("Content-Length=x", "Content-Length=-1", "Transfer-Encoding=chunked", "Upgrade=x"):
            self.assertEqual(self.get("/header?" + query).status, 500, query)
        self.assertEqual(self.get("/header?X-Fine=1").fields["x-fine"], "1")

    def test_files_are_sent_from_their_position(self):
        content = (bytes(range(256)) * 2000)[1000:]
        response = self.get("/file")
        self.assertEqual(response.fields["content-length"], str(len(content)))
        self.assertEqual(response.body, content)
        self.assertEqual(self.get("/file?5").body, content[:5])
        self.assertEqual(self.get("/unreal-file").body, b"from memory")
        self.assertEqual(self.get("/packed-file").body, b"unpacked" * 1000)
        self.assert_alive()

    def test_a_file_shorter_than_declared_breaks_off(self):
        self.client.send("GET /file?99999999 HTTP/1.1\r\nHost: x\r\n\r\n")
        self.client.head()
        self.assertEqual(len(self.client.stream.read()), 511000)

    def test_close_is_called_also_when_the_client_leaves(self):
        with self.worker.connect() as client:
            client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            client.head()
        for path in ("/several", "/empty", "/late", "/echo"):
            self.get(path)
        for _ in range(10000):
            if self.get("/open-streams").body == b"0":
                break
        else:
            self.fail("a response was not closed")

    # Refusals

    def test_ambiguous_requests_are_refused_and_end_the_connection(self):
        for text, status in (
            ("GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("G[T / HTTP/1.1\r\n\r\n", 400),
            ("GET /\x7f HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nPaster-Environ: /a /b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nPaster-Environ:  /b   http a 80\r\nPaster-Client-Certificate: SUCCESS CN=a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nX: " + "x" * 300000 + "\r\n\r\n", 431),
        ):
            with self.subTest(text=text[:80]), self.worker.connect() as client:
                client.send(text)
                response = client.response()
                self.assertEqual((response.status, response.fields["connection"]), (status, "close"))
                self.assertTrue(client.ended())

    def test_large_heads_are_fine(self):
        response = self.ask("GET /hello HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n" % ("x" * 100000))
        self.assertEqual(response.status, 200)

    def test_output_goes_to_the_log_at_once(self):
        self.get("/log")
        self.assertIn("a line for the log\n", self.worker.stderr())
        self.assertIn("a line from print\n", self.worker.stdout())


class Environ(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker(node("apps:show"), threads=1).ready()

    @classmethod
    def tearDownClass(cls):
        cls.worker.__exit__()

    def environ(self, path="/", *fields):
        return self.worker.get(path, *fields).json()

    def test_what_the_proxy_found_out_is_taken_over(self):
        environ = self.environ("/b%20log/x?a=%20", "Paster-Environ: /b%20log /caf%C3%A9// 10.0.0.9 4711 https ex.org 443")
        self.assertEqual(environ["SCRIPT_NAME"], "/b log")
        self.assertEqual(environ["PATH_INFO"], "/caf\xc3\xa9//")
        self.assertEqual((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]), ("10.0.0.9", "4711"))
        self.assertEqual(environ["wsgi.url_scheme"], "https")
        self.assertEqual((environ["SERVER_NAME"], environ["SERVER_PORT"]), ("ex.org", "443"))
        self.assertEqual((environ["REQUEST_URI"], environ["RAW_URI"]), ("/b%20log/x?a=%20",) * 2)
        self.assertEqual(environ["QUERY_STRING"], "a=%20")
        self.assertNotIn("HTTP_PASTER_ENVIRON", environ)

    def test_empty_values_stay_empty(self):
        environ = self.environ("/x", "Paster-Environ:  /x   http ex.org 80")
        self.assertEqual([environ[key] for key in ("SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "REMOTE_PORT")], ["", "/x", "", ""])
        environ = self.environ("/x", "Paster-Environ: /x    http ex.org ")
        self.assertEqual([environ[key] for key in ("SCRIPT_NAME", "PATH_INFO", "SERVER_PORT")], ["/x", "", ""])

    def test_the_certificate_of_a_client_is_taken_over(self):
        handover = "Paster-Environ:  /x 10.0.0.9 4711 https ex.org 443"
        environ = self.environ("/x", handover, "Paster-Client-Certificate: SUCCESS CN=a%20b%5C,O=%25  0AFF")
        told = {key: value for key, value in environ.items() if "CLIENT" in key}
        facts = {"VERIFY": "SUCCESS", "S_DN": "CN=a b\\,O=%", "I_DN": "", "M_SERIAL": "0AFF"}
        self.assertEqual(told, {"SSL_CLIENT_" + key: value for key, value in facts.items()})
        environ = self.environ("/x", handover, "Paster-Client-Certificate: NONE")
        told = {key: value for key, value in environ.items() if "CLIENT" in key}
        self.assertEqual(told, {"SSL_CLIENT_VERIFY": "NONE"})

    def test_without_the_proxy_the_target_tells(self):
        environ = self.environ("/a%2Fb%zz?q", "Host: ex.org:81")
        self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]), ("", "/a/b%zz", "q"))
        self.assertEqual(self.environ("http://ex.org//x?y")["PATH_INFO"], "//x")

    def test_fields_become_variables(self):
        environ = self.environ("/", "X-One: 1", "x-one:  2 ", "Cookie: a=1", "Cookie: b=2", "X_One: 3", "Content-Type: a/b", "X-E:")
        self.assertEqual((environ["HTTP_X_ONE"], environ["HTTP_COOKIE"], environ["HTTP_X_E"]), ("1,2", "a=1; b=2", ""))
        self.assertEqual(environ["CONTENT_TYPE"], "a/b")
        self.assertNotIn("CONTENT_LENGTH", environ)
        self.assertNotIn("HTTP_CONTENT_TYPE", environ)

    def test_fields_cannot_pose_as_other_variables(self):
        environ = self.environ("/", "wsgi.url_scheme: https", "REMOTE-ADDR: 1", "Request-Method: PUT", "Script-Name: /x")
        self.assertEqual((environ["wsgi.url_scheme"], environ["REQUEST_METHOD"], environ["SCRIPT_NAME"]), ("http", "GET", ""))
        self.assertEqual(environ["HTTP_REMOTE_ADDR"], "1")

    def test_the_server_describes_itself(self):
        environ = self.environ()
        self.assertEqual(environ["wsgi.version"], [1, 0])
        flags = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated")
        self.assertEqual([environ[flag] for flag in flags], [False, False, False, True])

    def test_several_processes_and_threads_are_told(self):
        with Worker(node("apps:show"), threads=2, environ={"PASTE_PROCESSES": "3"}).ready() as worker:
            environ = worker.get().json()
        self.assertEqual((environ["wsgi.multithread"], environ["wsgi.multiprocess"]), (True, True))

    def test_tcp_clients_have_an_address(self):
        with Worker(node("apps:show"), tcp=True).ready() as worker:
            self.assertEqual(worker.get().json()["REMOTE_ADDR"], "127.0.0.1")


class Validated(unittest.TestCase):
    """wsgiref.validate between host and app: every violation would be a 500 or a broken connection."""

    def test_the_host_keeps_pep_3333(self):
        with Worker(node("apps:validated"), threads=4).ready() as worker, worker.connect() as client:
            for path in ("hello", "several", "late", "written", "empty", "unchanged", "replaced", "echo", "lines"):
                for framing in ("\r\n", "Content-Length: 4\r\n\r\na\nb\n", "Transfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n0\r\n\r\n"):
                    if path == "lines" or (path == "echo" and framing == "\r\n"):
                        continue  # the validator wants readline without argument
                    client.send("POST /%s HTTP/1.1\r\nHost: x\r\nPaster-Environ:  /%s 1 2 http h 80\r\n%s" % (path, path, framing))
                    self.assertEqual(client.response().status, {"unchanged": 304, "replaced": 500}.get(path, 200), path)
            self.assertNotIn("AssertionError", worker.stderr())


class Debug(unittest.TestCase):
    def test_with_debug_the_error_page_shows_the_traceback(self):
        with Worker(node("apps:toolbox"), debug=True).ready() as worker:
            response = worker.get("/error")
        self.assertEqual(response.status, 500)
        self.assertIn(b"RuntimeError: the app is broken", response.body)


class Threads(unittest.TestCase):
    def test_as_many_requests_run_at_once_as_there_are_threads(self):
        with Worker(node("apps:toolbox"), threads=4).ready() as worker:
            held = [worker.connect() for _ in range(3)]
            for client in held:
                client.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(worker.get("/release?3").body, b"released")
            for client in held:
                self.assertEqual(client.response().body, b"held")
                client.close()

    def test_a_slow_request_among_quick_ones_holds_up_nobody(self):
        with Worker(node("apps:toolbox"), threads=3).ready() as worker:
            clients = [worker.connect() for _ in range(4)]
            for client in clients:
                self.addCleanup(client.close)
            for _ in range(3):
                for _ in range(300):  # enough that one thread serves them all
                    for client in clients:
                        client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                    for client in clients:
                        self.assertEqual(client.response().status, 200)
                for client in clients[:2]:
                    client.begin("/lines", 1)
                clients[2].send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertEqual(clients[2].response().status, 200)
                for client in clients[:2]:
                    client.send("b")
                    self.assertEqual(client.response().json(), [["b"], [], []])

    def test_more_idle_connections_than_threads_are_all_served(self):
        with Worker(node("apps:toolbox"), threads=2).ready() as worker:
            clients = [worker.connect() for _ in range(50)]
            for _ in range(3):
                for client in clients:
                    client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                for client in clients:
                    self.assertEqual(client.response().status, 200)
            for client in clients:
                client.close()

    def test_a_slow_head_occupies_no_thread(self):
        with Worker(node("apps:toolbox"), threads=1).ready() as worker:
            with worker.connect() as slow:
                slow.send("GET /hello HTT")
                self.assertEqual(worker.get("/hello").status, 200)
                slow.send("P/1.1\r\n\r\n")
                self.assertEqual(slow.response().status, 200)


if __name__ == "__main__":
    unittest.main()
