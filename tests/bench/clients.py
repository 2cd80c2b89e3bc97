"""Clients that wait."""
import os
import resource
import shutil
import socket
import statistics
import time

from tools import DEADLINE, free_port, wait_for, answers, children, rss, Paster, Nginx

IDLE = 3000


def proxy_of(paster):
    return paster.status()["proxy"]["pid"]


def held(port, count, said):
    """Connections on which `said` was sent, and nothing else will be."""
    sockets = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        sock.sendall(said)
        sockets.append(sock)
    return sockets


def per_connection(name, pids, port, count):
    """Memory of an idle connection that has served one request."""
    before = sum(rss(pid) for pid in pids)
    sockets = held(port, count, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for sock in sockets:
        sock.recv(4096)
    # The proxy takes back what only a conversation needs from those that say nothing for half a second, and gives it
    # to the system every few seconds.
    time.sleep(8)
    grown = sum(rss(pid) for pid in pids) - before
    began = time.monotonic()
    served = answers(port)
    print("%-10s %6d idle connections: %5.1f KiB each, one more request %s in %.1f ms" % (
        name, count, grown / count / 1024, "served" if served else "NOT served", (time.monotonic() - began) * 1000))
    for sock in sockets:
        sock.close()


def bench_idle(_args, directory):
    """Clients that are there and do nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    site = "[app:main]\nuse = hello:factory\n"
    with Paster(directory, site) as paster:
        paster.wait_ready()
        # The proxy takes half as many as it may have files.
        for count in (IDLE, min(10000, hard // 2 - 500)):
            per_connection("paster", [proxy_of(paster)], paster.port, count)
    if shutil.which("nginx"):
        port = free_port()
        http = "server {{ listen 127.0.0.1:{0}; keepalive_timeout 300; location / {{ return 200 hello; }} }}".format(port)
        os.chmod(directory, 0o755)
        peer = Nginx(os.path.join(directory, "peer"), http)
        try:
            wait_for("nginx", lambda: answers(port))
            per_connection("nginx", children(peer.process.pid), port, IDLE)
        finally:
            peer.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def bench_slow(_args, directory):
    """2000 clients that send their heads a byte at a time, and one that does not."""
    count = 2000
    with Paster(directory, "[app:main]\nuse = hello:factory\n") as paster:
        paster.wait_ready()
        sockets = held(paster.port, count, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        took, refused = [], 0
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for sock in sockets:
                try:
                    sock.sendall(b"a")
                except OSError:
                    pass
            began = time.monotonic()
            if not answers(paster.port):
                raise SystemExit("error: a normal client was not served")
            took.append((time.monotonic() - began) * 1000)
            time.sleep(0.5)
        for sock in sockets:
            refused += b" 408 " in sock.recv(4096)
            sock.close()
        print("%d slow clients: %d normal requests, %.1f ms in the median, %.1f ms at most; %d slow ones got 408" % (
            count, len(took), statistics.median(took), max(took), refused))
