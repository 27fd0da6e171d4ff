"""A sweep as Markdown of the GitHub kind."""

from collections.abc import Sequence

from mlbench.compare.sweep import ArmPair, Sweep, TaskSweep
from mlbench.reports.formatting import ABSENT, Quantity, markdown_table, markdown_text
from mlbench.reports.sweep.content import (
    LEGEND,
    NOT_SIGNIFICANT,
    SIGNIFICANT,
    arm_notes,
    base_pairs,
    by_language,
    claims,
    confounding,
    difference_cell,
    differences,
    figure_cell,
    header,
    how,
    quantities,
)

# What Markdown would read as emphasis or as a strike.
_MARKS = {SIGNIFICANT: " \\*", NOT_SIGNIFICANT: " \\~", "": ""}


def sweep_markdown(sweep: Sweep) -> str:
    """Return all figures, what is best, and the differences between all arms, for each task."""
    blocks = [f"### Sweep of {markdown_text(sweep.recipe)}", markdown_text("; ".join(header(sweep)))]
    for task in sweep.tasks:
        blocks += [
            f"#### {markdown_text(task.name)} (version {markdown_text(task.version)})",
            _figures(sweep, task, quantities(task)),
        ]
        blocks += [_legend(sweep)] if task.claims else []
        blocks += ["\n".join(f"- {markdown_text(claim)}" for claim in claims(task))] if task.claims else []
        base = base_pairs(sweep, task)
        if base:
            blocks += [
                f"Differences from {markdown_text(sweep.base)} ({_escaped(differences(sweep))}):",
                _differences(quantities(task), base),
            ]
        for title, columns in by_language(task).items():
            blocks += [f"{markdown_text(title)}:", _figures(sweep, task, columns)]
            blocks += [f"Differences from {markdown_text(sweep.base)}:", _differences(columns, base)] if base else []
        others = [pair for pair in task.pairs if pair not in base]
        if others:
            blocks += [
                "<details><summary>All other pairs of arms</summary>",
                _differences(quantities(task), others),
                "</details>",
            ]
        blocks += [markdown_text(", ".join(how(task, sweep)))]
    return "\n\n".join(blocks) + "\n"


def _figures(sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> str:
    rows = []
    for row in task.rows:
        notes = arm_notes(sweep, sweep.arm(row.arm))
        cells = [figure_cell(task, row.arm, quantity) for quantity in columns]
        texts = [_stacked([f"{cell.value}{_MARKS[cell.mark]}", cell.interval, cell.spread]) for cell in cells]
        rows.append([_stacked([markdown_text(row.arm), *map(markdown_text, notes)]), *texts])
    return markdown_table(["arm", *(markdown_text(quantity.title) for quantity in columns)], rows)


def _differences(columns: Sequence[Quantity], pairs: Sequence[ArmPair]) -> str:
    rows = []
    for pair in pairs:
        texts = []
        for quantity in columns:
            cell = difference_cell(pair, quantity)
            if cell is None:
                texts.append(ABSENT)
                continue
            p = f"p {cell.p}".replace("<", "&lt;") if cell.p else ""
            mark = _MARKS[SIGNIFICANT] if cell.significant else ""
            texts.append(_stacked([f"{cell.difference}{mark}", cell.interval, p, _seeds(cell.seeds, cell.seed_range)]))
        rows.append([f"{markdown_text(pair.candidate)} − {markdown_text(pair.base)}", *texts])
    return markdown_table(["arms", *(markdown_text(quantity.title) for quantity in columns)], rows)


def _legend(sweep: Sweep) -> str:
    parts = [*LEGEND, *([confounding()] if any(arm.confounded for arm in sweep.arms) else [])]
    return f"{_escaped('; '.join(parts))}."


def _seeds(agreeing: str, spread: str) -> str:
    return f"{agreeing}: {spread}" if agreeing else ""


def _stacked(lines: Sequence[str]) -> str:
    return "<br>".join(line for line in lines if line)


def _escaped(text: str) -> str:
    return text.replace(SIGNIFICANT, f"\\{SIGNIFICANT}").replace(NOT_SIGNIFICANT, f"\\{NOT_SIGNIFICANT}")
