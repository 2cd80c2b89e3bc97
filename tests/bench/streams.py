"""Large bodies both ways, and WebSocket messages: what a byte and a message cost on their way."""
import base64
import hashlib
import multiprocessing
import os
import selectors
import shutil
import socket
import statistics
import threading
import time

from tools import DEADLINE, Haproxy, Nginx, Paster, answers, children, cpu_seconds, free_port, rss, wait_for

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
MESSAGE = 64
PAUSE = 0.5

PEER = '''
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream backend {{ server unix:{backend}; keepalive 64; keepalive_requests 1000000000; }}
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
'''

HAPROXY = '''
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one unix@{backend}
'''


def read_head(sock):
    """The head of a message, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def field(head, name):
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


def skip(sock, length, buffer, pause=0):
    """Reads so many bytes; with a pause of so many seconds after each eighth of them."""
    eighth = next_pause = max(1, length // 8)
    done = 0
    while done < length:
        got = sock.recv_into(buffer, min(length - done, len(buffer)))
        if got == 0:
            raise OSError("the connection has ended")
        done += got
        if pause and done >= next_pause:
            next_pause += eighth
            time.sleep(pause)


def serve_one(sock):
    """GET /BYTES gets so many, what is sent is read to its end (with pauses for /slow) before the answer, a WebSocket is echoed."""
    buffer = bytearray(MEGABYTE)
    try:
        while True:
            head, rest = read_head(sock)
            if head is None:
                return
            key = field(head, "sec-websocket-key")
            if key:
                digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                accept = base64.b64encode(digest).decode()
                sock.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: %s\r\n\r\n" % accept).encode() + rest)
                while True:
                    got = sock.recv(65536)
                    if not got:
                        return
                    sock.sendall(got)
            path = head.split()[1].strip("/")
            skip(sock, int(field(head, "content-length") or 0) - len(rest), buffer, PAUSE if path == "slow" else 0)
            size = int(path) if path.isdigit() else 0
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % size)
            for at in range(0, size, len(buffer)):
                sock.sendall(memoryview(buffer)[:min(len(buffer), size - at)])
    except OSError:
        pass
    finally:
        sock.close()


def serve_all(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(128)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


class Proxies:
    """Each proxy that is installed, before one backend."""

    def __init__(self, directory):
        os.chmod(directory, 0o755)
        sock = os.path.join(directory, "backend.sock")
        self.backend = multiprocessing.Process(target=serve_all, args=(sock,), daemon=True)
        self.backend.start()
        wait_for("backend socket", lambda: os.path.exists(sock))
        self.all = {}
        if shutil.which("nginx"):
            port = free_port()
            self.all["nginx"] = (Nginx(os.path.join(directory, "nginx"), PEER.format(backend=sock, port=port)), port)
        if shutil.which("haproxy"):
            port = free_port()
            self.all["haproxy"] = (Haproxy(os.path.join(directory, "haproxy"), HAPROXY.format(backend=sock, port=port)), port)
        paster = Paster(directory, "[app:main]\nuse = unix:%s\n[isolate]\nthreads = 256\nstrip_prefix = off\n" % sock)
        self.all["paster"] = (paster, paster.port)

    def __enter__(self):
        try:
            for name, (_, port) in self.all.items():
                wait_for(name, lambda: answers(port))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for proxy, _ in self.all.values():
            proxy.stop()
        self.backend.kill()
        self.backend.join(DEADLINE)


def download(port, size, times, pause=0):
    buffer = bytearray(MEGABYTE)
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        for _ in range(times):
            sock.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
            head, rest = read_head(sock)
            if " 200 " not in head.split("\r\n")[0]:
                raise SystemExit("error: %s" % head)
            skip(sock, size - len(rest), buffer, pause)


def upload(port, size, times, path="/0"):
    piece = memoryview(bytes(MEGABYTE))
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        for _ in range(times):
            sock.sendall(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size))
            for at in range(0, size, len(piece)):
                sock.sendall(piece[:min(len(piece), size - at)])
            head, _ = read_head(sock)
            if " 200 " not in head.split("\r\n")[0]:
                raise SystemExit("error: %s" % head)


def download_slowly(port, size, times):
    download(port, size, times, PAUSE)


def upload_slowly(port, size, times):
    upload(port, size, times, "/slow")


def memory_of(pid):
    """Resident bytes of all processes from `pid` on."""
    total = 0
    for each in children(pid):
        try:
            total += rss(each)
        except OSError:
            pass
    return total


def transfer(pid, port, move, size, times, clients):
    """CPU and wall-clock seconds per GB, and by how many bytes the memory grew."""
    move(port, min(size, MEGABYTE), 1)
    resting, peak = memory_of(pid), 0
    before, began = cpu_seconds(pid), time.monotonic()
    threads = [threading.Thread(target=move, args=(port, size, times)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, memory_of(pid))
        time.sleep(0.02)
    gigabytes = size * times * clients / 1e9
    return {
        "cpu": (cpu_seconds(pid) - before) / gigabytes, "seconds": (time.monotonic() - began) / gigabytes,
        "grown": max(0, peak - resting) / 1e6,
    }


def bench_bodies(args, directory):
    """Bodies of 1 MB and 1 GB in both directions."""
    with Proxies(directory) as proxies:
        print("\nBodies (whole process tree, median of %d, the proxies taking turns)" % args.rounds)
        print("| | | CPU (s/GB) | throughput (GB/s) | memory grew by (MB) |")
        print("|---|---|---|---|---|")
        cases = [
            ("1 MB answers, 4 clients", download, MEGABYTE, 250, 4), ("1 MB uploads, 4 clients", upload, MEGABYTE, 250, 4),
            ("1 GB answer", download, GIGABYTE, 1, 1), ("1 GB upload", upload, GIGABYTE, 1, 1),
            ("2 GB answer, the client pauses", download_slowly, 2 * GIGABYTE, 1, 1),
            ("2 GB upload, the app pauses", upload_slowly, 2 * GIGABYTE, 1, 1),
        ]
        for title, move, size, times, clients in cases:
            runs = {name: [] for name in proxies.all}
            for _ in range(args.rounds):
                for name, (proxy, port) in proxies.all.items():
                    runs[name].append(transfer(proxy.process.pid, port, move, size, times, clients))
            for name, each in runs.items():
                median = {key: statistics.median(run[key] for run in each) for key in each[0]}
                print("| %s | %s | %.2f | %.2f | %.1f |" % (title, name, median["cpu"], 1 / median["seconds"], median["grown"]))


def open_websocket(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head, _ = read_head(sock)
    if " 101 " not in head.split("\r\n")[0]:
        raise SystemExit("error: %s" % head)
    return sock


def exchange(port, count, seconds):
    """Messages there and back in that time, on so many connections, one on the way on each."""
    selector = selectors.DefaultSelector()
    message = b"\x82\xba" + bytes(MESSAGE - 2)
    sockets = [open_websocket(port) for _ in range(count)]
    for sock in sockets:
        selector.register(sock, selectors.EVENT_READ)
        sock.sendall(message)
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(1):
            key.fileobj.recv(4096)
            key.fileobj.sendall(message)
            done += 1
    for sock in sockets:
        sock.close()
    return done


def bench_websocket(args, directory):
    """Messages of 64 bytes through a tunnel and back."""
    with Proxies(directory) as proxies:
        print("\nWebSocket, messages of %d bytes there and back (whole process tree, median of %d)" % (MESSAGE, args.rounds))
        print("| | connections | CPU per round trip (us) | round trips/s |")
        print("|---|---|---|---|")
        for count in args.connections:
            runs = {name: [] for name in proxies.all}
            for _ in range(args.rounds):
                for name, (proxy, port) in proxies.all.items():
                    before = cpu_seconds(proxy.process.pid)
                    done = exchange(port, count, args.seconds)
                    runs[name].append(((cpu_seconds(proxy.process.pid) - before) / done * 1e6, done / args.seconds))
            for name, each in runs.items():
                cpu, rate = (statistics.median(column) for column in zip(*each))
                print("| %s | %d | %.1f | %.0f |" % (name, count, cpu, rate))
