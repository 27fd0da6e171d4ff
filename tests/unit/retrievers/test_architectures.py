"""Every row of the table of architectures holds: opened as its authors meant it, alone and in a batch, or refused."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from unit.retrievers.architectures import HEAD, SECTIONS, beginning
from unit.retrievers.checkpoint_rows import Row, measure

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

ROWS = [row for rows in SECTIONS.values() for row in rows]
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "checkpoints.md"
# The library's own tokenizer counts all characters of Unicode, several times; a graph is exported.
SLOW = {"CANINE (characters)", "ONNX alone"}


# What the rows of a section need besides.
LIBRARIES = {
    "Adapters": ("peft",),
    "Static models": ("model2vec",),
    "Graphs in place of weights": ("onnxruntime", "onnxscript", "openvino"),
}
NEEDED = {row.name: libraries for section, libraries in LIBRARIES.items() for row in SECTIONS[section]}


def marks(row: Row) -> list[pytest.MarkDecorator]:
    """Return the marks of a row's test."""
    lacking = [library for library in NEEDED.get(row.name, ()) if find_spec(library) is None]
    found = [pytest.mark.slow] * (row.name in SLOW) + [pytest.mark.skipif(bool(lacking), reason=f"needs {lacking}")]
    # A process that has computed graphs with OpenVINO must not be forked later.
    return found + [pytest.mark.last] * ("openvino" in NEEDED.get(row.name, ()))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=marks(row)) for row in ROWS])
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


def test_the_documentation_has_every_row_and_no_other() -> None:
    _, _, table = PAGE.read_text(encoding="utf-8").partition("## The table")
    rows = [line for line in table.splitlines() if line.startswith("| ") and line != HEAD]
    assert len(rows) == len(ROWS)
    for line, row in zip(rows, ROWS, strict=True):
        assert line.startswith(beginning(row))
