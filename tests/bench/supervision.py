"""Restarts, deaths, memory and start."""
import collections
import http.client
import os
import signal
import statistics
import threading
import time

from tools import DEADLINE, wait_for, answers, children, own_cpu_seconds, memory, Paster


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
