"""The server side of PEP 3333: one request through one application onto one connection."""

import io
import os
import stat
import sys

from .body import ClientDisconnected
from .http import is_token

SMALL = 65536  # bytes that are copied to go out in one piece with their framing

_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer trailers transfer-encoding upgrade".split()
)
# Field name as the app writes it -> whether it is Content-Length. Only valid names get in.
_names = {}
_NAMES_LIMIT = 2000


class FileWrapper:
    """`wsgi.file_wrapper`: a file to be sent, by sendfile(2) where that is possible."""

    def __init__(self, filelike, blksize=65536):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration

    def region(self):
        """(descriptor, offset, size) of the rest of a regular file, or None."""
        stream = self.filelike
        if type(stream).__module__ == "tempfile":
            stream = getattr(stream, "file", stream)  # what NamedTemporaryFile wraps
        # Exactly these types: a GzipFile has a descriptor too, but that one reads something else.
        if type(stream) not in (io.BufferedReader, io.BufferedRandom) or type(stream.raw) is not io.FileIO:
            return None
        try:
            stream.flush()
            fd, offset = stream.fileno(), stream.tell()
            status = os.fstat(fd)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return fd, offset, max(0, status.st_size - offset)


class Exchange:
    """One response. `run` returns whether the connection can carry another request.

    `server` says by `draining` whether connections end after their response, and by `debug` whether an error page shows why.
    """

    __slots__ = (
        "connection", "server", "body", "keep", "http11", "is_head", "bodyless", "head", "length", "sent", "begun", "chunked"
    )  # fmt: skip

    def __init__(self, connection, environ, keep, body, server):
        self.connection = connection
        self.server = server
        self.keep = keep
        self.http11 = environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        self.is_head = environ["REQUEST_METHOD"] == "HEAD"
        self.bodyless = self.is_head
        self.head = None  # status line and fields, without framing and without the blank line
        self.length = None  # Content-Length that the app declared
        self.sent = 0  # bytes of body so far
        self.begun = False  # the head is on its way
        self.chunked = False
        self.body = body  # the request body if it is still arriving

    def run(self, app, environ):
        result = None
        try:
            result = app(environ, self.start_response)
            if type(result) in (list, tuple) and not self.begun:
                self._send_whole(result[0] if len(result) == 1 else b"".join(result))
            elif type(result) is FileWrapper and not self.begun and not self.bodyless and self._send_file(result):
                pass
            else:
                for data in result:
                    if data:
                        self.write(data)
                        if self.bodyless:
                            break
                self._finish()
        except ClientDisconnected:
            self.keep = False
        except BaseException:
            self._fail(environ)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException:
                    _log_exception(environ, "close() of the response failed")
        return self.keep

    # The application's side

    def start_response(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise AssertionError("start_response was called a second time without exc_info")
        code = status[:3]
        if type(status) is not str or not code.isdecimal() or status[3:4] not in ("", " ") or not "200" <= code <= "999":
            raise ValueError("malformed or interim status %r" % (status,))
        length = None
        lines = ["HTTP/1.1 " + status]
        for name, value in headers:
            is_length = _names.get(name)
            if is_length is None:
                is_length = _check_name(name)
            if is_length:
                if length is not None or type(value) is not str or not value.isdecimal():
                    raise ValueError("repeated or malformed Content-Length %r" % (value,))
                length = int(value)
                if code == "204":
                    continue
            lines.append(name + ": " + value)
        text = "\r\n".join(lines)
        ends = len(lines) - 1
        if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
            raise ValueError("CR, LF or NUL in the status or in a header of the response")
        self.head = text.encode("latin-1")
        self.length = length
        self.bodyless = self.is_head or code == "204" or code == "304"
        return self.write

    def write(self, data):
        """Sends a piece of the body; also the `write` callable of PEP 3333."""
        if type(data) is not bytes:
            data = _as_bytes(data)
        if not data:
            return
        framed = b"" if self.begun else self._begin(None)
        if self.bodyless:
            data = b""
        elif self.length is not None:
            room = self.length - self.sent
            if len(data) > room:
                data = data[:room]
                self._send(framed, data)
                self.sent += len(data)
                self.keep = False
                raise ValueError("the response is longer than its Content-Length of %d" % self.length)
        self.sent += len(data)
        self._send(framed, data)

    # Framing

    def _begin(self, known):
        """The bytes of the head. `known` is the length of the whole body where the app has given all of it."""
        if self.head is None:
            raise AssertionError("the app did not call start_response before its first byte of body")
        self.begun = True
        body = self.body
        if body is not None:
            body.answered = True
            # An app that is done reads no more; one that streams may.
            if not (body.complete or body.could_drain(known is not None)):
                self.keep = False
        framing = b"\r\n"
        if self.length is None and not self.bodyless:
            if known is not None:
                framing = b"\r\nContent-Length: %d\r\n" % known
                self.length = known
            elif self.http11:
                framing = b"\r\nTransfer-Encoding: chunked\r\n"
                self.chunked = True
            else:
                self.keep = False
        if not self.keep or self.server.draining:
            framing += b"Connection: close\r\n"
        return self.head + framing + b"\r\n"

    def _send(self, head, data):
        if self.chunked and data:
            if len(data) <= SMALL:
                self.connection.send_all(b"%b%x\r\n%b\r\n" % (head, len(data), data))
            else:
                self.connection.send_all(b"%b%x\r\n" % (head, len(data)))
                self.connection.send_all(data)
                self.connection.send_all(b"\r\n")
        elif len(data) <= SMALL:
            self.connection.send_all(head + data)
        else:
            if head:
                self.connection.send_all(head)
            self.connection.send_all(data)

    def _send_whole(self, data):
        """A response whose body is all there."""
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self.length is not None or self.bodyless or self.head is None:
            if self.is_head and data and self.length is None and self.head is not None:
                self.head += b"\r\nContent-Length: %d" % len(data)
            self.write(data)
            self._finish()
            return
        head = self._begin(len(data))
        self.sent = len(data)
        self._send(head, data)

    def _send_file(self, wrapper):
        """Whether the file went out by sendfile(2); if not, nothing was sent."""
        region = wrapper.region()
        if region is None or self.head is None or self.bodyless:
            return False
        fd, offset, size = region
        declared = self.length
        head = self._begin(size)
        self.connection.send_all(head)
        count = size if declared is None else declared
        self.sent = self.connection.send_file(fd, offset, count)
        self._finish()
        return True

    def _finish(self):
        if not self.begun:
            self.connection.send_all(self._begin(0))
        if self.bodyless:
            return
        if self.chunked:
            self.connection.send_all(b"0\r\n\r\n")
        elif self.length is not None and self.sent < self.length:
            self.keep = False
            raise ValueError("the response has %d bytes, but its Content-Length is %d" % (self.sent, self.length))

    def _fail(self, environ):
        """The app raised: a traceback for the log, and 500 or, where the head is gone already, an abrupt end."""
        trace = _log_exception(environ, "the application failed")
        if self.begun:
            self.keep = False
            return
        text = b"Internal Server Error\n"
        if self.server.debug:
            text += b"\n" + trace.encode("utf-8", "replace")
        self.head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8"
        self.length = None
        self.bodyless = False
        try:
            head = self._begin(len(text))
            self._send(head, b"" if self.is_head else text)
        except ClientDisconnected:
            self.keep = False


def _check_name(name):
    """Whether a new field name is Content-Length; raises for what a WSGI application may not send."""
    if type(name) is not str or not is_token(name):
        raise ValueError("malformed header name %r" % (name,))
    lower = name.lower()
    if lower in _HOP_BY_HOP:
        raise ValueError("the hop-by-hop header %r belongs to the server (PEP 3333)" % name)
    if len(_names) < _NAMES_LIMIT:
        _names[name] = lower == "content-length"
    return lower == "content-length"


def _as_bytes(data):
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError("the response body must be made of bytes, not %s" % type(data).__name__)


def _log_exception(environ, what):
    from .errors import format_exception, log

    trace = format_exception(sys.exc_info()[1])
    text = "error: %s: %s %s\n%s" % (what, environ["REQUEST_METHOD"], environ["REQUEST_URI"], trace.rstrip("\n"))
    log(text, environ.get("wsgi.errors"))
    return trace
