"""What a worker reads from its environment, and how it speaks."""

import os
import socket
import tempfile
import threading
import unittest

from harness import descriptor_of, node
from paster_worker.contract import ContractError, Notifier, one_line, take_config, take_listener, take_processes, take_watchdog


class Reading(unittest.TestCase):
    def test_the_configuration_is_read_and_taken_out_of_the_environment(self):
        stream = descriptor_of({"contract": 1, "app": "x", "tree": node(), "threads": 3, "debug": True, "future": []})
        environ = {"PASTE_CONFIG_FD": str(os.dup(stream.fileno()))}
        stream.close()
        config = take_config(environ)
        self.assertEqual((config.app, config.threads, config.debug, config.python_path), ("x", 3, True, []))
        self.assertEqual(environ, {})

    def test_what_is_no_configuration_is_refused(self):
        for document in ([], {}, {"contract": 2, "tree": {}}, {"contract": 1}):
            stream = descriptor_of(document)
            with self.assertRaises(ContractError):
                take_config({"PASTE_CONFIG_FD": str(os.dup(stream.fileno()))})
            stream.close()
        for environ in ({}, {"PASTE_CONFIG_FD": "x"}, {"PASTE_CONFIG_FD": "999"}):
            with self.assertRaises(ContractError):
                take_config(environ)

    def test_a_listener_for_somebody_else_is_not_taken(self):
        for environ in ({}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}):
            with self.assertRaises(ContractError):
                take_listener(environ)

    def test_the_watchdog_is_pinged_at_half_its_time(self):
        self.assertIsNone(take_watchdog({}))
        self.assertIsNone(take_watchdog({"WATCHDOG_USEC": "100", "WATCHDOG_PID": "1"}))
        self.assertEqual(take_watchdog({"WATCHDOG_USEC": "3000000"}), 1.5)

    def test_one_process_is_the_default(self):
        self.assertEqual((take_processes({}), take_processes({"PASTE_PROCESSES": "4"})), (1, 4))


class Notifying(unittest.TestCase):
    def test_what_must_arrive_waits_for_room_in_the_queue(self):
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(os.path.join(directory, "notify"))
            notifier = Notifier(receiver.getsockname())
            for number in range(5000):
                notifier.status("step %d" % number)  # does not wait
            thread = threading.Thread(target=notifier.tell, args=("READY=1",))
            thread.start()
            receiver.settimeout(10)
            while receiver.recv(100) != b"READY=1":
                pass
            thread.join()
            notifier.close()

    def test_nobody_listening_is_no_error(self):
        Notifier(None).tell("READY=1")
        notifier = Notifier("/nonexistent/socket")
        notifier.tell("READY=1")
        notifier.close()

    def test_a_status_is_one_line(self):
        self.assertEqual(one_line(" a\nb\t" + "c" * 5000), ("a b " + "c" * 5000)[:2000])


if __name__ == "__main__":
    unittest.main()
