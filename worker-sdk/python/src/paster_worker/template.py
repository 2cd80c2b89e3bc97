"""The template of an app (`preload = on`): a process that has built the app and forks a worker whenever paster asks for one.

Each worker is forked by a *reaper*, a process that does nothing but wait: what the worker orphans comes to it (subreaper), so
that paster's keeper can tell whose it is. The reaper itself is orphaned on purpose, which makes it a child of the keeper:

    keeper ── template
       └───── reaper ── worker

The keeper leads: it sends the order with the worker's descriptors, and talks to the reaper in lines over the first of them.
"""

import array
import gc
import json
import os
import signal
import socket
import sys

from .contract import ContractError, Notifier, Seat, number, take_processes, take_watchdog

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DESCRIPTORS = 5  # of an order: talk, listener, notifications, stdout, stderr
_ORDER = 65536  # bytes that an order may have


def take_orders(environ=os.environ):
    """The socket by which workers are ordered."""
    fd = number(environ.pop("PASTE_FORK_FD", None), "PASTE_FORK_FD")
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def prepare():
    """What forking needs beyond the language: prctl(2). Before the app is built, so that a lack of it is known at once."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        return prctl
    except (ImportError, OSError, AttributeError) as error:
        raise ContractError("`preload` needs the module ctypes of this Python: %s" % error) from None


def serve(orders, prctl):
    """Forks workers until paster ends this process. Returns in each worker, with its seat."""
    while True:
        order, descriptors = _receive(orders)
        if order is None:
            os._exit(0)
        seat = _fork(order, descriptors, orders, prctl)
        if seat is not None:
            return seat


def _receive(orders):
    space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = orders.recvmsg(_ORDER, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not data or len(descriptors) != _DESCRIPTORS:
        return None, None
    return json.loads(data.decode("utf-8")), list(descriptors)


def _fork(order, descriptors, orders, prctl):
    """One worker; None in the template."""
    talk = descriptors[0]
    _flush()
    gate, opener = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        _say(talk, "failed %s" % error)
        between = None
    if between == 0:
        try:
            _split(talk)
            os.close(opener)
            orders.close()
            # It opens when who forked us is gone; then the keeper is our parent.
            os.read(gate, 1)
            os.close(gate)
            _reap(talk, descriptors, prctl)
            return _sit_down(order, descriptors)
        except BaseException as error:
            _say(talk, "failed %s: %s" % (type(error).__name__, error))
            os._exit(1)
    os.close(gate)
    for fd in descriptors:
        os.close(fd)
    if between is not None:
        try:
            os.waitpid(between, 0)
        except ChildProcessError:
            pass  # the app ignores SIGCHLD, or waits for children it does not know
    os.close(opener)
    return None


def _split(talk):
    """Forks, and ends this process: its child has no parent."""
    try:
        if os.fork() == 0:
            return
    except OSError as error:
        _say(talk, "failed %s" % error)
    os._exit(0)


def _reap(talk, descriptors, prctl):
    """Forks the worker, where it returns, and waits for it and for all that it leaves behind."""
    os.setsid()
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    this = os.getpid()
    _say(talk, "reaper %d" % this)
    # The keeper puts us into the worker's control group first.
    if not os.read(talk, 1):
        os._exit(0)
    try:
        worker = os.fork()
    except OSError as error:
        _say(talk, "failed %s" % error)
        os._exit(0)
    if worker == 0:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != this:
            os._exit(0)
        return
    try:
        gc.disable()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(ignored, signal.SIG_IGN)
        _say(talk, "worker %d" % worker)
        for standard in (0, 1, 2):
            os.dup2(talk, standard)
        for fd in descriptors[1:]:
            os.close(fd)
        _name(b"paster-reaper")
        while True:
            pid, status, used = os.wait4(-1, 0)
            if pid == worker:
                times = (used.ru_maxrss, int(used.ru_utime * 1000), int(used.ru_stime * 1000))
                _say(talk, "ended %d %d %d %d" % ((status,) + times))
    finally:
        os._exit(0)  # nothing is left to wait for


def _sit_down(order, descriptors):
    """What makes a forked process the worker that was ordered."""
    talk, listener, notifications, stdout, stderr = descriptors
    os.setsid()
    for fd, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(fd, standard)
        os.close(fd)
    environ = order["env"]
    period = take_watchdog(environ)
    processes = take_processes(environ)
    os.environ.update(environ)
    os.close(talk)
    return Seat(Notifier.on(socket.socket(fileno=notifications)), socket.socket(fileno=listener), period, processes)


def _flush():
    """What is still in a buffer would be printed by each worker again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def _say(talk, line):
    try:
        os.write(talk, (line.replace("\n", " ") + "\n").encode("utf-8", "replace"))
    except OSError:
        pass  # the keeper is gone, and this process will be


def _name(name):
    from .lifecycle import name_process

    name_process(name.decode("ascii"))
