"""Keeps tests apart from the machine: no cache but a temporary one, real data only where asked for."""

import gc
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# What a test draws is the same every time, but for the profile `nightly`, which looks for examples that fail.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("MLBENCH_TEST_PROFILE", "steady"))

DATA = "MLBENCH_DATA"

# Several processes of many threads each are slower than of one, and much slower where waiting threads of OpenMP spin.
# Libraries read this when they are imported, as test modules are collected; a test itself finds the first unset.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.update(dict.fromkeys(THREADS, "1"))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Settings of the terminal and of Python that change what commands print.
PRINTING = ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONUNBUFFERED")

# A job that a script starts in the background ignores SIGINT, and so would every command that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


FOLDERS = count()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what test modules import: it is a lot, and stays."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DATA not in os.environ:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=f"needs real data: set ${DATA}"))
    items.sort(key=lambda item: (not item.get_closest_marker("first"), item.get_closest_marker("last") is not None))


@pytest.fixture(scope="session", autouse=True)
def _session_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep fixtures that several tests share apart from the machine as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        # Where ir_datasets has its files is settled when it is imported.
        patch.setenv("IR_DATASETS_HOME", str(tmp_path_factory.getbasetemp() / "ir_datasets"))
        for name in (*PRINTING, *THREADS):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _apart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test a cache folder of its own, which is made when something is written there."""
    with pytest.MonkeyPatch.context() as patch:
        # Numbered, so that the path is short enough for the sockets in it.
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / str(next(FOLDERS))))
        if not request.node.get_closest_marker("data"):
            patch.delenv(DATA, raising=False)
        yield


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data; for tests that are marked `data`."""
    return Path(os.environ[DATA])
