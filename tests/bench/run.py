#!/usr/bin/env python3
"""End-to-end benchmarks of paster, with peers in the same run where they are installed.

    cargo build --release && python3 tests/bench/run.py            # everything
    python3 tests/bench/run.py hop tls --rounds 5 --seconds 5      # some of it; `--help` has the names

CPU time is that of the whole process tree, from /proc; ratios matter, absolute times depend on the machine.
Needs `wrk`, `nginx` and `openssl` for what is about the proxy; `haproxy` is a second peer there, `supervisord` that of `logs`. What
is missing is named and left out.
"""
import argparse
import sys
import tempfile

import clients
import hop
import logs
import streams
import supervision
from tools import release

BENCHES = {
    "hop": hop.bench_hop, "tls": hop.bench_tls, "mounts": hop.bench_mounts, "python": hop.bench_python, "static": hop.bench_static,
    "bodies": streams.bench_bodies, "websocket": streams.bench_websocket,
    "restart": supervision.bench_restart, "kill": supervision.bench_kill, "proxy": supervision.bench_proxy,
    "memory": supervision.bench_memory, "start": supervision.bench_start, "ondemand": supervision.bench_ondemand,
    "logs": logs.bench_logs, "idle": clients.bench_idle, "slow": clients.bench_slow,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help="of: %s" % ", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    args = parser.parse_args()
    # Before any peer runs that would have to be stopped.
    release("paster")
    for name in args.benches or BENCHES:
        if name not in BENCHES:
            parser.error("there is no benchmark %r" % name)
        with tempfile.TemporaryDirectory(prefix="pb") as directory:
            BENCHES[name](args, directory)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
