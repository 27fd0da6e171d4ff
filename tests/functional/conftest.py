"""What the functional tests stand on."""

from pathlib import Path

import pytest
from command_line import CommandLine, own_task


@pytest.fixture
def mlbench(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder `own` in the working folder, a small task in three languages."""
    return own_task(tmp_path / "own")
