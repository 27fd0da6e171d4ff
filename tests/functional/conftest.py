"""What the functional tests stand on."""

import os
from pathlib import Path

import pytest
from command_line import CommandLine, own_task

# As mlbench sets it before it imports torch, which reads it once: here a test may have imported torch before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def mlbench(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder `own` in the working folder, a small task in three languages."""
    return own_task(tmp_path / "own")
