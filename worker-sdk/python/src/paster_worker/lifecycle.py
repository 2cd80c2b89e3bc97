"""Signals, and the little that a worker says about itself."""

import os
import signal


class Signals:
    """SIGTERM asks to stop; a second one, or SIGINT, ends the process at once.

    `wakeup` becomes readable on every signal. A process that the app forks gets the default actions back, so that what is
    sent to it does not stop us.
    """

    def __init__(self):
        self._stop = False
        self.wakeup, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self.wakeup, False)

    def install(self):
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, self._leave)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_reset)

    def stopping(self):
        return self._stop

    def _terminate(self, number, frame):
        if self._stop:
            self._leave(number, frame)
        self._stop = True

    def _leave(self, number, frame):
        os._exit(128 + number)


def _reset():
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    except ValueError:
        pass  # not in the main thread of the main interpreter, so nothing of ours arrives here either


class Watchdog:
    """Pings when a ping is due. `tick` costs next to nothing in between."""

    def __init__(self, notifier, period):
        import time

        self._clock = time.monotonic
        self._notifier = notifier
        self.period = period
        self._due = 0.0

    def tick(self):
        if self.period is not None and self._clock() >= self._due:
            self._due = self._clock() + self.period / 2
            self._notifier.mention("WATCHDOG=1")


def name_process(name):
    """Shows `name` in ps and top, as far as the system lets us (Linux: 15 bytes)."""
    try:
        with open("/proc/self/comm", "wb", buffering=0) as stream:
            stream.write(name.encode("utf-8", "replace")[:15])
    except OSError:
        pass
