"""What the three apps have in common: a page that says which process it comes from."""

import html
import os
import threading
import time

STYLE = (
    "body { font: 1.1em/1.5 system-ui, sans-serif; max-width: 42em; margin: 2em auto; padding: 0 1em; color: #222 }\n"
    "h1 { border-bottom: .25em solid %s }\n"
    "th { text-align: left; font-weight: normal; padding-right: 1.5em; color: #666 }\n"
    "td { font-family: monospace; font-size: 1.2em }\n"
    "nav a, .act a { display: inline-block; margin: 0 1em .5em 0 }\n"
)


class Process:
    """This process, as a reload of a page shows it: a new pid or a count that starts over is a new process."""

    def __init__(self):
        self.started = time.monotonic()
        self.requests = 0
        self.lock = threading.Lock()

    def count(self):
        with self.lock:
            self.requests += 1
            return self.requests

    def uptime(self):
        return time.monotonic() - self.started


def page(environ, name, colour, process, body):
    """One HTML page as bytes: the app's name, its links, what `body` says, and the facts about the process."""
    mount = environ.get("SCRIPT_NAME", "")
    facts = [
        ("app", name),
        ("process (pid)", str(os.getpid())),
        ("mounted at (SCRIPT_NAME)", mount or "the root"),
        ("path within (PATH_INFO)", environ.get("PATH_INFO", "")),
        ("up for", "%.1f s" % process.uptime()),
        ("requests to this process", str(process.count())),
    ]
    rows = "\n".join("<tr><th>%s</th><td>%s</td></tr>" % (label, html.escape(value)) for label, value in facts)
    return (
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%s</title>\n<style>\n%s</style>\n"
        "<nav><a href=\"/\">home</a><a href=\"/steady\">steady</a><a href=\"/crashy\">crashy</a></nav>\n"
        "<h1>%s</h1>\n<table>\n%s\n</table>\n%s\n" % (name, STYLE % colour, name, rows, body)
    ).encode("utf-8")


def answer(start_response, status, body, content_type="text/html; charset=utf-8"):
    """A whole response; nothing may keep it, as the pages are about now."""
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(status, headers)
    return [body]


def not_found(start_response):
    return answer(start_response, "404 Not Found", b"there is no such page\n", "text/plain; charset=utf-8")
