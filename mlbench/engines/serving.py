"""What a process does that works for another: light to import, for it must run before libraries are loaded."""

import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing import parent_process
from multiprocessing.connection import Connection

from mlbench.engines.faults import Fault, describe


def serve(connection: Connection, environment: Mapping[str, str]) -> None:
    """Make a worker of what comes first, say `("ready", None)`, and answer items with `("answer", ...)` until the end.

    `environment` is set before anything else is imported. An exception is sent as a `Fault` and is the end.
    """
    # An interruption reaches all processes of a terminal; the one that started this one answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _answer(connection)
    except Exception as error:
        _send(connection, ("fault", describe(error)))


def _answer(connection: Connection) -> None:
    work = connection.recv()()
    _send(connection, ("ready", None))
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        _send(connection, ("answer", work(item)))


def _send(connection: Connection, message: tuple[str, object | Fault]) -> None:
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        # Nobody is left to answer.
        os._exit(1)


def _end_with_parent() -> None:
    """End this process with the one that started it, whose work would go on with nobody to hand it to."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
