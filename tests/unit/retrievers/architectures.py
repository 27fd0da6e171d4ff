"""The table of architectures: every kind of checkpoint, tiny and random, as it is opened and measured.

`PYTHONPATH=tests python -m unit.retrievers.architectures` prints the table of docs/reference/checkpoints.md.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from unit.retrievers.adapter_checkpoints import ADAPTERS, GRAPHS, STATIC
from unit.retrievers.checkpoint_rows import NO_POOLING, Measured, Row, measure
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
    "Adapters": ADAPTERS,
    "Static models": STATIC,
    "Graphs in place of weights": GRAPHS,
    "Faults": FAULTY,
}
GUESS = f"the checkpoint {NO_POOLING}"
HEAD = "| checkpoint | opened as | pooled by | compared with | apart | in a batch | what a user is told |"
RULE = "|---|---|---|---|---|---|---|"


def lines() -> Iterator[str]:
    """Yield the lines of the table in Markdown, each row measured anew."""
    for section, rows in SECTIONS.items():
        yield from ("", f"### {section}", "", HEAD, RULE)
        with TemporaryDirectory() as place:
            for number, row in enumerate(rows):
                yield line(row, measure(row, Path(place) / str(number)))


def line(row: Row, found: Measured) -> str:
    """Return one row in Markdown."""
    if found.refusal:
        return f"{beginning(row)} | | | | {cell(found.refusal)} |"
    compared = ("", "") if row.reference is None else (row.library, f"{found.apart:.0e}")
    told = ("pooling is a guess" if warning.startswith(GUESS) else warning for warning in found.warnings)
    batch = found.batching if found.batching != "padded" else ""
    return f"{beginning(row)} | {' | '.join((*compared, batch, cell(*told)))} |"


def beginning(row: Row) -> str:
    """Return the cells of a row that are the same on every machine."""
    return f"| {row.name} | refused |" if row.refusal else f"| {row.name} | {row.opened} | {row.pooled}"


def cell(*messages: str) -> str:
    """Return messages as they stand in a cell."""
    return "; ".join(message.replace("|", "\\|") for message in messages)


if __name__ == "__main__":
    print("\n".join(lines()))
