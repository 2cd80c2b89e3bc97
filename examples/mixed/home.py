"""The Python part: the page at the root, with links to the others."""

import html
import os
import sys

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<body style="font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 2em auto">
<h1>{title}</h1>
<ul>
<li>this page: Python {python}, process {pid}</li>
<li><a href="{root}/rust">/rust</a>: a Rust program, through <code>paster-worker</code></li>
<li><a href="{root}/node">/node</a>: Node's own <code>http</code> server, nothing installed</li>
</ul>
<p>End any of them (<code>kill -9 {pid}</code> ends this one): the others do not notice.</p>
"""


def factory(global_config, title="Home"):
    def app(environ, start_response):
        if environ.get("PATH_INFO", "") not in ("", "/"):
            body = b"there is no such page\n"
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return [body]
        page = PAGE.format(
            title=html.escape(title),
            python="%d.%d" % tuple(sys.version_info[:2]),
            pid=os.getpid(),
            root=html.escape(environ.get("SCRIPT_NAME", "")),
        )
        body = page.encode("utf-8")
        start_response(
            "200 OK",
            [
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [body]

    return app
