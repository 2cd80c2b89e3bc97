#!/usr/bin/env python3
"""Random harm beside clean apps, for minutes or hours.

    cargo build --release && python3 tests/bench/soak.py --minutes 15 [--seed S]

Serves a site with clean apps, which have a steady load, and with apps that misbehave. Workers, keepers and the proxy are
killed; apps are restarted, stopped and started, made to crash, hang, leak, flood and fork; the configuration is edited (also
into nonsense) and reloaded; workers are added and taken away; paster takes over from itself. Prints once a minute what paster
holds, and at the end how available the clean apps were. The exit status is 1 if they lost a request for any other reason than a
killed proxy, or if paster holds more at the end than at the beginning.
"""
import argparse
import collections
import http.client
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time

from supervision import is_keeper
from tools import DEADLINE, ROOT, Paster, children, memory, wait_for

FIXTURES = os.path.join(ROOT, "tests", "fixtures")
CLEAN = ("first", "second", "third")
# A request that was on its way when the proxy was killed ends within this time.
AFTERMATH = 1.0
# How much more resident memory may be at the end, in MB: allocators keep what they had at the worst moment.
ALLOWED_GROWTH = 20

HARMFUL = {
    "crashy": "restart_delay = 20ms\nrestart_max_delay = 1s\ncrash_limit = 10000",
    "hangs": "request_timeout = 1s\nwatchdog = 2s\nstop_timeout = 500ms\ndrain_timeout = 1s\ncrash_limit = 10000",
    "leaks": "max_memory = 150M\nmax_requests = 500",
    "floods": "processes = 2",
    "forks": "stop_timeout = 500ms",
    "lazy": "idle_timeout = 3s",
    "breaks": "restart_delay = 50ms\nrestart_max_delay = 1s\ncrash_limit = 3",
}
OUTLAWS = ("head", "line", "closes", "interim", "deaf")

APP = """
import os
kept = []
from actor import Actor

class Villain(Actor):
    def do_eat(self, environ, query, count):
        kept.append(b"x" * 20_000_000)
        return "eaten\\n"

def factory(global_conf, version="1", broken=None):
    if broken and os.path.exists(broken):
        os._exit(1)
    return Villain(version, ill=None)
"""


class Site:
    """The configuration, as it is edited."""

    def __init__(self, directory):
        self.directory = directory
        self.versions = collections.Counter()
        self.extra = False
        for path in ("apps/actor.py", "programs/outlaw.py"):
            shutil.copy(os.path.join(FIXTURES, path), directory)
        with open(os.path.join(directory, "villain.py"), "w") as stream:
            stream.write(APP)

    def text(self):
        names = CLEAN + tuple(HARMFUL) + OUTLAWS + (("extra",) if self.extra else ())
        lines = ["[composite:main]", "use = egg:Paste#urlmap"]
        lines += ["/%s = %s" % (name, name) for name in names]
        for name in names:
            lines.append("[app:%s]" % name)
            if name in OUTLAWS:
                lines.append("use = exec:python3 {here}/outlaw.py %s" % name)
                lines += ["[isolate:%s]" % name, "ready = notify", "request_timeout = 1s", "crash_limit = 10000"]
                lines += ["drain_timeout = 1s", "stop_timeout = 500ms"]
                continue
            lines += ["use = villain:factory", "version = %d" % self.versions[name]]
            if name == "breaks":
                lines.append("broken = %s" % self.broken())
            if name in HARMFUL:
                lines += ["[isolate:%s]" % name, HARMFUL[name]]
        lines += ["[isolate:second]", "processes = 2"]
        return "\n".join(lines) + "\n"

    def broken(self):
        return os.path.join(self.directory, "broken")

    def write(self, text=None):
        with open(os.path.join(self.directory, "site.ini"), "w") as stream:
            stream.write(self.text() if text is None else text)


class Steady:
    """Open-loop load on one path, in a process of its own."""

    def __init__(self, port, path, rate):
        self.path = path
        self.stopping = multiprocessing.Event()
        self.results, sender = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=self.run, args=(port, rate, sender))
        self.process.start()
        sender.close()

    def run(self, port, rate, sender):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lanes, answers = 5, []
        threads = [threading.Thread(target=self.lane, args=(port, lanes / rate, lane / rate, answers)) for lane in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sender.send(answers)

    def lane(self, port, period, offset, answers):
        connection, due = None, time.monotonic() + offset
        while not self.stopping.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
                connection.request("GET", self.path)
                response = connection.getresponse()
                response.read()
                status = response.status
                # Every tenth request is on a connection of its own.
                if len(answers) % 10 == 0 or response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                connection, status = None, type(error).__name__
            answers.append((due, time.monotonic() - due, status))
            due += period

    def finish(self):
        self.stopping.set()
        answers = self.results.recv()
        self.process.join()
        return answers


class Harm:
    """What can be done to a site. Each method is one kind; those of `KINDS` are chosen at random."""

    def __init__(self, paster, site, dice):
        self.paster, self.site, self.dice = paster, site, dice
        self.done, self.failures = collections.Counter(), []
        self.proxy_kills = []
        self.scaled = 0
        self.requests = []

    # Requests that are bad for who answers them run beside everything else.
    def request(self, path):
        def go():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.paster.port, timeout=20)
                connection.request("POST", path)
                connection.getresponse().read(100_000)
                connection.close()
            except (OSError, http.client.HTTPException):
                pass

        self.requests = [thread for thread in self.requests if thread.is_alive()]
        if len(self.requests) < 40:
            thread = threading.Thread(target=go, daemon=True)
            thread.start()
            self.requests.append(thread)

    def command(self, *words, may_fail=False):
        result = self.paster.call(*words)
        if result.returncode != 0 and not may_fail:
            self.failures.append("%s: status %d: %s" % (" ".join(words), result.returncode, (result.stdout + result.stderr)[-500:]))

    def workers(self, names):
        status = self.paster.status()
        if status is None:
            self.failures.append("no status")
            return []
        apps = [app for app in status["apps"] if app["name"] in names]
        return [worker["pid"] for app in apps for worker in app["workers"] if worker["pid"]]

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def one_of(self, names):
        """One worker of these apps; at times none of them has one."""
        workers = self.workers(names)
        return [self.dice.choice(workers)] if workers else []

    def kill_worker(self):
        for pid in self.one_of(tuple(HARMFUL) + OUTLAWS):
            self.kill(pid)

    def kill_keeper(self):
        for pid in self.one_of(HARMFUL):
            try:
                with open("/proc/%d/stat" % pid) as stream:
                    keeper = int(stream.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if is_keeper(keeper):
                self.kill(keeper)

    def freeze_worker(self):
        for pid in self.one_of(("hangs",)):
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass

    def kill_proxy(self):
        status = self.paster.status()
        if status and status["proxy"]["pid"]:
            self.proxy_kills.append(time.monotonic())
            self.kill(status["proxy"]["pid"])

    def crash(self):
        self.request("/crashy/" + self.dice.choice(("exit", "segv", "kill", "close_everything")))

    def hang(self):
        self.request("/hangs/" + self.dice.choice(("slow?s=30", "loop", "gil")))

    def leak(self):
        self.request("/leaks/eat")

    def flood(self):
        self.request("/floods/" + self.dice.choice(("flood?mb=20", "flood?mb=5&garbage=1", "notify?n=100")))

    def fork(self):
        self.request("/forks/" + self.dice.choice(("children?n=10", "daemon", "deaf")))

    def wake(self):
        self.request("/lazy/")

    def outlaw(self):
        self.request("/" + self.dice.choice(OUTLAWS))

    def restart_clean(self):
        self.command("restart", self.dice.choice(CLEAN))

    def restart_harmful(self):
        self.command("restart", self.dice.choice(tuple(HARMFUL)), may_fail=True)

    def stop_and_start(self):
        name = self.dice.choice(("forks", "leaks", "crashy"))
        self.command("stop", name)
        self.command("start", name, may_fail=True)

    def crash_loop(self):
        if os.path.exists(self.site.broken()):
            os.unlink(self.site.broken())
        else:
            open(self.site.broken(), "w").close()
            for pid in self.workers(("breaks",)):
                self.kill(pid)

    def reload(self):
        self.site.versions[self.dice.choice(CLEAN + ("floods", "leaks"))] += 1
        self.site.write()
        self.command("reload", may_fail=True)

    def reload_apps(self):
        self.site.extra = not self.site.extra
        self.site.write()
        self.command("reload", may_fail=True)

    def reload_nonsense(self):
        self.site.write(self.site.text() + "[app:first]\nuse = \n")
        if self.paster.call("reload").returncode != 1:
            self.failures.append("a bad configuration was not refused")
        self.site.write()

    def scale(self):
        up = self.scaled <= 0 or (self.scaled < 3 and self.dice.random() < 0.5)
        self.scaled += 1 if up else -1
        os.kill(self.paster.process.pid, signal.SIGTTIN if up else signal.SIGTTOU)

    def upgrade(self):
        self.command("upgrade")

    KINDS = {
        kill_worker: 10, kill_keeper: 6, freeze_worker: 2, kill_proxy: 2, crash: 10, hang: 5, leak: 6, flood: 6, fork: 6, wake: 6,
        outlaw: 8, restart_clean: 4, restart_harmful: 4, stop_and_start: 3, crash_loop: 2, reload: 3, reload_apps: 2,
        reload_nonsense: 1, scale: 3, upgrade: 1,
    }

    def one(self):
        kind = self.dice.choices(list(self.KINDS), list(self.KINDS.values()))[0]
        self.done[kind.__name__] += 1
        kind(self)

    def heal(self):
        """Undoes what does not pass by itself."""
        if os.path.exists(self.site.broken()):
            os.unlink(self.site.broken())
        self.site.extra = False
        self.site.write()
        while self.scaled > 0:
            os.kill(self.paster.process.pid, signal.SIGTTOU)
            self.scaled -= 1
            time.sleep(0.1)  # two of one signal may become one
        for thread in self.requests:
            thread.join()
        self.command("reload", may_fail=True)
        # What had crashed too often gets a fresh start, and the proxy gives its idle connections up.
        self.command("restart")


class Footprint:
    """What a process of paster holds."""

    def __init__(self, pid):
        self.rss, self.pss = (n / 1e6 for n in memory(pid))
        self.open = collections.Counter(self.kinds(pid))
        self.descriptors = sum(self.open.values())
        self.threads = len(os.listdir("/proc/%d/task" % pid))

    @staticmethod
    def kinds(pid):
        for number in os.listdir("/proc/%d/fd" % pid):
            try:
                yield os.readlink("/proc/%d/fd/%s" % (pid, number)).split(":[")[0]
            except OSError:
                pass  # closed meanwhile

    def __str__(self):
        return "%5.1f MB resident, %5.1f proportional, %3d descriptors, %2d threads" % (self.rss, self.pss, self.descriptors, self.threads)


def footprints(paster):
    """Of the supervisor and the proxy, which may just be replaced."""
    while True:
        status = paster.status()
        try:
            return Footprint(paster.process.pid), Footprint(status["proxy"]["pid"])
        except (OSError, TypeError):
            time.sleep(0.1)


def rested(paster):
    """The footprints when nothing goes on: the smallest of some seconds."""
    samples = []
    for _ in range(20):
        samples.append(footprints(paster))
        time.sleep(0.25)
    return [min(each, key=lambda footprint: footprint.descriptors) for each in zip(*samples)]


def all_there(paster):
    def look():
        status = paster.status()
        return status and status["proxy"]["pid"] and all(app["state"] in ("ready", "idle") for app in status["apps"])

    wait_for("all apps ready", look)


def judge(answers, proxy_kills):
    """(all, failed, failed without a proxy that was killed, latencies in ms without those)."""
    excused = lambda due, seconds: any(due - AFTERMATH <= kill <= due + seconds + AFTERMATH for kill in proxy_kills)
    failed = [(due, seconds, status) for due, seconds, status in answers if status != 200]
    unexcused = [each for each in failed if not excused(each[0], each[1])]
    times = sorted(seconds * 1e3 for due, seconds, _ in answers if not excused(due, seconds))
    return len(answers), failed, unexcused, times


def left_over(directory):
    """Processes that mention the site after its end."""
    found, needle = [], directory.encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as environ, open("/proc/%s/cmdline" % pid, "rb") as arguments:
                text = arguments.read()
                if int(pid) != os.getpid() and needle in environ.read() + text:
                    found.append("%s %s" % (pid, text.replace(b"\0", b" ").decode(errors="replace")))
        except OSError:
            pass
    return found


def zombies(pid):
    def state(child):
        try:
            with open("/proc/%d/stat" % child) as stream:
                return stream.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return None

    return [child for child in children(pid) if state(child) == "Z"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--rate", type=float, default=50, help="requests per second to each clean app")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ps") as directory:
        sys.exit(soak(args, directory))


def soak(args, directory):
    print("soak for %g minutes, seed %d" % (args.minutes, args.seed))
    site = Site(directory)
    # Whatever is started by it can be found by this.
    with Paster(directory, site.text(), {"SOAK_SITE": directory}) as paster:
        all_there(paster)
        first = rested(paster)
        for name, footprint in zip(("supervisor", "proxy"), first):
            print("  begin  %-10s %s" % (name, footprint))
        loads = [Steady(paster.port, "/%s/" % name, args.rate) for name in CLEAN]
        harm = Harm(paster, site, random.Random(args.seed))
        began = time.monotonic()
        end, minute = began + args.minutes * 60, began + 60
        while time.monotonic() < end:
            harm.one()
            time.sleep(harm.dice.uniform(0.05, 0.6))
            if time.monotonic() >= minute:
                now = footprints(paster)
                print("  %3.0f min supervisor %s, %d processes" % ((time.monotonic() - began) / 60, now[0], len(children(paster.process.pid))))
                print("          proxy      %s" % now[1])
                sys.stdout.flush()
                minute += 60
        harm.heal()
        all_there(paster)
        answers = [load.finish() for load in loads]
        harm.command("restart")
        all_there(paster)
        time.sleep(2)
        last = rested(paster)
        dead = zombies(paster.process.pid)
    left, files = left_over(directory), os.listdir(paster.run_dir) if os.path.exists(paster.run_dir) else []
    return verdict(harm, answers, first, last, ["zombie %d" % pid for pid in dead] + left + files)


def verdict(harm, answers, first, last, remains):
    complaints = list(harm.failures)
    for name, footprint in zip(("supervisor", "proxy"), last):
        print("  end    %-10s %s" % (name, footprint))
    print("harm: %s" % ", ".join("%d %s" % (count, kind) for kind, count in harm.done.most_common()))
    for name, results in zip(CLEAN, answers):
        count, failed, unexcused, times = judge(results, harm.proxy_kills)
        print("%-7s %d requests, %d failed when the proxy was killed, %d else: %.4f %% available" % (
            name, count, len(failed) - len(unexcused), len(unexcused), 100 * (1 - len(failed) / count)))
        print("        p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, longest %.0f ms" % (
            statistics.median(times), times[len(times) * 99 // 100], times[len(times) * 999 // 1000], times[-1]))
        complaints += ["%s: %s after %.3f s" % (name, status, seconds) for _, seconds, status in unexcused[:20]]
    for name, before, after in zip(("supervisor", "proxy"), first, last):
        if after.descriptors > before.descriptors:
            complaints.append("%s: more descriptors: %s" % (name, dict(after.open - before.open)))
        # The supervisor has up to eight helper threads, which stay.
        if after.threads > before.threads + (8 if name == "supervisor" else 0):
            complaints.append("%s: %d threads more" % (name, after.threads - before.threads))
        if after.rss > before.rss + ALLOWED_GROWTH:
            complaints.append("%s: %.1f MB more" % (name, after.rss - before.rss))
    complaints += ["left over: %s" % each for each in remains]
    print("verdict: %s" % ("good" if not complaints else "BAD"))
    for complaint in complaints:
        print("  %s" % complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    main()
