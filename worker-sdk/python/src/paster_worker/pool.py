"""Which thread owns which connection.

Connections that wait for their next request are parked: in a dictionary and in one epoll. Whoever pops a connection from
the dictionary owns it (EPOLLONESHOT keeps the events rare, the pop decides). One thread at a time *leads*: it waits on the
epoll. There are two ways to go on when it has found a connection:

- *shared*: it gives up the lead before it runs the app, so that another thread waits in its place. Right for apps that wait
  for something themselves.
- *exclusive*: it keeps the lead, serves the request and waits again. For apps that answer in microseconds this saves the
  fight of several threads for the interpreter lock, which costs more than such a request itself (measured: about half of all
  CPU time). If a request then takes longer than expected, the main thread takes the lead away within a few milliseconds.

Exclusive begins after many quick requests in a row and ends with the first slow one or when traffic calms down. All fields
are changed by single operations that are atomic in Python.
"""

import os
import select
import threading

QUICK = 0.0003  # seconds per request that still count as quick, waiting for the request included
TICK = 0.001  # seconds between two looks of the main thread in exclusive mode
_RUN = 64  # quick requests in a row that begin exclusive mode; grows with each mistake
_LONGEST_RUN = 4096
_STUCK = 2  # looks without progress that mean that the leader is not quick after all
_CALM = 50  # looks without a request that end exclusive mode
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Pool:
    """The parked connections and the lead."""

    def __init__(self):
        self.parked = {}
        self.exclusive = False
        self.waiting = False  # the leader waits, so nobody who is parked is overlooked
        self.served = 0  # grows with the requests, to be compared only
        self._epoll = select.epoll()
        self._lead = threading.Lock()
        self._leader = []  # the token of the leader, or empty while the lead passes on
        self._run = 0
        self._needed = _RUN
        self._seen = 0
        self._calm = 0
        self._stuck = 0
        # Readable for ever once written: every thread sees it.
        self._bell, self._rope = os.pipe()
        self._epoll.register(self._bell, select.EPOLLIN)
        # Tells the main thread that exclusive mode begins.
        self.alarm, self._alarm = os.pipe()
        os.set_blocking(self._alarm, False)

    def add(self, connection):
        """Parks a new connection."""
        self.parked[connection.fd] = connection
        self._epoll.register(connection.fd, _ONCE)

    def park(self, connection):
        self.parked[connection.fd] = connection
        self._epoll.modify(connection.fd, _ONCE)

    def close(self):
        """Closes what is parked and lets every `take` end; nothing may be parked afterwards."""
        os.write(self._rope, b".")
        self.close_parked()

    def close_parked(self):
        while self.parked:
            try:
                _, connection = self.parked.popitem()
            except KeyError:
                return
            connection.close()

    def take(self, token):
        """Waits for a connection with something to read; None at the end. `token` is the thread's own."""
        while True:
            if token not in self._leader:
                self._lead.acquire()
                self._leader.append(token)
            self.waiting = True
            events = self._epoll.poll(None, 1)
            self.waiting = False
            # Nothing from here on needs the lead, which may have been taken away: a second thread that waits does no harm,
            # an event that nobody handles would.
            for fd, _ in events:
                if fd == self._bell:
                    self._release(token)
                    return None
                connection = self.parked.pop(fd, None)
                if connection is not None:
                    if not self.exclusive:
                        self._release(token)
                    return connection

    def leads(self, token):
        return token in self._leader

    def _release(self, token):
        try:
            self._leader.remove(token)
        except ValueError:
            return  # it was taken away
        self._lead.release()

    def note(self, count, seconds):
        """`count` requests were served in `seconds`, the waiting for them included."""
        self.served += count
        if seconds > count * QUICK:
            self._run = 0
            return
        self._run += count
        if self._run >= self._needed and not self.exclusive:
            self.exclusive = True
            try:
                os.write(self._alarm, b".")
            except BlockingIOError:
                pass  # then there is an alarm already

    def look(self):
        """The main thread's look at exclusive mode, every TICK while it lasts."""
        if self.served != self._seen:
            self._seen = self.served
            self._calm = self._stuck = 0
        elif not self.waiting:
            self._stuck += 1
            if self._stuck >= _STUCK:
                self._needed = min(self._needed * 4, _LONGEST_RUN)
                self._share()
        else:
            self._calm += 1
            if self._calm > _CALM:
                self._share()

    def _share(self):
        """Back to shared. The lead is taken away in any case: its holder may just be on the way into a long request."""
        self._run = self._calm = self._stuck = 0
        self.exclusive = False
        try:
            self._leader.pop()
        except IndexError:
            return
        self._lead.release()
