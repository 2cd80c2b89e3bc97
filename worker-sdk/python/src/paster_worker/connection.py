"""One accepted connection: bytes in, bytes out, and what was read too far."""

import os
import select
import socket
import struct

from .body import ClientDisconnected, MalformedBody

LINGER = 0.001  # seconds that a receive waits before it gives up


class Connection:
    """A blocking stream socket whose receives give up after LINGER.

    One thread at a time uses it: the one that took it from the set of parked connections.
    """

    __slots__ = ("sock", "fd", "recv", "buffer", "peer")

    def __init__(self, sock, address):
        sock.settimeout(None)
        # The receive timeout is the kernel's: one system call waits and reads.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(LINGER * 1000000)))
        self.peer = None
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = address
        self.sock = sock
        self.fd = sock.fileno()
        self.recv = sock.recv
        self.buffer = b""

    def close(self):
        """Ends the connection even where a process that the app forked holds a copy of it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def send_all(self, data):
        """Sends every byte; raises ClientDisconnected."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ClientDisconnected(str(error)) from None

    def send_file(self, fd, offset, count):
        """Sends `count` bytes of the file `fd` from `offset` without copying; returns how many were there."""
        sent = 0
        while sent < count:
            try:
                step = os.sendfile(self.fd, fd, offset + sent, min(count - sent, 1 << 30))
            except (BrokenPipeError, ConnectionError) as error:
                raise ClientDisconnected(str(error)) from None
            if not step:
                break
            sent += step
        return sent

    def receive_into(self, target):
        """Waits for bytes and puts them into `target`; how many, never 0. Raises ClientDisconnected."""
        if self.buffer:
            count = min(len(target), len(self.buffer))
            target[:count] = self.buffer[:count]
            self.buffer = self.buffer[count:]
            return count
        count = self._patiently(self.sock.recv_into, target)
        if not count:
            raise ClientDisconnected("the connection ended within the request body")
        return count

    def receive_line(self, limit):
        """The next line without its CRLF; raises MalformedBody when it has more than `limit` bytes."""
        while True:
            end = self.buffer.find(b"\r\n", 0, limit + 2)
            if end >= 0:
                line = self.buffer[:end]
                self.buffer = self.buffer[end + 2 :]
                if b"\n" in line or b"\r" in line:
                    raise MalformedBody("stray line end in chunked framing")
                return line
            if len(self.buffer) >= limit + 2:
                raise MalformedBody("line too long in chunked framing")
            data = self._patiently(self.recv, 65536)
            if not data:
                raise ClientDisconnected("the connection ended within the request body")
            self.buffer += data

    def _patiently(self, receive, argument):
        while True:
            try:
                return receive(argument)
            except BlockingIOError:
                waiter = select.poll()
                waiter.register(self.fd, select.POLLIN)
                waiter.poll()
            except OSError as error:
                raise ClientDisconnected(str(error)) from None
