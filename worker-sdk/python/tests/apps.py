"""Applications, filters and composites for the tests. `calls` notes in which order factories run."""

import json
import os
import sys
import tempfile
import threading
from wsgiref.validate import validator

calls = []


def hello(global_conf, **local_conf):
    calls.append("hello")

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello, world!\n"]

    return app


def named(global_conf, name="?", **local_conf):
    """Answers with its name and what the request looks like from inside."""
    calls.append("app " + name)

    def app(environ, start_response):
        seen = [name] + environ.get("test.filters", []) + [environ["SCRIPT_NAME"], environ["PATH_INFO"]]
        if environ.get("HTTP_X_MISS") == name:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"missed"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(seen).encode()]

    app.conf = (global_conf, local_conf)
    return app


class Tag:
    def __init__(self, app, tag):
        self.app = app
        self.tag = tag

    def __call__(self, environ, start_response):
        environ["test.filters"] = environ.get("test.filters", []) + [self.tag]
        return self.app(environ, start_response)


def tag_filter(global_conf, tag="?"):
    calls.append("filter " + tag)

    def wrap(app):
        calls.append("wrap " + tag)
        return Tag(app, tag)

    return wrap


def tag_filter_app(app, global_conf, tag="?"):
    calls.append("filter_app " + tag)
    return Tag(app, tag)


class Holder:
    class Inner:
        @staticmethod
        def make(global_conf, **local_conf):
            return hello(global_conf)


def strict(global_conf, database, size=1):
    return hello(global_conf)


def raising(global_conf, **local_conf):
    raise RuntimeError("no route to the database")


def leaving(global_conf, **local_conf):
    sys.exit("enough")


def pipeline_of_names(loader, global_conf, **local_conf):
    """A composite of the OpenStack kind: the options name members, the choice is made here."""
    names = local_conf["chosen"].split()
    app = loader.get_app(names[-1], global_conf)
    for name in reversed(names[:-1]):
        app = loader.get_filter(name)(app)
    return app


def forgiving(loader, global_conf, **local_conf):
    try:
        return loader.get_app("gone", global_conf)
    except LookupError as error:
        return named(global_conf, name="%s: %s" % (type(error).__name__, error))


def show(global_conf, **local_conf):
    """The environ as JSON, without what JSON cannot say."""

    def app(environ, start_response):
        text = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
        body = json.dumps(text).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return app


def validated(global_conf, **local_conf):
    return validator(toolbox(global_conf))


lock = threading.Event()
arrived = threading.Semaphore(0)
opened = []


class Stream:
    """An iterable that notes whether it was closed."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        opened.append(self)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        opened.remove(self)


def failing_pieces():
    yield b"first"
    raise RuntimeError("in mid-stream")


def toolbox(global_conf, **local_conf):
    """One behaviour for each path."""

    def app(environ, start_response):
        return getattr(Tools, environ["PATH_INFO"].strip("/").replace("-", "_") or "hello")(environ, start_response)

    return app


PLAIN = [("Content-Type", "text/plain")]


class Tools:
    @staticmethod
    def hello(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello, world!\n"]

    @staticmethod
    def echo(environ, start_response):
        """Streams the body back piece by piece."""
        start_response("200 OK", list(PLAIN))
        return Stream(iter(lambda: environ["wsgi.input"].read(65536), b""))

    @staticmethod
    def lines(environ, start_response):
        start_response("200 OK", list(PLAIN))
        source = environ["wsgi.input"]
        first, some, rest = source.readline(), source.readlines(1), list(source)
        return [json.dumps([[line.decode() for line in part] for part in ([first], some, rest)]).encode()]

    @staticmethod
    def ping_pong(environ, start_response):
        """Answers each line as soon as it is there."""
        start_response("200 OK", list(PLAIN))
        return Stream(iter(lambda: environ["wsgi.input"].readline(100), b""))

    @staticmethod
    def ignore(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return [b"ignored"]

    @staticmethod
    def several(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return Stream([b"a", b"", b"bc" * 50000, b"d"])

    @staticmethod
    def late(environ, start_response):
        """start_response within the iteration."""

        def pieces():
            start_response("200 OK", list(PLAIN))
            yield b""
            yield b"late"

        return Stream(pieces())

    @staticmethod
    def written(environ, start_response):
        write = start_response("200 OK", list(PLAIN))
        write(b"by write, ")
        write(b"")
        return Stream([b"by iteration"])

    @staticmethod
    def replaced(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
        try:
            raise ValueError("changed my mind")
        except ValueError:
            start_response("500 Changed", list(PLAIN), sys.exc_info())
        return [b"replaced"]

    @staticmethod
    def too_late(environ, start_response):
        write = start_response("200 OK", list(PLAIN))
        write(b"first")
        try:
            raise ValueError("too late for a new head")
        except ValueError:
            start_response("500 Changed", list(PLAIN), sys.exc_info())
        return []

    @staticmethod
    def twice(environ, start_response):
        start_response("200 OK", list(PLAIN))
        start_response("200 OK", list(PLAIN))
        return [b"?"]

    @staticmethod
    def silent(environ, start_response):
        return [b"no head"]

    @staticmethod
    def empty(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return Stream([])

    @staticmethod
    def nothing(environ, start_response):
        start_response("204 No Content", [])
        return [b""]

    @staticmethod
    def unchanged(environ, start_response):
        start_response("304 Not Modified", [("ETag", '"x"'), ("Content-Length", "999")])
        return [b"not to be sent"]

    @staticmethod
    def error(environ, start_response):
        raise RuntimeError("the app is broken")

    @staticmethod
    def mid_stream(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return Stream(failing_pieces())

    @staticmethod
    def too_short(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
        return Stream([b"short"])

    @staticmethod
    def too_long(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return Stream([b"ab", b"cdef"])

    @staticmethod
    def open_streams(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return [str(len(opened)).encode()]

    @staticmethod
    def header(environ, start_response):
        """Tries the header that the query names: NAME=VALUE, percent-decoded."""
        from urllib.parse import unquote

        name, _, value = unquote(environ["QUERY_STRING"]).partition("=")
        start_response("200 OK", PLAIN + [(name, value)])
        return [b"sent"]

    @staticmethod
    def unicode(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return ["text"]

    @staticmethod
    def file(environ, start_response):
        content = bytes(range(256)) * 2000
        target = tempfile.TemporaryFile()
        target.write(content)
        target.flush()
        target.seek(1000)
        fields = list(PLAIN)
        if environ["QUERY_STRING"]:
            fields.append(("Content-Length", environ["QUERY_STRING"]))
        start_response("200 OK", fields)
        return environ["wsgi.file_wrapper"](target, 4096)

    @staticmethod
    def packed_file(environ, start_response):
        """A file object whose descriptor does not hold what it reads."""
        import gzip

        target = tempfile.NamedTemporaryFile()
        target.write(gzip.compress(b"unpacked" * 1000))
        target.flush()
        start_response("200 OK", list(PLAIN))
        return environ["wsgi.file_wrapper"](gzip.open(target.name))

    @staticmethod
    def unreal_file(environ, start_response):
        import io

        start_response("200 OK", list(PLAIN))
        return environ["wsgi.file_wrapper"](io.BytesIO(b"from memory"))

    @staticmethod
    def hold(environ, start_response):
        """Waits until /release is called."""
        arrived.release()
        lock.wait()
        start_response("200 OK", list(PLAIN))
        return [b"held"]

    @staticmethod
    def release(environ, start_response):
        for _ in range(int(environ["QUERY_STRING"])):
            arrived.acquire()
        lock.set()
        start_response("200 OK", list(PLAIN))
        return [b"released"]

    @staticmethod
    def endless(environ, start_response):
        start_response("200 OK", list(PLAIN))
        return Stream(iter(lambda: b"x" * 10000, None))

    @staticmethod
    def log(environ, start_response):
        environ["wsgi.errors"].write("a line for the log\n")
        print("a line from print")
        start_response("200 OK", list(PLAIN))
        return [b"logged"]

    @staticmethod
    def fork(environ, start_response):
        """A child that gets SIGTERM must not stop the worker."""
        import signal

        child = os.fork()
        if not child:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            finally:
                os._exit(9)
        status = os.waitpid(child, 0)[1]
        start_response("200 OK", list(PLAIN))
        return [str(os.WTERMSIG(status)).encode()]

    @staticmethod
    def descriptors(environ, start_response):
        """What a program that the app starts would inherit."""
        import subprocess

        code = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)))"
        start_response("200 OK", list(PLAIN))
        return [subprocess.run([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, close_fds=False).stdout]

    @staticmethod
    def world(environ, start_response):
        import __main__

        start_response("200 OK", list(PLAIN))
        seen = {
            "argv": sys.argv,
            "path": sys.path,
            "environ": sorted(key for key in os.environ if key.startswith(("PASTE", "LISTEN", "NOTIFY", "WATCHDOG"))),
            "main": __main__.__name__,
            "comm": open("/proc/self/comm").read().strip(),
        }
        return [json.dumps(seen).encode()]


def exiting(global_conf, **local_conf):
    import atexit

    atexit.register(print, "atexit ran")
    return toolbox(global_conf)


def logging_app(global_conf, **local_conf):
    import logging

    logging.getLogger("apps").warning("built")
    return toolbox(global_conf)


def linted(global_conf, **local_conf):
    from webtest.lint import middleware

    return middleware(toolbox(global_conf))
