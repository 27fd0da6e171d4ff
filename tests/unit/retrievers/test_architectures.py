"""Every row of the table of architectures holds: opened as its authors meant it, alone and in a batch, or refused."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from unit.retrievers.architectures import HEAD, SECTIONS, beginning
from unit.retrievers.checkpoint_rows import Row, check_row

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

EVERY_ROW = [row for rows in SECTIONS.values() for row in rows]
# Rows of graphs are tested in `test_graph_files.py`.
ROWS = [row for section, rows in SECTIONS.items() for row in rows if section != "Graphs in place of weights"]
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "checkpoints.md"
# The library's own tokenizer counts all characters of Unicode, several times.
SLOW = {"CANINE (characters)"}


# What the rows of a section need besides.
LIBRARIES = {
    "Adapters": ("peft",),
    "Static models": ("model2vec",),
}
NEEDED = {row.name: libraries for section, libraries in LIBRARIES.items() for row in SECTIONS[section]}


def marks(row: Row) -> list[pytest.MarkDecorator]:
    """Return the marks of a row's test."""
    lacking = [library for library in NEEDED.get(row.name, ()) if find_spec(library) is None]
    return [pytest.mark.slow] * (row.name in SLOW) + [pytest.mark.skipif(bool(lacking), reason=f"needs {lacking}")]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=marks(row)) for row in ROWS])
def test_row(row: Row, tmp_path: Path) -> None:
    check_row(row, tmp_path / "checkpoint")


def test_the_documentation_has_every_row_and_no_other() -> None:
    _, _, table = PAGE.read_text(encoding="utf-8").partition("## The table")
    rows = [line for line in table.splitlines() if line.startswith("| ") and line != HEAD]
    assert len(rows) == len(EVERY_ROW)
    for line, row in zip(rows, EVERY_ROW, strict=True):
        assert line.startswith(beginning(row))
