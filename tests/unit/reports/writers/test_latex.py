import re
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from mlbench.reports.documents.result import results_report
from mlbench.reports.formatting import visible
from mlbench.reports.writers.latex import escape, write_latex
from mlbench.results import Result


def latex_report(results: Sequence[Result]) -> str:
    return write_latex(results_report(results))


# What each command of ours prints, after the LaTeX kernel's documentation.
PRINTS = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"{\char34}": '"',
    r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'",
    "-{}": "-",
    **{rf"\{c}": c for c in "{}$&#%_"},
}
PIECE = re.compile("|".join(map(re.escape, PRINTS)) + r"|[^\\{}$&#%_^~]", re.DOTALL)


def printed(text: str) -> str:
    """Read as LaTeX would, and fail on whatever it would not print."""
    assert "".join(PIECE.findall(text)) == text
    assert "--" not in text
    return PIECE.sub(lambda piece: PRINTS.get(piece[0], piece[0]), text)


@example("---")
@given(st.text(st.sampled_from("\\{}$&#%_^~<>|\"`'-ab é")))
def test_every_character_is_printed(text: str) -> None:
    assert printed(escape(text)) == text


def body(text: str) -> list[list[str]]:
    lines = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert all(line.endswith(r" \\") for line in lines)
    return [line.removesuffix(r" \\").split(" & ") for line in lines]


def test_rows_have_as_many_cells_as_the_table_has_columns(small: Result, hostile: Result) -> None:
    text = latex_report([small, hostile])
    (columns,) = re.findall(r"\\begin\{tabular\}\{(l+r+)\}", text)
    rows = [re.split(r"(?<!\\) & ", " & ".join(row)) for row in body(text)]
    assert {len(row) for row in rows} == {len(columns)}
    assert printed(rows[1][0]) == visible(hostile.retriever.spec)
    heads = text.split("\\toprule\n")[1].split("\\midrule")[0].splitlines()
    spans = [sum(int(n) for n in re.findall(r"multicolumn\{(\d+)\}", heads[0])) + 2, len(heads[2].split(" & "))]
    assert spans == [len(columns)] * 2


def test_the_best_of_a_task_is_bold(small: Result) -> None:
    better = small.aggregates[0].model_copy(update={"measures": small.aggregates[0].measures | {"AP": 0.9}})
    other = small.model_copy(update={"aggregates": (better, *small.aggregates[1:])})
    rows = body(latex_report([small, other]))
    assert [row[2].startswith(r"\textbf{") for row in rows] == [False, True]
    assert not any("textbf" in cell for row in body(latex_report([small])) for cell in row)


def test_what_is_absent_is_a_dash(small: Result) -> None:
    row = body(latex_report([small, small.model_copy(update={"bias": None})]))[1]
    assert row[-3:] == ["--", "--", "--"]
