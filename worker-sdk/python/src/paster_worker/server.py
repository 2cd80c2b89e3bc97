"""The listening side: the main thread accepts, pings the watchdog, hears signals and never runs the app; the threads of the
pool serve requests.
"""

import io
import os
import select
import socket
import sys
import threading
import time

from . import __version__
from .body import ChunkedBody, SizedBody
from .connection import Connection
from .errors import log
from .http import MAX_HEAD, BadRequest, framing, keeps_alive, parse
from .pool import TICK, Pool
from .wsgi import Exchange, FileWrapper

_READ = 16384  # bytes of one receive for a head
_TURNS = 16  # requests in a row on one connection while others are parked and no thread waits for them


def base_environ(threads, processes):
    """What all requests have in common."""
    return {
        "SCRIPT_NAME": "",
        "PATH_INFO": "",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_SOFTWARE": "paster/" + __version__,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": processes > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }


class Server:
    """Serves `app` on `listener` until it is told to stop."""

    def __init__(self, listener, app, threads, processes=1, debug=False):
        self._listener = listener
        self._app = app
        self._threads = max(1, threads)
        self._base = base_environ(self._threads, processes)
        self._pool = Pool()
        self.debug = debug
        self.draining = False

    def serve(self, wakeup, stopping, tick, period):
        """Accepts until `stopping()`; then finishes what is in flight and returns.

        `wakeup` is a descriptor that becomes readable when `stopping` may have changed; `tick` is called at least every
        `period` seconds (None: now and then).
        """
        threads = [threading.Thread(target=self._work, name="paster-%d" % number, daemon=True) for number in range(self._threads)]
        for thread in threads:
            thread.start()
        self._accept_until(wakeup, stopping, tick, period)
        self.draining = True
        self._listener.close()
        self._pool.exclusive = False
        self._pool.close()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1 if period is None else min(period, 0.1))
                tick()
        self._pool.close_parked()  # a thread may have parked one just when we looked

    def _accept_until(self, wakeup, stopping, tick, period):
        pool = self._pool
        self._listener.settimeout(0)
        poll = select.poll()
        for source in (self._listener.fileno(), wakeup, pool.alarm):
            poll.register(source, select.POLLIN)
        looked = 0.0
        while not stopping():
            tick()
            if pool.exclusive:
                wait = TICK
                now = time.monotonic()
                if now - looked >= TICK:
                    looked = now
                    pool.look()
            else:
                wait = period
            for fd, _ in poll.poll(None if wait is None else wait * 1000):
                if fd == wakeup or fd == pool.alarm:
                    os.read(fd, 4096)
                else:
                    self._accept()

    def _accept(self):
        for _ in range(64):
            try:
                connection = Connection(*self._listener.accept())
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors, or a client that left. What waits in the backlog is not lost.
                log("warning: cannot accept a connection: %s" % error)
                time.sleep(0.1)
                return
            self._pool.add(connection)

    def _work(self):
        token = object()
        while True:
            connection = self._pool.take(token)
            if connection is None:
                return
            try:
                self._serve(connection, token)
            except Exception as error:
                log("error: a fault of the host itself: %r" % error)
                connection.close()

    def _serve(self, connection, token):
        """Serves requests on a connection that this thread owns, until it is parked or closed."""
        pool = self._pool
        clock = time.perf_counter
        began, turns = clock(), 0
        while True:
            head = self._next_head(connection, token, turns)
            if head is None or not self._answer(connection, head):
                break
            turns += 1
            pool.served += 1
            if not turns % _TURNS:
                now = clock()
                pool.note(_TURNS, now - began)
                began = now
        if turns % _TURNS:
            pool.note(turns % _TURNS, clock() - began)

    def _next_head(self, connection, token, turns):
        """The next head without its blank line, or None: then the connection was parked or closed."""
        buffer = connection.buffer.lstrip(b"\r\n")
        end = buffer.find(b"\r\n\r\n")
        while end < 0:
            if len(buffer) > MAX_HEAD:
                return self._refuse(connection, "431 Request Header Fields Too Large")
            try:
                data = connection.recv(_READ, 0) if not turns else self._receive(connection, token, turns)
            except BlockingIOError:
                connection.buffer = buffer
                return connection.close() if self.draining else self._pool.park(connection)
            except OSError:
                return connection.close()
            if not data:
                return connection.close()
            buffer = (buffer + data) if buffer else data.lstrip(b"\r\n")
            end = buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD:
            return self._refuse(connection, "431 Request Header Fields Too Large")
        connection.buffer = buffer[end + 4 :]
        return buffer[:end]

    def _receive(self, connection, token, turns):
        """What comes after a response, as far as it pays to wait for it; raises BlockingIOError.

        Waiting a moment saves a round of parking, but only while another thread looks after the parked connections or none
        is parked.
        """
        pool = self._pool
        if pool.exclusive:
            if pool.parked or not pool.leads(token):
                raise BlockingIOError
            pool.waiting = True
            try:
                return connection.recv(_READ)
            finally:
                pool.waiting = False
        if pool.waiting or not pool.parked:
            return connection.recv(_READ)
        if turns % _TURNS:
            return connection.recv(_READ, socket.MSG_DONTWAIT)
        raise BlockingIOError

    def _answer(self, connection, head):
        """One request and its response; whether the connection goes on. If not, it is closed."""
        try:
            environ = parse(head, self._base)
            length = framing(environ)
        except BadRequest as error:
            return self._refuse(connection, error.status)
        if connection.peer is not None and not environ["REMOTE_ADDR"]:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = connection.peer[0], str(connection.peer[1])
        buffer = connection.buffer
        body = None
        if length is None:
            environ["wsgi.input"] = io.BytesIO()
        elif 0 < length <= len(buffer):
            environ["wsgi.input"] = io.BytesIO(buffer[:length])
            connection.buffer = buffer[length:]
        else:
            expects = environ.get("HTTP_EXPECT", "").lower() == "100-continue" and not buffer
            body = ChunkedBody(connection, expects) if length < 0 else SizedBody(connection, expects, length)
            environ["wsgi.input"] = io.BufferedReader(body, 65536)
        keep = Exchange(connection, environ, keeps_alive(environ), body, self).run(self._app, environ)
        if body is not None:
            keep = keep and body.drain()
            body.release()
        if keep and not self.draining:
            return True
        connection.close()
        return False

    def _refuse(self, connection, status):
        """Answers what is not understood, and ends the connection."""
        try:
            text = status.encode("ascii")
            connection.send_all(
                b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b\n"
                % (text, len(text) + 1, text)
            )
        except OSError:
            pass
        connection.close()
