"""Who owns a connection, and who waits for the next: the decisions of the pool, without a worker."""

import socket
import threading
import unittest

import harness  # noqa: F401  (puts src on sys.path)
from paster_worker.connection import Connection
from paster_worker.pool import QUICK, Pool


class Pooling(unittest.TestCase):
    def setUp(self):
        self.pool = Pool()
        self.clients = []

    def connection(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        connection = Connection(ours, "")
        self.pool.add(connection)
        return connection, theirs

    def begin_exclusive(self):
        self.pool.note(1000, 0.0)
        self.assertTrue(self.pool.exclusive)

    def test_a_ready_connection_goes_to_one_thread_and_the_lead_to_another(self):
        connection, client = self.connection()
        client.send(b"x")
        one, two = object(), object()
        self.assertIs(self.pool.take(one), connection)
        self.assertFalse(self.pool.leads(one))
        self.assertEqual(self.pool.parked, {})
        other, client = self.connection()
        client.send(b"x")
        self.assertIs(self.pool.take(two), other)

    def test_a_parked_connection_comes_back_with_its_next_bytes(self):
        connection, client = self.connection()
        token = object()
        for _ in range(3):
            client.send(b"x")
            self.assertIs(self.pool.take(token), connection)
            connection.recv(10)
            self.pool.park(connection)

    def test_quick_requests_make_the_lead_exclusive_and_a_slow_one_counts_from_zero(self):
        self.pool.note(60, 60 * QUICK / 2)
        self.pool.note(1, QUICK * 2)
        self.pool.note(60, 60 * QUICK / 2)
        self.assertFalse(self.pool.exclusive)
        self.pool.note(16, 16 * QUICK / 2)
        self.assertTrue(self.pool.exclusive)

    def test_an_exclusive_leader_that_makes_no_progress_loses_the_lead(self):
        self.begin_exclusive()
        connection, client = self.connection()
        other, other_client = self.connection()
        client.send(b"x")
        stuck, second = object(), object()
        self.assertIs(self.pool.take(stuck), connection)
        self.assertTrue(self.pool.leads(stuck))
        other_client.send(b"x")
        taken = []
        thread = threading.Thread(target=lambda: taken.append(self.pool.take(second)))
        thread.start()
        for _ in range(3):
            self.pool.look()
        thread.join(10)
        self.assertEqual(taken, [other])
        self.assertFalse(self.pool.exclusive or self.pool.leads(stuck))

    def test_an_exclusive_leader_that_makes_progress_keeps_the_lead(self):
        self.begin_exclusive()
        connection, client = self.connection()
        client.send(b"x")
        token = object()
        self.assertIs(self.pool.take(token), connection)
        for _ in range(100):
            self.pool.served += 1
            self.pool.look()
        self.assertTrue(self.pool.leads(token))

    def test_exclusive_mode_ends_when_traffic_calms_down(self):
        self.begin_exclusive()
        self.pool.waiting = True
        for _ in range(100):
            self.pool.look()
        self.assertFalse(self.pool.exclusive)

    def test_nothing_is_stranded_when_the_lead_is_taken_from_a_thread_that_waits(self):
        self.begin_exclusive()
        first, second = self.connection(), self.connection()
        taken = []
        threads = [threading.Thread(target=lambda: taken.append(self.pool.take(object()))) for _ in range(2)]
        threads[0].start()
        while not self.pool.waiting:
            pass
        for _ in range(100):
            self.pool.look()
        threads[1].start()
        for _, client in (first, second):
            client.send(b"x")
        for thread in threads:
            thread.join(10)
        self.assertEqual({connection.fd for connection in taken}, {first[0].fd, second[0].fd})

    def test_after_a_mistake_exclusive_mode_wants_a_longer_run(self):
        self.begin_exclusive()
        for _ in range(4):
            self.pool.look()
        self.assertFalse(self.pool.exclusive)
        self.pool.note(64, 0.0)
        self.assertFalse(self.pool.exclusive)

    def test_the_end_reaches_every_thread_and_closes_what_is_parked(self):
        connection, client = self.connection()
        ends = []
        threads = [threading.Thread(target=lambda: ends.append(self.pool.take(object()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        self.pool.close()
        for thread in threads:
            thread.join(10)
        self.assertEqual(ends, [None] * 3)
        self.assertEqual(client.recv(10), b"")


if __name__ == "__main__":
    unittest.main()
