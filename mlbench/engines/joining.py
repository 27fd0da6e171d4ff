"""Joins a Ray cluster, or starts a Ray on this machine for the time of this process; no cluster is waited for long."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from secrets import token_hex

from mlbench.errors import EngineError, MissingExtra

_KNOCK = 3.0
"""Seconds that a machine is given to accept a connection."""

_PATIENCE = 15.0
"""Seconds that what accepts connections is given to prove a Ray: Ray itself would try for minutes."""

# Nothing is sent anywhere, and what Ray tells of itself does not reach the user's screen.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # What nodes report goes to stdout otherwise, whatever `log_to_driver` says.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
}
# "0" when ray is imported, Ray keeps to 127.0.0.1, which it otherwise takes for the address that others know.
_BEYOND_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_PROOF = """
import logging, os, sys
try:
    import ray
    ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    while error.__cause__ is not None:
        print(f"{type(error).__name__}: {error}")
        error = error.__cause__
    print(f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(1)
ray.shutdown()
"""


_joined: str | None = None


def join(address: str | None, processors: int | None) -> None:
    """Join the cluster at `address`, or where `RAY_ADDRESS` says; without either start a Ray with `processors`.

    `address` is `HOST:PORT`, `ray://HOST:PORT` or `auto` (the one of this machine). Without it, a Ray that this process
    has joined already is taken. Raises `MissingExtra` without ray, and `EngineError` where no Ray answers within
    seconds, where it has other versions of Python or Ray, and in a process that has joined another one.
    """
    global _joined
    if find_spec("ray") is None:
        raise MissingExtra("workers of Ray", "ray")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        if address not in (None, _joined):
            raise EngineError(f"this process has joined another Ray: for {address}, start another process")
        return
    chosen = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    if chosen == "local":
        _start(processors)
    else:
        if chosen != "auto":
            _knock(chosen)
        _prove(chosen)
        _init(chosen)
    _joined = address


def _start(processors: int | None) -> None:
    """Start a Ray that nobody else can use: with a token of its own, and on the loopback address alone."""
    values = {} if "ray" in sys.modules else {_BEYOND_LOOPBACK: "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        values |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
    with _environment(values):
        _init("local", processors)


def _init(address: str, processors: int | None = None) -> None:
    import ray

    given = {} if processors is None else {"num_cpus": processors}
    if address == "local":
        given |= {"include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **given)
    except Exception as error:  # Ray raises what is at hand.
        attempt = "Ray cannot be started" if address == "local" else f"the Ray at {address} cannot be joined"
        reason = str(error).partition("\n")[0]
        raise EngineError(f"{attempt}: {type(error).__name__}: {reason}") from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _knock(address: str) -> None:
    """Raise `EngineError` unless something accepts connections at `address`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise EngineError(f"--address {address}: give HOST:PORT, such as 10.0.0.1:6379, ray://HOST:PORT or auto")
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise EngineError(f"--address {address} needs Ray's client: pip install 'ray[client]', or give HOST:6379")
    if not _answers(host, int(port)):
        raise EngineError(f"no Ray answers at {address}: start one there with ray start --head, or give its --address")
    if host in _LOOPBACK and "ray" not in sys.modules and not _answers(_own_address(), int(port)):
        os.environ.setdefault(_BEYOND_LOOPBACK, "0")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _KNOCK).close()
    except OSError:
        return False
    return True


def _own_address() -> str:
    """Return the address under which others know this machine; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 80))
        except OSError:
            return "127.0.0.1"
        return str(line.getsockname()[0])


def _prove(address: str) -> None:
    """Join in a process of its own first, which can be ended; raises `EngineError` where that does not work."""
    command = [sys.executable, "-c", _PROOF, address]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"what answers at {address} is no Ray, or one that cannot be joined from here") from None
    if done.returncode != 0:
        raise EngineError(f"the Ray at {address} cannot be joined: {_reason(done.stdout)}")


def _reason(said: str) -> str:
    if "AuthToken" in said or "AuthenticationError" in said:
        return "it wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
    if "Version mismatch" in said:
        return " ".join(said.partition("Version mismatch")[2].split()).removeprefix(": ")
    if "Could not find any running Ray" in said:
        return "there is none on this machine: start one with ray start --head, or give HOST:PORT"
    return said.strip().partition("\n")[0] or "the attempt was ended"
