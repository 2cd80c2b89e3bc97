"""What paster gives a worker and how the worker speaks back (docs/worker-contract.md).

Everything here is read once, at the start, and taken out of the environment, so that programs started by the app do not
take it for theirs.
"""

import json
import os
import socket

LISTEN_FD = 3
PATIENCE = 5.0  # seconds


class ContractError(Exception):
    """Whoever started us does not keep the contract."""


class Config:
    """The configuration document; field names as in the contract."""

    def __init__(self, document):
        if not isinstance(document, dict) or document.get("contract") != 1:
            raise ContractError("the configuration is not a document of contract version 1")
        if "tree" not in document:
            raise ContractError("the configuration has no `tree`")
        self.app = document.get("app") or "main"
        self.tree = document["tree"]
        self.threads = document.get("threads") or 1
        self.debug = bool(document.get("debug"))
        self.config_file = document.get("config_file")
        self.python_path = document.get("python_path") or []
        self.logging = document.get("logging")
        self.resolver = document.get("resolver")
        self.tell_files = bool(document.get("tell_files"))


class Seat:
    """What is different in each worker of an app."""

    def __init__(self, notifier, listener, period, processes):
        self.notifier = notifier
        self.listener = listener
        self.period = period  # seconds between two pings of the watchdog, or None
        self.processes = processes

    @classmethod
    def take(cls, notifier):
        """As the environment has it."""
        period = take_watchdog()
        processes = take_processes()
        return cls(notifier, take_listener(), period, processes)


def take_config(environ=os.environ):
    """Reads the configuration from its descriptor and closes that."""
    fd = number(environ.pop("PASTE_CONFIG_FD", None), "PASTE_CONFIG_FD")
    try:
        with open(fd, "rb") as stream:
            return Config(json.loads(stream.read().decode("utf-8")))
    except (OSError, ValueError) as error:
        raise ContractError("the configuration cannot be read: %s" % error) from None


def take_listener(environ=os.environ):
    """The listening stream socket that was inherited, closed on exec from now on (sd_listen_fds(3))."""
    count = environ.pop("LISTEN_FDS", None)
    pid = environ.pop("LISTEN_PID", None)
    environ.pop("LISTEN_FDNAMES", None)
    if count is None:
        raise ContractError("LISTEN_FDS is not set: no listening socket was handed over")
    if pid is not None and pid != str(os.getpid()):
        raise ContractError("LISTEN_PID is %s, but this is process %d" % (pid, os.getpid()))
    if count != "1":
        raise ContractError("LISTEN_FDS is %s, but one listening socket is wanted" % count)
    try:
        os.set_inheritable(LISTEN_FD, False)
        return socket.socket(fileno=LISTEN_FD)
    except OSError as error:
        raise ContractError("descriptor %d is no socket: %s" % (LISTEN_FD, error)) from None


def take_watchdog(environ=os.environ):
    """Seconds between two pings (half of what is allowed), or None."""
    text = environ.pop("WATCHDOG_USEC", None)
    pid = environ.pop("WATCHDOG_PID", None)
    if not text or (pid is not None and pid != str(os.getpid())):
        return None
    return number(text, "WATCHDOG_USEC") / 2000000 or None


def take_processes(environ=os.environ):
    """How many processes serve this app."""
    return number(environ.pop("PASTE_PROCESSES", None) or "1", "PASTE_PROCESSES")


class Notifier:
    """sd_notify(3). Never fails: nobody listening is no reason not to serve."""

    def __init__(self, address=None):
        self._socket = None
        if address:
            self._address = "\0" + address[1:] if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def on(cls, connected):
        """By a socket that is connected already."""
        notifier = cls()
        notifier._socket, notifier._address = connected, None
        return notifier

    @classmethod
    def take(cls, environ=os.environ):
        return cls(environ.pop("NOTIFY_SOCKET", None))

    def another(self):
        """One for another thread."""
        if self._socket is not None and self._address is None:
            return Notifier.on(self._socket.dup())
        return Notifier(self._address if self._socket is not None else None)

    def tell(self, text):
        """Says what must arrive: waits up to PATIENCE while the queue of the socket is full (it is short)."""
        self._send(text, PATIENCE)

    def mention(self, text):
        """Says what may be lost when the queue is full: a status that is soon out of date, a ping that is repeated."""
        self._send(text, 0)

    def status(self, text):
        """One line on what is being done."""
        self.mention("STATUS=" + one_line(text))

    def close(self):
        if self._socket is not None:
            self._socket.close()

    def _send(self, text, patience):
        if self._socket is not None:
            try:
                self._socket.settimeout(patience)
                data = text.encode("utf-8", "replace")
                if self._address is None:
                    self._socket.send(data)
                else:
                    self._socket.sendto(data, self._address)
            except OSError:
                pass


def one_line(text):
    """`text` as the value of a STATUS line: no line ends, short enough for a datagram."""
    return " ".join(text.split())[:2000]


def number(text, name):
    """The value of the variable `name`."""
    if text is None:
        raise ContractError("%s is not set: this program is started by paster" % name)
    try:
        return int(text)
    except ValueError:
        raise ContractError("%s is no number: %s" % (name, text)) from None
