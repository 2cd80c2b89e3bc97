"""The life of a worker: read the contract, build the app, serve, drain, leave."""

import gc
import os
import sys

from . import lifecycle
from .contract import ContractError, Notifier, Seat, one_line, take_config


def main():
    """Runs the worker; ends by SystemExit with 0 after a drain, 1 when the app cannot be built."""
    _prepare_streams()
    notifier = Notifier.take()
    orders = seat = None
    try:
        if "PASTE_FORK_FD" in os.environ:
            from . import template

            orders = template.take_orders()
            prctl = template.prepare()
        else:
            seat = Seat.take(notifier)
        config = take_config()
    except ContractError as error:
        _give_up(notifier, "error: %s" % error, str(error))
    lifecycle.name_process("paster:" + config.app)
    sys.path[:0] = config.python_path
    sys.argv = ["paster"] + ([config.config_file] if config.config_file else [])
    files = None
    if config.tell_files:
        from .files import Files

        files = Files(notifier)
    app = _build(config, notifier, files)
    if files:
        files.tell()
    from .server import Server

    if orders is not None:
        _freeze()
        notifier.tell("READY=1\nSTATUS=loaded")
        seat = template.serve(orders, prctl)
    _serve(Server(seat.listener, app, config.threads, seat.processes, config.debug), seat, files)


def _serve(server, seat, files):
    notifier = seat.notifier
    signals = lifecycle.Signals()
    watchdog = lifecycle.Watchdog(notifier, seat.period)
    signals.install()
    _freeze()
    if files:
        files.follow(notifier)
    notifier.tell("READY=1\nSTATUS=serving")
    server.serve(signals.wakeup, signals.stopping, watchdog.tick, seat.period)
    notifier.tell("STOPPING=1")
    notifier.close()
    sys.exit(0)


def _freeze():
    if hasattr(gc, "freeze"):
        gc.freeze()  # what the app has built stays; collections need not walk it again, nor write to its pages


def _prepare_streams():
    import faulthandler
    import signal

    faulthandler.enable(2, all_threads=False)
    # paster asks for the stacks of a worker that hangs, before it ends it. Not faulthandler.register: that walks the frames of
    # threads that go on running, and has crashed the worker. A handler in Python runs in the main thread, which never runs the
    # app's requests, while it holds the interpreter lock: the others stand still.
    signal.signal(signal.SIGQUIT, lambda number, frame: faulthandler.dump_traceback(2, all_threads=True))
    for stream in (sys.stdout, sys.stderr):
        # A pipe would be block-buffered: lines would come late, and not at all after a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _build(config, notifier, files):
    from .loader import Builder, Node

    def resolve(*question):
        from .composite import Resolver

        return Resolver(config.resolver)(*question)

    builder = Builder(notifier.status, resolve)
    try:
        if config.logging:
            notifier.status("configuring logging")
            _configure_logging(config.logging)
        return builder.create(Node(config.tree))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        from . import errors

        if files:
            from .files import of_failure

            files.tell(of_failure(error, config.python_path))
        if builder.failure is not None:
            report = errors.explain(builder.failure)
        else:
            report = errors.Report("cannot configure logging: %s" % error, config.logging)
        _give_up(notifier, "%s\n%s" % (errors.format_exception(error), report), report.summary)


def _configure_logging(file):
    import os
    from logging.config import fileConfig

    fileConfig(file, {"__file__": file, "here": os.path.dirname(file)})


def _give_up(notifier, text, summary):
    notifier.tell("STATUS=" + one_line(summary))
    print(text, file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
