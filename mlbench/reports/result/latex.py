"""A table for a paper: results side by side, with the rules of the package booktabs."""

from collections.abc import Sequence
from itertools import groupby

from mlbench.reports.formatting import ABSENT, spoken
from mlbench.reports.result.tables import ScoreCell, ScoreColumn, ScoreTable, compare
from mlbench.results import Result

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
    }
)


def latex_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    r"""Return a `tabular` of all results, the best value of each task in bold; it needs `\usepackage{booktabs}`."""
    table = compare(results, measure=measure)
    numbers = [column.cells for column in table.columns]
    rows = [
        [escape(retriever), escape(task), *map(_cell, cells)]
        for retriever, task, *cells in zip(table.retrievers, table.tasks, *numbers, strict=True)
    ]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            "% Macro means over the settings of a kind; bold: the best of a task.",
            rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
            r"\toprule",
            *_head(table),
            r"\midrule",
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Return `text` so that LaTeX prints it as it is."""
    # Two hyphens would become a dash.
    return text.translate(_ESCAPES).replace("--", "-{}-").replace("--", "-{}-")


def _head(table: ScoreTable) -> list[str]:
    """Return two lines of titles with a rule under each group of columns."""
    above, below, place = ["", ""], ["Retriever", "Task"], 3
    rules: list[str] = []
    for group, columns in _groups(table.columns):
        width, words = len(columns), spoken(group).split()
        titles = [column.title for column in columns]
        if titles == [""]:
            # The title of a single column is broken before its last word.
            *words, titles[0] = words
        else:
            rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(' '.join(words))}}}")
        below += map(escape, titles)
        place += width
    return [_row(above), *(["".join(rules)] if rules else []), _row(below)]


def _groups(columns: Sequence[ScoreColumn]) -> list[tuple[str, list[ScoreColumn]]]:
    return [(group, list(found)) for group, found in groupby(columns, key=lambda column: column.group)]


def _cell(cell: ScoreCell) -> str:
    if cell.text == ABSENT:
        return "--"
    text = cell.text.replace(",", "{,}")
    return rf"\textbf{{{text}}}" if cell.best else text


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
