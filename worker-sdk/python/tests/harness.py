"""A supervisor just big enough for one worker: it makes the sockets, starts the host as paster does, and speaks raw HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SOURCE = os.path.join(ROOT, "src", "paster_worker")
sys.path.insert(0, os.path.dirname(SOURCE))
DEADLINE = 20.0  # seconds; no test waits this long unless it fails


def node(target="apps:hello", section="app:main", via="explicit", kind="application", protocol="paste.app_factory", **more):
    """A leaf of the tree, or with `parts` something else."""
    raw = {
        "object_type": kind,
        "protocol": protocol,
        "factory": {"via": via, "target": target} if target else None,
        "loader": {"kind": "config", "file": "/srv/site.ini", "defaults": {}},
        "global_conf": {"here": "/srv", "__file__": "/srv/site.ini"},
        "local_conf": {},
        "parts": "leaf",
        "origin": {"file": "/srv/site.ini", "section": section, "line": 20, "factory_line": 21},
    }
    raw.update(more)
    return raw


def filter_node(target, section="filter:f", protocol="paste.filter_factory", **more):
    return node(target, section, kind="filter", protocol=protocol, **more)


def sources():
    """The modules of the host, as paster carries them."""
    document = {}
    for name in sorted(os.listdir(SOURCE)):
        if name.endswith(".py"):
            with open(os.path.join(SOURCE, name), encoding="utf-8") as stream:
                document["paster_worker/" + name[:-3]] = stream.read()
    return document


def bundle():
    """The program on the host's descriptor, as paster puts it together: the sources, then the boot code."""
    with open(os.path.join(ROOT, "boot.py"), encoding="utf-8") as stream:
        return "sources = %s; %s" % (json.dumps(sources()), stream.read())


def descriptor_of(document):
    """A descriptor positioned at the start of `document`: text as it is, anything else as JSON."""
    text = document if isinstance(document, str) else json.dumps(document)
    stream = tempfile.TemporaryFile()
    stream.write(text.encode("utf-8"))
    stream.flush()
    stream.seek(0)
    return stream


class Worker:
    """One running host. Use as a context manager; leaving kills what is left."""

    def __init__(self, tree=None, tcp=False, carried=True, python=sys.executable, environ=None, **config):
        self.directory = tempfile.mkdtemp(prefix="paster-test-")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.directory, "notify"))
        self.notify.settimeout(DEADLINE)
        if tcp:
            self.listener = socket.create_server(("127.0.0.1", 0))
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(os.path.join(self.directory, "http"))
            self.listener.listen(128)
        self.address = self.listener.getsockname()
        document = {
            "contract": 1,
            "app": "main",
            "slot": 0,
            "generation": 1,
            "mounts": ["/"],
            "threads": 4,
            "debug": False,
            "config_file": "/srv/site.ini",
            "tree": tree or node(),
            "python_path": [HERE],
            "logging": None,
            "resolver": None,
        }
        document.update(config)
        self.messages = []
        self.error = tempfile.TemporaryFile()
        self.output = tempfile.TemporaryFile()
        self._start(python, document, carried, dict(environ or {}))

    def _start(self, python, document, carried, extra):
        environ = dict(os.environ, NOTIFY_SOCKET=self.notify.getsockname(), LISTEN_FDS="1", LISTEN_FDNAMES="http", **extra)
        config, host = descriptor_of(document), descriptor_of(bundle())
        environ["PASTE_CONFIG_FD"] = str(config.fileno())
        keep = [config.fileno()]
        if carried:
            command = 'exec(compile((host:=open(%d,"rb")).read(),"<paster>/boot.py","exec"))'
            arguments = ["-c", command % host.fileno()]
            keep.append(host.fileno())
        else:
            arguments = ["-m", "paster_worker"]
            environ["PYTHONPATH"] = os.path.dirname(SOURCE)
        # descriptor 3 and LISTEN_PID want to be set in the very process that becomes the worker
        shim = "import os,sys\nos.dup2(%d,3)\nos.close(%d)\nos.environ['LISTEN_PID']=str(os.getpid())\nos.execv(sys.argv[1],sys.argv[1:])"
        listener = os.dup(self.listener.fileno())
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-S", "-c", shim % (listener, listener), python] + arguments,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.error,
                pass_fds=keep + [listener],
            )
        finally:
            os.close(listener)
            config.close()
            host.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.notify.close()
        self.listener.close()
        self.error.close()
        self.output.close()
        shutil.rmtree(self.directory)

    # What it says

    def wait_for(self, start):
        """The first notification line that begins with `start`; fails when the worker ends before."""
        self.notify.settimeout(0.05)
        waited = 0.0
        while waited < DEADLINE:
            for line in self.messages:
                if line.startswith(start):
                    return line
            try:
                self.messages.extend(self.notify.recv(65536).decode("utf-8").split("\n"))
            except socket.timeout:
                waited += 0.05
                if self.process.poll() is not None and not self._more():
                    raise AssertionError("the worker ended with %s:\n%s" % (self.process.returncode, self.stderr())) from None
        raise AssertionError("no %r in %s:\n%s" % (start, self.messages, self.stderr()))

    def _more(self):
        self.notify.settimeout(0)
        try:
            self.messages.extend(self.notify.recv(65536).decode("utf-8").split("\n"))
            return True
        except BlockingIOError:
            return False

    def ready(self):
        self.wait_for("READY=1")
        return self

    def wait(self):
        """The exit status; everything that was said until then is in `messages`."""
        status = self.process.wait(DEADLINE)
        while self._more():
            pass
        return status

    def stderr(self):
        return _content(self.error)

    def stdout(self):
        return _content(self.output)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    # Speaking to it

    def connect(self):
        return Client(self.listener.family, self.address)

    def get(self, path="/", *fields):
        """One GET on a connection of its own."""
        with self.connect() as client:
            client.send("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, "".join(field + "\r\n" for field in fields)))
            return client.response()


def _content(stream):
    size = os.fstat(stream.fileno()).st_size
    return os.pread(stream.fileno(), size, 0).decode("utf-8", "replace")


class Response:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def json(self):
        return json.loads(self.body.decode("utf-8"))


class Client:
    """A raw connection; responses are read with an own parser, strict enough to notice wrong framing."""

    def __init__(self, family, address):
        self.sock = socket.socket(family)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(address)
        self.stream = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def begin(self, path, length):
        """Sends the head of a POST with `length` bytes of body and returns when the app has begun to read them."""
        self.send("POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (path, length))
        assert self.head() == (100, {})

    def head(self):
        """(status, fields) of the next response."""
        line = self.stream.readline()
        if not line:
            raise EOFError("the connection ended")
        version, status, _ = line.decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1", line
        fields = {}
        while True:
            line = self.stream.readline().decode("latin-1")
            assert line.endswith("\r\n"), line
            if line == "\r\n":
                return int(status), fields
            name, value = line[:-2].split(": ", 1)
            fields[name.lower()] = value

    def response(self, bodyless=False):
        status, fields = self.head()
        if bodyless or status in (204, 304):
            return Response(status, fields, b"")
        if fields.get("transfer-encoding") == "chunked":
            assert "content-length" not in fields, fields
            return Response(status, fields, b"".join(self.chunks()))
        if "content-length" in fields:
            length = int(fields["content-length"])
            body = self.stream.read(length)
            assert len(body) == length, (length, body)
            return Response(status, fields, body)
        assert fields.get("connection") == "close", fields
        return Response(status, fields, self.stream.read())

    def chunks(self):
        while True:
            chunk = self.chunk()
            if not chunk:
                return
            yield chunk

    def chunk(self):
        """The next chunk, b"" for the last one."""
        line = self.stream.readline()
        if not line:
            raise EOFError("the connection ended within a chunked body")
        size = int(line, 16)
        data = self.stream.read(size)
        assert self.stream.read(2) == b"\r\n"
        return data

    def ended(self):
        """Whether the other side has closed without another byte."""
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True
