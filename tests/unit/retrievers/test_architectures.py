"""Every row of the table of architectures holds: opened as its authors meant it, alone and in a batch, or refused."""

from pathlib import Path

import pytest
from unit.retrievers.architectures import SECTIONS
from unit.retrievers.checkpoint_rows import Row, measure

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

ROWS = [row for rows in SECTIONS.values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row: Row, tmp_path: Path) -> None:
    found = measure(row, tmp_path / "checkpoint")
    assert row.refusal in found.refusal
    assert bool(found.refusal) == bool(row.refusal)
    if row.refusal:
        assert "\n" not in found.refusal
        return
    assert found.opened == row.opened
    assert found.apart <= row.tolerance
    assert found.batch <= 1e-5
    told = " ".join(found.warnings)
    assert row.warning in told
    assert bool(told) == bool(row.warning)
