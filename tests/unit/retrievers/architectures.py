"""The table of architectures: every kind of checkpoint, tiny and random, as it is opened and measured.

`python -m tests.unit.retrievers.architectures`, with `tests` on the path, prints the table of
docs/reference/checkpoints.md.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from unit.retrievers.checkpoint_rows import Measured, Row, measure
from unit.retrievers.faulty_checkpoints import FAULTY, RERANKERS
from unit.retrievers.library_checkpoints import LATE, MODULES, SPARSE
from unit.retrievers.network_checkpoints import DECODERS, ENCODERS, ENCODERS_OF_PAIRS

SECTIONS: dict[str, tuple[Row, ...]] = {
    "Encoders": ENCODERS,
    "Encoders of encoder-decoders": ENCODERS_OF_PAIRS,
    "Decoders": DECODERS,
    "Modules of Sentence Transformers": MODULES,
    "Sparse encoders": SPARSE,
    "Late interaction": LATE,
    "Cross-encoders": RERANKERS,
    "Faults": FAULTY,
}
HEAD = "| checkpoint | opened as | pooled by | equal to, largest difference | in one batch, largest difference | told |"
RULE = "|---|---|---|---|---|---|"


def shown(*messages: str) -> str:
    """Return messages as they stand in a cell."""
    return "; ".join(messages).replace("|", "\\|")


def lines() -> Iterator[str]:
    """Yield the lines of the table in Markdown, each row measured anew."""
    for section, rows in SECTIONS.items():
        yield from ("", f"## {section}", "", HEAD, RULE)
        with TemporaryDirectory() as place:
            for number, row in enumerate(rows):
                yield line(row, measure(row, Path(place) / str(number)))


def line(row: Row, found: Measured) -> str:
    """Return one row in Markdown."""
    if found.refusal:
        return f"| {row.name} | refused | | | | {shown(found.refusal)} |"
    apart = "" if row.reference is None else f"{row.library}, {found.apart:.0e}"
    cells = (row.name, found.opened, row.pooled, apart, f"{found.batching}, {found.batch:.0e}", shown(*found.warnings))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(lines()))
