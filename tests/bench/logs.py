"""Apps that print a lot."""
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time

from tools import DEADLINE, wait_for, answers, own_cpu_seconds, rss, Paster

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
        before, cpu = rss(pid), own_cpu_seconds(pid)
        sampler = Sampler(pid, paster.port)
        connection = http.client.HTTPConnection("127.0.0.1", paster.port, timeout=DEADLINE)
        connection.request("GET", "/flood/%d/%d" % (megabytes, length))
        seconds = float(connection.getresponse().read())
        connection.close()
        sampler.finish()
        status = [app for app in paster.status()["apps"] if app["name"] == "flood"][0]
        counts = status.get("log", {}).get("stderr", {})
        return {
            "gb_s": megabytes * (1 << 20) / seconds / 1e9, "cpu_s_gb": (own_cpu_seconds(pid) - cpu) / (megabytes * (1 << 20) / 1e9),
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
        before, cpu = rss(process.pid), own_cpu_seconds(process.pid)
        sampler = Sampler(process.pid)
        wait_for("the end of the flood", lambda: os.path.exists(result))
        sampler.finish()
        with open(result) as stream:
            seconds = float(stream.read())
        return {
            "gb_s": megabytes * (1 << 20) / seconds / 1e9,
            "cpu_s_gb": (own_cpu_seconds(process.pid) - cpu) / (megabytes * (1 << 20) / 1e9),
            "grown_mb": (sampler.peak - before) / 1e6, "slowest_ms": None, "lost": 0.0,
        }
    finally:
        process.terminate()
        process.wait(DEADLINE)


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
