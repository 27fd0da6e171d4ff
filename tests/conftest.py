"""Keeps tests apart from the machine: no cache but a temporary one, real data only where asked for."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

DATA = "MLBENCH_DATA"

# A job that a script starts in the background ignores SIGINT, and so would every command that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DATA not in os.environ:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=f"needs real data: set ${DATA}"))


@pytest.fixture(autouse=True)
def _apart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache" / request.node.name[:40]))
        # Where ir_datasets has its files is settled when it is imported.
        patch.setenv("IR_DATASETS_HOME", str(tmp_path_factory.getbasetemp() / "ir_datasets"))
        for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHONUNBUFFERED"):
            patch.delenv(name, raising=False)
        if not request.node.get_closest_marker("data"):
            patch.delenv(DATA, raising=False)
        yield


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data; for tests that are marked `data`."""
    return Path(os.environ[DATA])
