"""An app that works until ``/boom?how=…`` is asked for."""

import ctypes
import os
import signal
import threading
import time
from urllib.parse import parse_qs

from page import Process, answer, not_found, page

# `leak` stops here even where nobody has set a limit, so that trying it out does not take the machine down.
LEAK_AT_MOST = 512 * 1024 * 1024
LEAK_STEP = 16 * 1024 * 1024


def leave():
    os._exit(3)


def segfault():
    ctypes.string_at(0)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # until the signal is there


def leak():
    hoard = []
    while len(hoard) * LEAK_STEP < LEAK_AT_MOST:
        hoard.append(bytearray(os.urandom(4096)) * (LEAK_STEP // 4096))
        time.sleep(0.02)
    os._exit(137)


def hang():
    threading.Event().wait()


def fail():
    raise RuntimeError("this is the exception that you asked for")


WAYS = {
    "exit": (leave, "<code>os._exit(3)</code>: ends in the middle of a request"),
    "segv": (segfault, "reads address 0: a segmentation fault, as a bug in a C extension causes it"),
    "kill": (kill, "SIGKILL, as the kernel sends it when memory runs out"),
    "leak": (leak, "takes memory, 16 MiB at a time, and dies at 512 MiB, or sooner where a limit says so"),
    "hang": (hang, "never answers; <code>request_timeout</code> in <code>[isolate:crashy]</code> says how long that may take"),
    "exception": (fail, "a Python exception: an error page, and the process lives on"),
}

BODY = """
<p>It works. These links end it, each in its own way; come back afterwards and compare the pid:</p>
<ul class="act">
%s
</ul>
"""


def factory(global_config, **local_conf):
    process = Process()

    def app(environ, start_response):
        path = environ.get("PATH_INFO", "")
        if path == "/boom":
            return boom(environ, start_response)
        if path not in ("", "/"):
            return not_found(start_response)
        mount = environ.get("SCRIPT_NAME", "")
        links = ["<li><a href=\"%s/boom?how=%s\">%s</a> %s</li>" % (mount, how, how, WAYS[how][1]) for how in WAYS]
        return answer(start_response, "200 OK", page(environ, "crashy", "#c43", process, BODY % "\n".join(links)))

    return app


def boom(environ, start_response):
    how = parse_qs(environ.get("QUERY_STRING", "")).get("how", ["exit"])[0]
    if how not in WAYS:
        text = "how= is one of: %s\n" % ", ".join(WAYS)
        return answer(start_response, "400 Bad Request", text.encode("utf-8"), "text/plain; charset=utf-8")
    print("crashy: about to %s, as asked" % how, flush=True)
    WAYS[how][0]()
    return answer(start_response, "200 OK", b"still here\n", "text/plain; charset=utf-8")
