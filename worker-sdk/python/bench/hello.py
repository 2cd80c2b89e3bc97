"""Hello world over loopback TCP: this host beside waitress and gunicorn, as far as they are installed, in one run.

    python bench/hello.py [--seconds N] [--threads N] [--connections N …]

Needs wrk. Prints requests per second and, less dependent on what else runs, CPU time of the server per request.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests"))

from harness import Worker, node  # noqa: E402


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world!\n"]


class Other:
    """Another server on a port of its own, with the same face as the harness's Worker."""

    def __init__(self, arguments):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = probe.getsockname()
        arguments = [part.replace("{port}", str(self.address[1])) for part in arguments]
        self.process = subprocess.Popen([sys.executable, "-m"] + arguments, cwd=HERE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(self.address).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit("a server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def servers(threads):
    yield "paster", lambda: Worker(node("hello:direct"), tcp=True, threads=threads, python_path=[HERE]).ready()
    waitress = ["waitress", "--listen=127.0.0.1:{port}", "--threads=%d" % threads, "hello:app"]
    gunicorn = ["gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads=%d" % threads, "--keep-alive=60", "hello:app"]
    for arguments in (waitress, gunicorn):
        if subprocess.run([sys.executable, "-c", "import " + arguments[0]], stderr=subprocess.DEVNULL).returncode == 0:
            yield arguments[0], lambda arguments=arguments: Other(arguments)


def direct(global_conf):
    return app


def cpu_seconds(pid):
    """User and system time of a process and its children that still run."""
    total = 0.0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as stream:
                    fields = stream.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(entry) == pid or int(fields[1]) == pid:
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(server, connections, seconds):
    before = cpu_seconds(server.process.pid)
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", "http://127.0.0.1:%d/" % server.address[1]]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    used = cpu_seconds(server.process.pid) - before
    count = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    tail = re.search(r"99%\s+(\S+)", text)[1]
    return rate, used / count * 1e6, tail


def main():
    parser = argparse.ArgumentParser(description="requests per second of a hello world")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 4, 16])
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed")
    for name, start in servers(options.threads):
        for connections in options.connections:
            with start() as server:
                rate, cpu, tail = measure(server, connections, options.seconds)
            print("%-10s %3d connections  %8.0f requests/s  %6.1f us CPU  99%% %s" % (name, connections, rate, cpu, tail), flush=True)


if __name__ == "__main__":
    main()
