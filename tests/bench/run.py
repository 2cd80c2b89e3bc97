#!/usr/bin/env python3
"""End-to-end benchmarks of paster, with peers in the same run where they are installed.

    cargo build --release && python3 tests/bench/run.py            # everything
    python3 tests/bench/run.py hop --rounds 5 --seconds 5          # some of: hop, python, restart, kill, proxy, memory, start, ondemand, logs, idle, slow

CPU time is that of the whole process tree, from /proc; ratios matter, absolute times depend on the machine.
Needs `wrk` for `hop` and `python`; `nginx` is the peer of `hop`, `supervisord` that of `logs`. What is missing is named and left out.
"""
import argparse
import collections
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
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

BACKEND = '''
    server {{ listen unix:{dir}/backend.sock; location / {{ default_type text/plain; return 200 "Hello, world!\\n"; }} }}
'''

HOP = '''
    upstream backend {{ server unix:{backend}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport;
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


def answers(port, path="/"):
    try:
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


def cpu_seconds(pid, match=None):
    """User and system time of a process and its living descendants."""
    total = 0.0
    for each in children(pid):
        try:
            with open("/proc/%d/cmdline" % each) as stream:
                if match and not re.search(match, stream.read()):
                    continue
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
        self.program = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "paster")
        if not os.path.exists(self.program):
            raise SystemExit("error: %s does not exist\nhint: cargo build --release" % self.program)
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


def wrk(port, connections, seconds, path="/"):
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds, "--latency", "http://127.0.0.1:%d%s" % (port, path)]
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


def measure(pid, port, connections, seconds, match=None):
    wrk(port, connections, 1)
    before, began = cpu_seconds(pid, match), time.monotonic()
    requests, latency = wrk(port, connections, seconds)
    cpu, elapsed = cpu_seconds(pid, match) - before, time.monotonic() - began
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


def bench_hop(args, directory):
    """One hop over a unix socket to the same backend, with the same fields set."""
    for tool in ("wrk", "nginx"):
        if not shutil.which(tool):
            print("hop: %s is not installed; left out" % tool)
            return
    backend_dir = os.path.join(directory, "backend")
    os.makedirs(backend_dir)
    os.chmod(directory, 0o755)
    backend = Nginx(backend_dir, BACKEND.format(dir=backend_dir))
    sock = os.path.join(backend_dir, "backend.sock")
    wait_for("backend socket", lambda: os.path.exists(sock))
    os.chmod(sock, 0o777)
    port = free_port()
    peer = Nginx(os.path.join(directory, "peer"), HOP.format(backend=sock, port=port))
    site = "[app:main]\nuse = unix:%s\n[isolate]\nthreads = 256\nstrip_prefix = off\n" % sock
    try:
        with Paster(directory, site) as paster:
            wait_for("nginx", lambda: answers(port))
            wait_for("paster", lambda: answers(paster.port))
            rows = []
            for connections in args.connections:
                runs = collections.defaultdict(list)
                for _ in range(args.rounds):
                    runs["nginx"].append(measure(peer.process.pid, port, connections, args.seconds))
                    runs["paster"].append(measure(paster.process.pid, paster.port, connections, args.seconds))
                rows += [(name, connections, each) for name, each in runs.items()]
            table("One hop over a unix socket, keep-alive, 14-byte answer (whole process tree, median of %d)" % args.rounds, rows)
            ratio(rows, "paster", "nginx")
    finally:
        peer.stop()
        backend.stop()


def bench_python(args, directory):
    """The whole isolated path: proxy and Python host."""
    if not shutil.which("wrk"):
        print("python: wrk is not installed; left out")
        return
    with Paster(directory, "[app:main]\nuse = hello:factory\n") as paster:
        paster.wait_ready()
        rows = []
        for connections in args.connections:
            runs = [measure(paster.process.pid, paster.port, connections, args.seconds) for _ in range(args.rounds)]
            rows.append(("paster, proxy and Python app", connections, runs))
        table("Hello world in Python behind the proxy (whole process tree, median of %d)" % args.rounds, rows)


class Load:
    """Open-loop GETs at a fixed rate: a slow answer does not slow the next request down."""

    def __init__(self, port, rate, path="/"):
        self.port, self.rate, self.path = port, rate, path
        self.results = []
        self.stopping = threading.Event()
        self.threads = []
        self.pacer = threading.Thread(target=self.pace)
        self.pacer.start()

    def pace(self):
        due = time.monotonic()
        while not self.stopping.is_set():
            due += 1 / self.rate
            thread = threading.Thread(target=self.one)
            thread.start()
            self.threads.append(thread)
            time.sleep(max(0, due - time.monotonic()))

    def one(self):
        began = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
            connection.request("GET", self.path)
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        self.results.append((status, time.monotonic() - began))

    def finish(self):
        self.stopping.set()
        self.pacer.join()
        for thread in self.threads:
            thread.join()
        failed = [status for status, _ in self.results if status != 200]
        times = sorted(seconds for _, seconds in self.results)
        return {
            "requests": len(times), "failed": len(failed), "kinds": dict(collections.Counter(failed)),
            "p50_ms": times[len(times) // 2] * 1e3, "max_ms": times[-1] * 1e3,
        }


def report(title, figures):
    print("\n%s" % title)
    print("  %(requests)d requests, %(failed)d failed %(kinds)s, p50 %(p50_ms).1f ms, longest %(max_ms).0f ms" % figures)


def bench_restart(args, directory):
    """Restart of one app under 200 requests/s, with a boot of 3 s."""
    with Paster(directory, "[app:main]\nuse = hello:factory\n", {"BOOT_SECONDS": "3"}) as paster:
        paster.wait_ready()
        load = Load(paster.port, 200)
        time.sleep(1)
        for _ in range(args.rounds):
            done = paster.call("restart")
            if done.returncode != 0:
                print(done.stdout + done.stderr)
        time.sleep(1)
        report("%d restarts of an app that boots for 3 s, under 200 requests/s" % args.rounds, load.finish())


def bench_kill(args, directory):
    """kill -9 of the only worker under 200 requests/s."""
    # So many deaths in a minute would be a crash loop; that is not what is measured.
    site = "[app:main]\nuse = hello:factory\n[isolate]\ncrash_limit = 1000\n"
    with Paster(directory, site) as paster:
        paster.wait_ready()
        load = Load(paster.port, 200)
        for _ in range(args.rounds):
            pid = paster.status()["apps"][0]["workers"][0]["pid"]
            os.kill(pid, signal.SIGKILL)

            def replaced():
                workers = paster.status()["apps"][0]["workers"]
                return workers and workers[0]["pid"] not in (None, pid) and workers[0]["state"] == "ready"

            wait_for("a new worker", replaced)
            time.sleep(11)  # a healthy life, so that the next death is no crash loop
        report("%d times kill -9 of the only worker, under 200 requests/s" % args.rounds, load.finish())


def bench_proxy(args, directory):
    """kill -9 of the proxy under 200 requests/s: how long until clients are served again on the same listener."""
    with Paster(directory, "[app:main]\nuse = hello:factory\n") as paster:
        paster.wait_ready()
        workers = [worker["pid"] for worker in paster.status()["apps"][0]["workers"]]
        load = Load(paster.port, 200)
        times = []
        for _ in range(max(args.rounds, 5)):
            time.sleep(2)  # a proxy that has lived for less than a second is not replaced at once
            pid = paster.status()["proxy"]["pid"]
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_for("an answer", lambda: answers(paster.port))
            times.append((time.monotonic() - killed) * 1e3)
            wait_for("a new proxy", lambda: paster.status()["proxy"]["pid"] not in (None, pid))
        report("%d times kill -9 of the proxy, under 200 requests/s" % len(times), load.finish())
        print("  served again after: median %.0f ms (%.0f to %.0f)" % (statistics.median(times), min(times), max(times)))
        same = workers == [worker["pid"] for worker in paster.status()["apps"][0]["workers"]]
        print("  workers: %s" % ("the same" if same else "OTHERS"))


def bench_memory(_args, directory):
    """Memory of supervisor, proxy and keepers with 20 apps."""
    apps = "".join("[app:a%d]\nuse = hello:factory\n" % n for n in range(20))
    routes = "".join("/a%d = a%d\n" % (n, n) for n in range(20))
    with Paster(directory, "[composite:main]\nuse = egg:Paste#urlmap\n" + routes + apps) as paster:
        paster.wait_ready()
        keepers = [memory(pid) for pid in children(paster.process.pid)[1:] if is_keeper(pid)]
        print("\nMemory with 20 Python apps (MB: resident, proportional)")
        print("  supervisor  %.1f  %.1f" % tuple(n / 1e6 for n in memory(paster.process.pid)))
        print("  proxy       %.1f  %.1f" % tuple(n / 1e6 for n in memory(paster.status()["proxy"]["pid"])))
        print("  each keeper %.1f  %.2f (mean of %d)" % (
            statistics.mean(rss for rss, _ in keepers) / 1e6, statistics.mean(pss for _, pss in keepers) / 1e6, len(keepers)))


def bench_ondemand(_args, directory):
    """300 apps on demand: what they cost asleep; ten of them woken while another app is under load."""
    count, woken, seconds = 300, 10, 20
    apps = "".join("[app:a%d]\nuse = hello:factory\n[isolate:a%d]\nidle_timeout = 1h\n" % (n, n) for n in range(count))
    routes = "".join("/a%d = a%d\n" % (n, n) for n in range(count))
    clean = "/clean = clean\n[app:clean]\nuse = hello:factory\n"

    def figures(paster):
        pids = (paster.process.pid, paster.status()["proxy"]["pid"])
        return pids, [tuple(n / 1e6 for n in memory(pid)) for pid in pids], len(children(paster.process.pid))

    def serving(paster):
        status = paster.status()
        return status and status["proxy"]["pid"] and all(app["state"] in ("idle", "ready") for app in status["apps"])

    print("\nApps on demand (memory in MB: resident, proportional)")
    for title, text in (("none", clean), ("%d asleep" % count, routes + clean + apps)):
        with Paster(directory, "[composite:main]\nuse = egg:Paste#urlmap\n" + text) as paster:
            wait_for("the site", lambda: serving(paster))
            started = (time.monotonic() - paster.started) * 1e3
            pids, sizes, processes = figures(paster)
            before = [own_cpu_seconds(pid) for pid in pids]
            time.sleep(seconds)
            cpu = [(own_cpu_seconds(pid) - old) / seconds * 1e3 for pid, old in zip(pids, before)]
            print("  %s: all there after %.0f ms, %d processes" % (title, started, processes))
            for name, size, used in zip(("supervisor", "proxy"), sizes, cpu):
                print("    %-10s  %.1f  %.1f, CPU %.2f ms a second" % (name, *size, used))
            if text is clean:
                continue
            load, times = Load(paster.port, 100, "/clean"), []

            def wake(number):
                began = time.monotonic()
                if not answers(paster.port, "/a%d" % number):
                    raise SystemExit("error: a%d did not answer" % number)
                times.append((time.monotonic() - began) * 1e3)

            threads = [threading.Thread(target=wake, args=(number * 30,)) for number in range(woken)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(1)
            report("  %d of them woken at once, beside 100 requests/s to another app" % woken, load.finish())
            print("    first answers after %.0f ms (%.0f to %.0f)" % (statistics.median(times), min(times), max(times)))


def is_keeper(pid):
    try:
        with open("/proc/%d/cmdline" % pid) as stream:
            return "keeper-process" in stream.read()
    except OSError:
        return False


def bench_start(args, directory):
    """From the start of `paster serve` to the first answer of a trivial Python app."""
    times = []
    for _ in range(max(args.rounds, 5)):
        with Paster(directory, "[app:main]\nuse = hello:factory\n") as paster:
            wait_for("the first answer", lambda: answers(paster.port))
            times.append((time.monotonic() - paster.started) * 1e3)
    print("\nStart to first answer, trivial Python app: median %.0f ms (%.0f to %.0f)" % (
        statistics.median(times), min(times), max(times)))


FLOOD = '''
import os, sys, time

def flood(megabytes, length):
    """Lines of so many bytes to stderr as fast as it goes (length 0: no line end at all); returns the seconds it took."""
    piece = b"x" * (1 << 20) if length == 0 else ((b"x" * (length - 1) + b"\\n") * ((1 << 20) // length + 1))[: 1 << 20]
    began = time.monotonic()
    for _ in range(megabytes):
        view = memoryview(piece)
        while view:
            view = view[os.write(2, view):]
    os.write(2, b"\\n")
    return time.monotonic() - began

def factory(global_conf, **local_conf):
    def app(environ, start_response):
        words = environ["PATH_INFO"].strip("/").split("/")
        body = b"%f" % flood(int(words[0]), int(words[1])) if len(words) == 2 else b"quiet"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    return app

if __name__ == "__main__":
    seconds = flood(int(sys.argv[1]), int(sys.argv[2]))
    with open(sys.argv[3] + ".new", "w") as stream:
        stream.write(str(seconds))
    os.rename(sys.argv[3] + ".new", sys.argv[3])
    time.sleep(3600)
'''

SUPERVISORD = '''
[supervisord]
nodaemon = true
logfile = {dir}/supervisord.log
pidfile = {dir}/supervisord.pid
[program:flood]
command = {python} {dir}/flood.py {megabytes} {length} {dir}/seconds
stdout_logfile = NONE
stderr_logfile = {log}
stderr_logfile_maxbytes = 0
'''


def rss(pid):
    with open("/proc/%d/statm" % pid) as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """The largest resident memory of a process while something happens, and how long a neighbour waited for its answer."""

    def __init__(self, pid, port=None):
        self.pid, self.port, self.peak, self.slowest = pid, port, rss(pid), 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.02):
            self.peak = max(self.peak, rss(self.pid))
            if self.port:
                began = time.monotonic()
                answers(self.port, "/quiet/")
                self.slowest = max(self.slowest, time.monotonic() - began)

    def finish(self):
        self.stopping.set()
        self.thread.join()


def flood_paster(directory, policy, megabytes, length):
    site = "[composite:main]\nuse = egg:Paste#urlmap\n/flood = flood\n/quiet = quiet\n"
    site += "[app:flood]\nuse = flood:factory\n[app:quiet]\nuse = flood:factory\n[isolate:flood]\n" + policy
    with open(os.path.join(directory, "flood.py"), "w") as stream:
        stream.write(FLOOD)
    with Paster(directory, site) as paster:
        paster.wait_ready()
        pid = paster.process.pid
        answers(paster.port, "/flood/1/%d" % length)
        before, cpu = rss(pid), cpu_seconds_of(pid)
        sampler = Sampler(pid, paster.port)
        connection = http.client.HTTPConnection("127.0.0.1", paster.port, timeout=DEADLINE)
        connection.request("GET", "/flood/%d/%d" % (megabytes, length))
        seconds = float(connection.getresponse().read())
        connection.close()
        sampler.finish()
        status = [app for app in paster.status()["apps"] if app["name"] == "flood"][0]
        counts = status.get("log", {}).get("stderr", {})
        return {
            "gb_s": megabytes * (1 << 20) / seconds / 1e9, "cpu_s_gb": (cpu_seconds_of(pid) - cpu) / (megabytes * (1 << 20) / 1e9),
            "grown_mb": (sampler.peak - before) / 1e6, "slowest_ms": sampler.slowest * 1e3,
            "lost": 100.0 * counts.get("dropped", 0) / max(1, counts.get("lines", 1)),
        }


def flood_supervisord(directory, log, megabytes, length):
    with open(os.path.join(directory, "flood.py"), "w") as stream:
        stream.write(FLOOD)
    result = os.path.join(directory, "seconds")
    config = os.path.join(directory, "supervisord.conf")
    with open(config, "w") as stream:
        stream.write(SUPERVISORD.format(dir=directory, python=sys.executable, megabytes=megabytes, length=length, log=log))
    process = subprocess.Popen(["supervisord", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("supervisord", lambda: os.path.exists(os.path.join(directory, "supervisord.pid")))
        before, cpu = rss(process.pid), cpu_seconds_of(process.pid)
        sampler = Sampler(process.pid)
        wait_for("the end of the flood", lambda: os.path.exists(result))
        sampler.finish()
        with open(result) as stream:
            seconds = float(stream.read())
        return {
            "gb_s": megabytes * (1 << 20) / seconds / 1e9,
            "cpu_s_gb": (cpu_seconds_of(process.pid) - cpu) / (megabytes * (1 << 20) / 1e9),
            "grown_mb": (sampler.peak - before) / 1e6, "slowest_ms": None, "lost": 0.0,
        }
    finally:
        process.terminate()
        process.wait(DEADLINE)


def cpu_seconds_of(pid):
    """User and system time of one process."""
    with open("/proc/%d/stat" % pid) as stream:
        fields = stream.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def bench_logs(args, directory):
    """An app that prints as fast as it can, beside a quiet one."""
    megabytes = 256 * args.seconds
    file = "log_file = %s/{app}.log\nlog_max_size = 100M\nlog_keep = 1\n" % directory
    cases = [
        ("memory only", "log = off\n"),
        ("file, plain", file + "log_format = plain\n"),
        ("file, prefix", file),
        ("file, json", file + "log_format = json\n"),
        ("stderr (a file), prefix", "log = inherit\n"),
    ]
    print("\nAn app that prints %d MB to stderr as fast as it can (median of %d)" % (megabytes, args.rounds))
    print("| | lines of | intake (GB/s) | CPU of the supervisor (s/GB) | its memory grew by (MB) | lines dropped | slowest answer of a neighbour (ms) |")
    print("|---|---|---|---|---|---|---|")

    def row(name, length, run):
        runs = []
        for number in range(args.rounds):
            each = os.path.join(directory, "%d" % number)
            os.makedirs(each)
            runs.append(run(each))
            shutil.rmtree(each)
        median = {key: None if runs[0][key] is None else statistics.median(each[key] for each in runs) for key in runs[0]}
        slowest = median["slowest_ms"]
        print("| %s | %s | %.2f | %.2f | %.1f | %.0f %% | %s |" % (
            name, "%d bytes" % length if length else "no line end", median["gb_s"], median["cpu_s_gb"], median["grown_mb"],
            median["lost"], "–" if slowest is None else "%.0f" % slowest))
        sys.stdout.flush()

    for length in (100, 0):
        for name, policy in cases:
            row("paster, " + name, length, lambda each: flood_paster(each, policy, megabytes, length))
        if shutil.which("supervisord"):
            for name, log in (("none", "NONE"), ("file", os.path.join(directory, "supervisord-flood.log"))):
                row("supervisord, " + name, length, lambda each: flood_supervisord(each, log, megabytes, length))
    if not shutil.which("supervisord"):
        print("logs: supervisord is not installed; left out")


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


BENCHES = collections.OrderedDict(
    hop=bench_hop, python=bench_python, restart=bench_restart, kill=bench_kill, proxy=bench_proxy, memory=bench_memory,
    start=bench_start, ondemand=bench_ondemand, logs=bench_logs, idle=bench_idle, slow=bench_slow)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help="of: %s" % ", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    args = parser.parse_args()
    for name in args.benches or BENCHES:
        if name not in BENCHES:
            parser.error("there is no benchmark %r" % name)
        with tempfile.TemporaryDirectory(prefix="pb") as directory:
            BENCHES[name](args, directory)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
