"""The tables of a report for a paper, with the rules of the package booktabs."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from mlbench.errors import UserError
from mlbench.reports.formatting import ABSENT, visible
from mlbench.reports.report import Block, Cell, Column, Report, Row, Section, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"{\char34}",
        "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}",
        "→": r"$\rightarrow$",
        "−": r"$-$",
        ABSENT: r"\textperiodcentered{}",
    }
)


def write_latex(report: Report) -> str:
    r"""Return the tables for papers, or all where none is, each a `tabular`; they need `\usepackage{booktabs}`.

    Raises `UserError` for a report without tables.
    """
    found = list(_tables(report.blocks))
    tables = [table for table in found if table.paper] or found
    if not tables:
        raise UserError("LaTeX has the tables of a report, and this one has none: choose another format")
    return "\n".join([r"% \usepackage{booktabs}", *("\n".join(_tabular(table)) for table in tables), ""])


def escape(text: str) -> str:
    """Return `text` so that LaTeX prints it as it is."""
    # Two hyphens would become a dash.
    return visible(text).translate(_ESCAPES).replace("--", "-{}-").replace("--", "-{}-")


def _tables(blocks: Sequence[Block]) -> Iterator[Table]:
    for block in blocks:
        if isinstance(block, Section):
            yield from _tables(block.blocks)
        elif isinstance(block, Table) and block.rows:
            yield block


def _tabular(table: Table) -> Iterator[str]:
    sides = "".join("l" if column.align == "left" else "r" for column in table.columns)
    yield f"% {visible(table.title)}"
    yield rf"\begin{{tabular}}{{l{sides}}}"
    yield r"\toprule"
    yield from _head(table)
    yield r"\midrule"
    yield from (_body(row, table.columns) for row in table.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _head(table: Table) -> Iterator[str]:
    """Yield the line of titles; above it, where there are groups, their names with rules under them."""
    if not any(column.group for column in table.columns):
        yield _row([escape(table.first), *(escape(column.title) for column in table.columns)])
        return
    above, below, rules, place = [""], [escape(table.first)], list[str](), 2
    for group, found in groupby(table.columns, key=lambda column: column.group):
        columns: list[Column] = list(found)
        words, titles = group.split(), [column.title for column in columns]
        if titles == [""]:
            # The title of a single column is broken before its last word.
            *words, titles[0] = words
        elif group:
            rules.append(rf"\cmidrule(lr){{{place}-{place + len(columns) - 1}}}")
        above.append(rf"\multicolumn{{{len(columns)}}}{{c}}{{{escape(' '.join(words))}}}" if words else "")
        above += [""] * (0 if words else len(columns) - 1)
        below += map(escape, titles)
        place += len(columns)
    yield _row(above)
    yield from ["".join(rules)] if rules else []
    yield _row(below)


def _body(row: Row, columns: Sequence[Column]) -> str:
    return _row([escape(row.label.text), *map(_cell, row.cells, columns)])


def _cell(cell: Cell, column: Column) -> str:
    if cell.text == ABSENT:
        return "--"
    text = escape(f"{cell.text}{cell.mark}")
    text = text.replace(",", "{,}") if column.align == "right" else text
    text = rf"\textbf{{{text}}}" if cell.style == "strong" else text
    notes = escape(" ".join(cell.notes))
    return rf"{text} {{\scriptsize {notes}}}" if notes else text


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
