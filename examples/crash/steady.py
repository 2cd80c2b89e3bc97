"""An app that just works; its counter lives in memory, so it starts over when the process does."""

from page import Process, answer, not_found, page

BODY = """
<p>Reload: the counter goes up and the pid stays. It would start over at 1 if anything had happened to this process.</p>
"""


def factory(global_config, **local_conf):
    process = Process()

    def app(environ, start_response):
        if environ.get("PATH_INFO", "") not in ("", "/"):
            return not_found(start_response)
        return answer(start_response, "200 OK", page(environ, "steady", "#47a", process, BODY))

    return app
