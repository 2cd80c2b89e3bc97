"""Which files the app is made of: told to paster, so that a change replaces the worker (`paster serve --reload`)."""

import os
import sys

_MESSAGE = 3000  # bytes; paster reads messages of up to 4096
_INTERVAL = 1.0  # seconds between two looks at what was imported late
_STDLIB = os.path.dirname(os.__file__) + os.sep


class Files:
    """Tells each file once."""

    def __init__(self, notifier):
        self._notifier = notifier
        self._told = set()
        self._modules = 0

    def tell(self, more=()):
        """The files of all modules that have been imported, and `more`."""
        self._modules = len(sys.modules)
        files = [file for file in _of_modules() if file not in self._told]
        files.extend(file for file in more if file not in self._told)
        self._told.update(files)
        lines, size = [], 0
        for file in sorted(set(files)):
            line = "X_PASTE_FILE=" + file
            if lines and size + len(line) > _MESSAGE:
                self._notifier.tell("\n".join(lines))
                lines, size = [], 0
            lines.append(line)
            size += len(os.fsencode(line)) + 1
        if lines:
            self._notifier.tell("\n".join(lines))

    def follow(self, notifier):
        """Tells what is imported from now on, by a thread."""
        import threading

        self._notifier = notifier.another()
        threading.Thread(target=self._follow, name="paster-files", daemon=True).start()

    def _follow(self):
        import time

        while True:
            time.sleep(_INTERVAL)
            if len(sys.modules) != self._modules:
                self.tell()


def of_failure(error, directories):
    """Files whose change may mend an app that cannot be built: those of the traceback, and, where a module is missing, those
    below `directories` that it would be. (A module that could not be imported is in `sys.modules` no more.)"""
    found = []
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        trace = error.__traceback__
        while trace is not None:
            found.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename:
            found.append(error.filename)
        if isinstance(error, ModuleNotFoundError) and error.name:
            for directory in directories:
                path = os.path.join(directory, *error.name.split("."))
                found.extend((path + ".py", os.path.join(path, "__init__.py")))
        error = error.__cause__ or error.__context__
    return [file for file in found if _matters(file)]


def _of_modules():
    for module in list(sys.modules.values()):
        try:
            # Not by getattr, which would load a lazy module, and might raise anything.
            file = object.__getattribute__(module, "__dict__").get("__file__")
        except AttributeError:
            continue
        if isinstance(file, str) and _matters(file):
            yield file


def _matters(file):
    """Whether it is a file that somebody may edit: not of the standard library, which has site-packages in it, and no `<string>`."""
    return os.path.isabs(file) and "\n" not in file and (not file.startswith(_STDLIB) or "-packages" in file)
