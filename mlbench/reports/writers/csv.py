"""Every number of a report as one long table of comma-separated values, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from mlbench.reports.formatting import visible
from mlbench.reports.report import Block, Report, Scalar, Section, Table

# What spreadsheets take for the beginning of a formula, also in its full-width form.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def write_csv(report: Report) -> str:
    """Return a row for each record of the report, or where it has none, for each cell of its tables.

    An absent value is an empty cell. Text that a spreadsheet would take for a formula is preceded by an apostrophe. A
    report without records and tables is the line of titles alone.
    """
    rows = report.records or tuple(_cells(report.blocks, ()))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0] if rows else ("section", "table", "row", "column", "text", "notes"))
    writer.writerows([_harmless(value) for value in row.values()] for row in rows)
    return buffer.getvalue()


def _harmless(value: Scalar) -> Scalar:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _cells(blocks: Sequence[Block], above: tuple[str, ...]) -> Iterator[Mapping[str, Scalar]]:
    for block in blocks:
        if isinstance(block, Section) and block.shown != "in_papers":
            yield from _cells(block.blocks, (*above, block.text))
        if not isinstance(block, Table):
            continue
        for row in block.rows:
            for column, cell in zip(block.columns, row.cells, strict=True):
                yield {
                    "section": " / ".join(filter(None, above)),
                    "table": block.title,
                    "row": row.label.text,
                    "column": f"{column.group} {column.title}".strip(),
                    "text": f"{cell.text}{cell.mark}",
                    "notes": "; ".join(cell.notes),
                }
