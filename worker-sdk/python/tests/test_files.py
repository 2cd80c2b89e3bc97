"""The files that a worker tells to be watched (`paster serve --reload`)."""

import os
import sys
import unittest

from harness import HERE, Worker, node


def told(worker):
    return [line.partition("=")[2] for line in worker.messages if line.startswith("X_PASTE_FILE=")]


class Telling(unittest.TestCase):
    def test_nothing_is_told_to_a_paster_that_does_not_ask(self):
        with Worker().ready() as worker:
            self.assertEqual(told(worker), [])

    def test_modules_are_told_before_readiness_and_those_of_python_itself_are_not(self):
        with Worker(tell_files=True).ready() as worker:
            files = told(worker)
            self.assertIn(os.path.join(HERE, "apps.py"), files)
            self.assertEqual(len(files), len(set(files)))
            self.assertNotIn(os.__file__, files)

    def test_a_syntax_error_tells_the_file_that_has_it(self):
        with Worker(node("broken_syntax:app"), tell_files=True) as worker:
            self.assertEqual(worker.wait(), 1)
            self.assertIn(os.path.join(HERE, "broken_syntax.py"), told(worker))

    def test_a_missing_module_tells_where_it_would_be(self):
        with Worker(node("needs_missing:app"), tell_files=True) as worker:
            self.assertEqual(worker.wait(), 1)
            files = told(worker)
            self.assertIn(os.path.join(HERE, "needs_missing.py"), files)
            for name in ("no_such_library_at_all.py", os.path.join("no_such_library_at_all", "__init__.py")):
                self.assertIn(os.path.join(HERE, name), files)

    def test_a_raising_factory_tells_the_files_of_its_traceback(self):
        with Worker(node("apps:raising"), tell_files=True) as worker:
            self.assertEqual(worker.wait(), 1)
            self.assertIn(os.path.join(HERE, "apps.py"), told(worker))

    def test_an_object_that_poses_as_a_module_and_raises_does_no_harm(self):
        class Lazy:
            def __getattr__(self, name):
                raise ImportError(name)

        from paster_worker import files

        sys.modules["lazy_for_a_test"] = Lazy()
        self.addCleanup(sys.modules.pop, "lazy_for_a_test")
        self.assertIn(files.__file__, list(files._of_modules()))


if __name__ == "__main__":
    unittest.main()
