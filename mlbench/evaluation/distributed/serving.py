"""What a worker process does first, and how its exceptions travel back; it runs before libraries are loaded."""

import os
import pickle
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from traceback import format_exception

from mlbench.errors import EngineError, InternalError, MlbenchError, UserError

# What libraries say who raise neither MemoryError nor anything else of its own.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "cuda out of memory")


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception by its parts, which can be pickled; `os_error` has number, reason and path of an `OSError`."""

    module: str
    name: str
    message: str
    traceback: str
    held: Mapping[str, object]
    exit_code: int | None = None
    os_error: tuple[int, str, str | None] | None = None
    out_of_memory: bool = False


class WorkerTraceback(Exception):
    """The cause of an exception that was raised elsewhere: it says where."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def describe(error: Exception) -> Fault:
    """Take an exception apart."""
    kind = type(error)
    return Fault(
        kind.__module__,
        kind.__qualname__,
        str(error),
        "".join(format_exception(error)),
        _picklable(vars(error)),
        exit_code=error.exit_code if isinstance(error, MlbenchError) else None,
        os_error=_os_error(error),
        out_of_memory=_is_out_of_memory(error),
    )


def revive(fault: Fault, place: str) -> Exception:
    """Make an exception of its parts; `place` says where it arose, as in `a worker at part 3`.

    A `UserError` is what it was (or a plain one, where its class is not known here), an `OSError` too; want of memory
    is an `EngineError`, anything else an `InternalError`. The traceback is the cause.
    """
    error = _exception_of(fault, place)
    error.__cause__ = WorkerTraceback(fault.traceback)
    return error


def _exception_of(fault: Fault, place: str) -> Exception:
    if fault.out_of_memory:
        return EngineError(f"{place} ran out of memory: give fewer --workers, or each more memory")
    if fault.exit_code == UserError.exit_code:
        kind = _user_error(fault)
        # Some of these classes are called with other arguments than their message.
        error = kind.__new__(kind)
        error.args = (fault.message,)
        vars(error).update(fault.held)
        return error
    if fault.exit_code is not None:
        return InternalError(fault.message)
    if fault.os_error is not None:
        return OSError(*fault.os_error)
    return InternalError(f"{place}: {fault.name}: {fault.message}")


def _user_error(fault: Fault) -> type[UserError]:
    try:
        found: object = import_module(fault.module)
        for name in fault.name.split("."):
            found = getattr(found, name)
    except Exception:  # A module that cannot be imported here may raise anything.
        return UserError
    return found if isinstance(found, type) and issubclass(found, UserError) else UserError


def _os_error(error: Exception) -> tuple[int, str, str | None] | None:
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return error.errno, str(error.strerror), None if error.filename is None else os.fsdecode(error.filename)


def _is_out_of_memory(error: Exception) -> bool:
    # torch's own class is no MemoryError, and importing torch to ask for it would take seconds.
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _OUT_OF_MEMORY))


def _picklable(held: Mapping[str, object]) -> dict[str, object]:
    try:
        pickle.dumps(dict(held))
    except Exception:  # Pickling runs code of whatever is held.
        return {}
    return dict(held)


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
