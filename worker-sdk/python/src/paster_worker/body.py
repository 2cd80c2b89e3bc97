"""Request bodies as `wsgi.input`: framed, streamed, with a plain end of file at the end of the body."""

import io

MAX_LINE = 16 * 1024  # bytes of one chunk-size line or trailer line
MAX_TRAILERS = 64 * 1024
DRAIN = 256 * 1024  # bytes of an unread body that are read away to keep the connection


class ClientDisconnected(ConnectionError):
    """The other side went away in the middle of a request or response."""


class MalformedBody(ClientDisconnected):
    """The body is not framed as announced; nothing on this connection can be trusted any more."""


class _Body(io.RawIOBase):
    """A body that is still arriving on `connection`. Reading past its end gives b""."""

    def __init__(self, connection, expects):
        self._connection = connection
        self._expects = expects
        self.complete = False
        self.answered = False

    def readable(self):
        return True

    def begin(self):
        """Asks a client that waits with `Expect: 100-continue` to go on, unless it has its answer already."""
        if self._expects:
            self._expects = False
            if not self.answered:
                self._connection.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")

    def readinto(self, target):
        if self.complete:
            return 0
        if self._connection is None:
            raise ValueError("wsgi.input was read after the end of its request")
        self.begin()
        return self._fill(target)

    def release(self):
        """Ends the request for this body: later reads fail instead of eating the next request."""
        self._connection = None

    def could_drain(self, unread=True):
        """Whether `drain` has a chance, as far as is known now; `unread`: nobody else will read."""
        return not self._expects and not (unread and self._announced() > DRAIN)

    def drain(self):
        """Reads the rest away if it is short; whether the connection stands at the end of the body now."""
        if self.complete:
            return True
        if not self.could_drain():
            return False
        scratch = bytearray(65536)
        left = DRAIN
        try:
            while not self.complete and left > 0:
                left -= self.readinto(scratch)
        except OSError:
            return False
        return self.complete

    def _announced(self):
        return 0

    def _fill(self, target):
        raise NotImplementedError


class SizedBody(_Body):
    """A body with Content-Length."""

    def __init__(self, connection, expects, length):
        super().__init__(connection, expects)
        self._left = length

    def _announced(self):
        return self._left

    def _fill(self, target):
        size = min(len(target), self._left)
        if not size:
            return 0
        count = self._connection.receive_into(memoryview(target)[:size])
        self._left -= count
        self.complete = not self._left
        return count


class ChunkedBody(_Body):
    """A body in chunked transfer coding (RFC 9112 section 7.1); extensions and trailers are dropped."""

    def __init__(self, connection, expects):
        super().__init__(connection, expects)
        self._left = 0
        self._started = False

    def _fill(self, target):
        if not self._left:
            self._next_chunk()
            if self.complete:
                return 0
        size = min(len(target), self._left)
        if not size:
            return 0
        count = self._connection.receive_into(memoryview(target)[:size])
        self._left -= count
        return count

    def _next_chunk(self):
        line = self._connection.receive_line
        if self._started and line(2) != b"":
            raise MalformedBody("no line end after a chunk")
        self._started = True
        digits = line(MAX_LINE).partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise MalformedBody("malformed chunk size")
        self._left = int(digits, 16)
        if self._left:
            return
        room = MAX_TRAILERS
        while True:
            trailer = line(MAX_LINE)
            if not trailer:
                break
            room -= len(trailer)
            if room < 0:
                raise MalformedBody("too many trailers")
        self.complete = True
