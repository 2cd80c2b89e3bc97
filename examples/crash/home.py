"""The page at the root of the site."""

from page import Process, answer, not_found, page

BODY = """
<p>Each app of this site is a process of its own. Open <a href="/steady">steady</a> in one window and keep reloading it. Then
go to <a href="/crashy">crashy</a> in another and let it die: the pid and the counter of <i>steady</i> show that nothing
has happened to it, and <i>crashy</i> is back, with a new pid, when you next look.</p>
<p>In a terminal, with the same file:</p>
<pre>paster status examples/crash/site.ini
paster restart examples/crash/site.ini steady</pre>
"""


def factory(global_config, **local_conf):
    process = Process()

    def app(environ, start_response):
        if environ.get("PATH_INFO", "") not in ("", "/"):
            return not_found(start_response)
        return answer(start_response, "200 OK", page(environ, "home", "#4a7", process, BODY))

    return app
