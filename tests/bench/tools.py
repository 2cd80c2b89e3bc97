"""What the benchmarks have in common: programs under test, load, CPU time and memory from /proc."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICK = os.sysconf("SC_CLK_TCK")
DEADLINE = 60

HELLO = '''
import os, time
time.sleep(float(os.environ.get("BOOT_SECONDS", "0")))

def factory(global_conf, **local_conf):
    def app(environ, start_response):
        body = b"Hello, world!\\n"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    return app
'''

NGINX = '''
worker_processes {cores};
pid {dir}/nginx.pid;
error_log {dir}/error.log;
daemon off;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    {http}
}}
'''

def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise SystemExit("error: %s did not happen within %d s" % (what, DEADLINE))


def answers(port, path="/", scheme="http"):
    try:
        if scheme == "https":
            trusting = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=trusting)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status == 200
    except OSError:
        return False


def children(pid):
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir("/proc/%d/task" % parent):
                with open("/proc/%d/task/%s/children" % (parent, task)) as stream:
                    found.extend(int(child) for child in stream.read().split())
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """User and system time of a process and its living descendants."""
    total = 0.0
    for each in children(pid):
        try:
            with open("/proc/%d/stat" % each) as stream:
                fields = stream.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        except OSError:
            pass
    return total


def own_cpu_seconds(pid):
    """User and system time of one process."""
    with open("/proc/%d/stat" % pid) as stream:
        fields = stream.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """(RSS, PSS) in bytes of one process."""
    rss = pss = 0
    with open("/proc/%d/smaps_rollup" % pid) as stream:
        for line in stream:
            if line.startswith("Rss:"):
                rss = int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                pss = int(line.split()[1]) * 1024
    return rss, pss


class Paster:
    """A running `paster serve --isolate` on a configuration of ours."""

    def __init__(self, directory, text, env=None):
        self.config = os.path.join(directory, "site.ini")
        with open(self.config, "w") as stream:
            stream.write(text)
        with open(os.path.join(directory, "hello.py"), "w") as stream:
            stream.write(HELLO)
        self.program = release("paster")
        self.run_dir = os.path.join(directory, "run")
        self.port = free_port()
        self.log = open(os.path.join(directory, "paster.log"), "w+")
        command = [self.program, "serve", "--isolate", self.config, "--run-dir", self.run_dir]
        command += ["--listen", "127.0.0.1:%d" % self.port]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=dict(os.environ, **(env or {})))

    def call(self, *arguments):
        command = [self.program, arguments[0], self.config, *arguments[1:], "--run-dir", self.run_dir]
        return subprocess.run(command, capture_output=True, text=True)

    def status(self):
        done = self.call("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_ready(self):
        def ready():
            status = self.status()
            return status and all(app["state"] == "ready" for app in status["apps"])

        wait_for("all apps ready", ready)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def release(name):
    """A program of the release build."""
    path = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", name)
    if not os.path.exists(path):
        raise SystemExit("error: %s does not exist\nhint: cargo build --release" % path)
    return path


HAPROXY = '''
global
    nbthread {cores}
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
    http-reuse always
{proxies}
'''


class Haproxy:
    def __init__(self, directory, proxies):
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, "haproxy.cfg")
        with open(config, "w") as stream:
            stream.write(HAPROXY.format(cores=os.cpu_count(), proxies=proxies))
        # Without -W the one process is all there is.
        self.process = subprocess.Popen(["haproxy", "-q", "-db", "-f", config], stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait(DEADLINE)


class Nginx:
    def __init__(self, directory, http):
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w") as stream:
            stream.write(NGINX.format(dir=directory, cores=os.cpu_count(), http=http))
        self.process = subprocess.Popen(["nginx", "-p", directory, "-c", config], stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(DEADLINE)


def installed(bench, *programs):
    """Whether all are there; says which is not."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        print("%s: %s is not installed; left out" % (bench, " and ".join(missing)))
    return not missing


def wrk(port, connections, seconds, path="/", scheme="http"):
    url = "%s://127.0.0.1:%d%s" % (scheme, port, path)
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {}
    for percentile, value, suffix in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", text):
        latency[percentile] = float(value) * unit[suffix]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    if bad or errors:
        print("  note: %s" % (bad or errors).group(0))
    return requests, latency


def measure(pid, port, connections, seconds, path="/", scheme="http"):
    """What requests cost all processes from `pid` on, after a second to get warm."""
    wrk(port, connections, 1, path, scheme)
    before, began = cpu_seconds(pid), time.monotonic()
    requests, latency = wrk(port, connections, seconds, path, scheme)
    cpu, elapsed = cpu_seconds(pid) - before, time.monotonic() - began
    return {"cpu_us": cpu / requests * 1e6, "rps": requests / elapsed, "p50_ms": latency["50"], "p99_ms": latency["99"]}


def table(title, rows):
    print("\n%s" % title)
    print("| | connections | CPU per request (us) | requests/s | p50 (ms) | p99 (ms) |")
    print("|---|---|---|---|---|---|")
    for name, connections, runs in rows:
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print("| %s | %d | %.1f | %.0f | %.2f | %.2f |" % (
            name, connections, median["cpu_us"], median["rps"], median["p50_ms"], median["p99_ms"]))


def ratio(rows, ours, theirs):
    by_key = {(name, connections): runs for name, connections, runs in rows}
    for (name, connections), runs in by_key.items():
        if name == ours and (theirs, connections) in by_key:
            pairs = [a["cpu_us"] / b["cpu_us"] for a, b in zip(runs, by_key[theirs, connections])]
            speed = [a["rps"] / b["rps"] for a, b in zip(runs, by_key[theirs, connections])]
            print("%s / %s at %d connections: CPU per request x %.2f (%.2f to %.2f), throughput x %.2f" % (
                ours, theirs, connections, statistics.median(pairs), min(pairs), max(pairs), statistics.median(speed)))


def rss(pid):
    with open("/proc/%d/statm" % pid) as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
