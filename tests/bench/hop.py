"""What a request costs on its way: one hop, with TLS, past many mounts, and the whole path with a Python app."""
import collections
import os
import re
import shutil
import subprocess

from tools import Haproxy, Nginx, Paster, answers, cpu_seconds, free_port, installed, measure, ratio, table, wait_for

BACKEND = '''
    server {{ listen unix:{dir}/backend.sock; location / {{ default_type text/plain; return 200 "Hello, world!\\n"; }} }}
'''

HOP = '''
    upstream backend {{ server unix:{backend}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport{tls};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
'''

HAPROXY_HOP = '''
frontend front
    bind 127.0.0.1:{port}{tls}
    unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Id %[unique-id]
    default_backend back
backend back
    server one unix@{backend}
'''

SITE = "[app:main]\nuse = unix:%s\n[isolate]\nthreads = 256\nstrip_prefix = off\n"


FILES = '''
    server {{ listen 127.0.0.1:{port} reuseport; sendfile on; tcp_nopush on; root {root}; default_type application/octet-stream; }}
'''


class Hop:
    """One backend on a unix socket, and each proxy that is installed before it, with the same fields set."""

    def __init__(self, directory, certificate=None, site=None, path="/"):
        self.path = path
        os.chmod(directory, 0o755)
        self.scheme = "https" if certificate else "http"
        self.backend = Nginx(os.path.join(directory, "backend"), BACKEND.format(dir=os.path.join(directory, "backend")))
        sock = os.path.join(directory, "backend", "backend.sock")
        wait_for("backend socket", lambda: os.path.exists(sock))
        os.chmod(sock, 0o777)
        port = free_port()
        tls = " ssl; ssl_certificate %s; ssl_certificate_key %s" % certificate if certificate else ""
        self.proxies = {"nginx": (Nginx(os.path.join(directory, "peer"), HOP.format(backend=sock, port=port, tls=tls)), port)}
        if shutil.which("haproxy"):
            port = free_port()
            tls = ""
            if certificate:
                both = os.path.join(directory, "both.pem")
                with open(both, "w") as stream:
                    stream.writelines(open(path).read() for path in certificate)
                tls = " ssl crt " + both
            text = HAPROXY_HOP.format(backend=sock, port=port, tls=tls, scheme=self.scheme)
            self.proxies["haproxy"] = (Haproxy(os.path.join(directory, "haproxy"), text), port)
        text = site or SITE % sock
        if certificate:
            text += "[server:main]\nuse = egg:Paste#http\ncertfile = %s\nkeyfile = %s\n" % certificate
        paster = Paster(directory, text)
        self.proxies["paster"] = (paster, paster.port)

    def __enter__(self):
        try:
            for name, (_, port) in self.proxies.items():
                wait_for(name, lambda: answers(port, self.path, self.scheme))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for proxy, _ in self.proxies.values():
            proxy.stop()
        self.backend.stop()

    def rounds(self, args):
        """Rows for [`table`], the proxies taking turns."""
        rows = []
        for connections in args.connections:
            runs = collections.defaultdict(list)
            for _ in range(args.rounds):
                for name, (proxy, port) in self.proxies.items():
                    runs[name].append(measure(proxy.process.pid, port, connections, args.seconds, self.path, self.scheme))
            rows += [(name, connections, each) for name, each in runs.items()]
        return rows


def bench_hop(args, directory):
    """One hop over a unix socket to the same backend, with the same fields set."""
    if not installed("hop", "wrk", "nginx"):
        return
    with Hop(directory) as hop:
        rows = hop.rounds(args)
        table("One hop over a unix socket, keep-alive, 14-byte answer (whole process tree, median of %d)" % args.rounds, rows)
        ratio(rows, "paster", "nginx")
        ratio(rows, "paster", "haproxy")


def bench_mounts(args, directory):
    """The same with one mount, and as the last of a thousand."""
    if not installed("mounts", "wrk", "nginx"):
        return
    os.chmod(directory, 0o755)
    rows = []
    for count in (1, 1000):
        here = os.path.join(directory, str(count))
        os.makedirs(here)
        sock = os.path.join(here, "backend", "backend.sock")
        routes = "".join("/mount-%d = one\n" % number for number in range(count))
        site = "[composite:main]\nuse = egg:Paste#urlmap\n%s[app:one]\nuse = unix:%s\n[isolate]\nthreads = 256\n" % (routes, sock)
        # As far down the table as a request can get.
        with Hop(here, site=site, path="/mount-%d/" % (count - 1)) as hop:
            rows += [("%d mounts" % count, at, runs) for name, at, runs in hop.rounds(args) if name == "paster"]
    table("The last of so many mounts (whole process tree, median of %d)" % args.rounds, rows)
    ratio(rows, "1000 mounts", "1 mounts")


def certificate(directory):
    """A key and a certificate for 127.0.0.1, on a curve that all servers are quick with."""
    key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def handshakes(port, seconds):
    """Full TLS 1.3 handshakes, each with one request, one after the other."""
    command = ["openssl", "s_time", "-connect", "127.0.0.1:%d" % port, "-new", "-www", "/", "-time", str(seconds)]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) connections in \d+ real seconds", text).group(1))


def bench_tls(args, directory):
    """The same hop with TLS towards the client: on connections that stay, and a new one for each request."""
    if not installed("tls", "wrk", "nginx", "openssl"):
        return
    with Hop(directory, certificate(directory)) as hop:
        rows = hop.rounds(args)
        table("One hop with TLS, keep-alive (whole process tree, median of %d)" % args.rounds, rows)
        ratio(rows, "paster", "nginx")
        ratio(rows, "paster", "haproxy")
        print("\nA new TLS connection for each request, ECDSA P-256, full handshakes, one client")
        print("| | CPU per connection (us) | connections/s |")
        print("|---|---|---|")
        for name, (proxy, port) in hop.proxies.items():
            before = cpu_seconds(proxy.process.pid)
            count = handshakes(port, args.seconds)
            print("| %s | %.0f | %.0f |" % (name, (cpu_seconds(proxy.process.pid) - before) / count * 1e6, count / args.seconds))


def bench_static(args, directory):
    """Files from the cache of the kernel: a small one, and one that is more than buffers hold."""
    if not installed("static", "wrk", "nginx"):
        return
    os.chmod(directory, 0o755)
    root = os.path.join(directory, "files")
    os.makedirs(root)
    port = free_port()
    peer = Nginx(os.path.join(directory, "peer"), FILES.format(root=root, port=port))
    try:
        with Paster(directory, "[app:main]\nuse = egg:Paste#static\ndocument_root = %s\n" % root) as paster:
            for title, size in (("1 KiB", 1 << 10), ("1 MiB", 1 << 20)):
                path = "/%d.bin" % size
                with open(root + path, "wb") as stream:
                    stream.write(os.urandom(size))
                wait_for("nginx", lambda: answers(port, path))
                wait_for("paster", lambda: answers(paster.port, path))
                rows = []
                for connections in args.connections:
                    runs = collections.defaultdict(list)
                    for _ in range(args.rounds):
                        runs["nginx"].append(measure(peer.process.pid, port, connections, args.seconds, path))
                        runs["paster"].append(measure(paster.process.pid, paster.port, connections, args.seconds, path))
                    rows += [(name, connections, each) for name, each in runs.items()]
                table("A file of %s (whole process tree, median of %d)" % (title, args.rounds), rows)
                ratio(rows, "paster", "nginx")
    finally:
        peer.stop()


def bench_python(args, directory):
    """The whole isolated path: proxy and Python host."""
    if not installed("python", "wrk"):
        return
    with Paster(directory, "[app:main]\nuse = hello:factory\n") as paster:
        paster.wait_ready()
        rows = []
        for connections in args.connections:
            runs = [measure(paster.process.pid, paster.port, connections, args.seconds) for _ in range(args.rounds)]
            rows.append(("paster, proxy and Python app", connections, runs))
        table("Hello world in Python behind the proxy (whole process tree, median of %d)" % args.rounds, rows)
