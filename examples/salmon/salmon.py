"""The app that start.ini names: ``use = salmon:factory``."""

import html
import os

KINDS = {
    "atlantic": ("Atlantic salmon", "Salmo salar", "spawns more than once in its life"),
    "chinook": ("Chinook salmon", "Oncorhynchus tshawytscha", "the largest of the Pacific salmon"),
    "sockeye": ("Sockeye salmon", "Oncorhynchus nerka", "turns red on its way home"),
}


def factory(global_config, **local_conf):
    """Called once by paster with [DEFAULT] and the rest of [app:main]; returns the WSGI application."""
    debug = global_config.get("debug", "").lower() == "true"
    return Salmon(debug, title=local_conf.get("title", "Salmon"))


class Salmon:
    def __init__(self, debug, title):
        self.debug = debug
        self.title = title

    def __call__(self, environ, start_response):
        name = environ.get("PATH_INFO", "").strip("/")
        if not name:
            status, body = "200 OK", self.index(environ)
        elif name in KINDS:
            status, body = "200 OK", self.kind(environ, name)
        else:
            status, body = "404 Not Found", "<h1>No such salmon</h1>"
        page = (
            "<!doctype html>\n<html lang=en><meta charset=utf-8><title>%s</title>\n"
            "<body style='font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 2em auto'>\n%s\n"
            % (html.escape(self.title), body)
        ).encode("utf-8")
        start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))])
        return [page]

    def index(self, environ):
        root = html.escape(environ.get("SCRIPT_NAME", ""))
        items = ["<li><a href='%s/%s'>%s</a></li>" % (root, key, kind[0]) for key, kind in sorted(KINDS.items())]
        body = "<h1>%s</h1>\n<ul>\n%s\n</ul>" % (html.escape(self.title), "\n".join(items))
        if self.debug:
            body += "\n<p><small>debug is on; this is process %d</small></p>" % os.getpid()
        return body

    def kind(self, environ, name):
        root = html.escape(environ.get("SCRIPT_NAME", ""))
        return "<h1>%s</h1>\n<p><i>%s</i>: %s.</p>\n<p><a href='%s/'>all salmon</a></p>" % (KINDS[name] + (root,))
