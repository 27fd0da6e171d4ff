"""A sweep as Markdown of the GitHub kind."""

from collections.abc import Sequence

from mlbench.report.markdown import name, table
from mlbench.report.notation import ABSENT
from mlbench.report.sweep_rows import (
    INSEPARABLE,
    LEGEND,
    SEPARABLE,
    Quantity,
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
from mlbench.sweeps import Pair, Sweep, TaskSweep

# What Markdown would read as emphasis or as a strike.
_MARKS = {SEPARABLE: " \\*", INSEPARABLE: " \\~", "": ""}


def sweep_markdown(sweep: Sweep) -> str:
    """Return all figures, what is best, and the differences between all arms, for each task."""
    blocks = [f"### Sweep of {name(sweep.recipe)}", name("; ".join(header(sweep)))]
    for task in sweep.tasks:
        blocks += [f"#### {name(task.name)} (version {name(task.version)})", _figures(sweep, task, quantities(task))]
        blocks += [_legend(sweep)] if task.claims else []
        blocks += ["\n".join(f"- {name(claim)}" for claim in claims(task))] if task.claims else []
        base = base_pairs(sweep, task)
        if base:
            blocks += [
                f"Differences from {name(sweep.base)} ({_escaped(differences(sweep))}):",
                _differences(quantities(task), base),
            ]
        for title, columns in by_language(task).items():
            blocks += [f"{name(title)}:", _figures(sweep, task, columns)]
            blocks += [f"Differences from {name(sweep.base)}:", _differences(columns, base)] if base else []
        others = [pair for pair in task.pairs if pair not in base]
        if others:
            blocks += [
                "<details><summary>All other pairs of arms</summary>",
                _differences(quantities(task), others),
                "</details>",
            ]
        blocks += [name(", ".join(how(task, sweep)))]
    return "\n\n".join(blocks) + "\n"


def _figures(sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> str:
    rows = []
    for row in task.rows:
        notes = arm_notes(sweep, sweep.arm(row.arm))
        cells = [figure_cell(task, row.arm, quantity) for quantity in columns]
        texts = [_stacked([f"{cell.value}{_MARKS[cell.mark]}", cell.interval, cell.spread]) for cell in cells]
        rows.append([_stacked([name(row.arm), *map(name, notes)]), *texts])
    return table(["arm", *(name(quantity.title) for quantity in columns)], rows)


def _differences(columns: Sequence[Quantity], pairs: Sequence[Pair]) -> str:
    rows = []
    for pair in pairs:
        texts = []
        for quantity in columns:
            cell = difference_cell(pair, quantity)
            if cell is None:
                texts.append(ABSENT)
                continue
            p = f"p {cell.p}".replace("<", "&lt;") if cell.p else ""
            mark = _MARKS[SEPARABLE] if cell.separable else ""
            texts.append(_stacked([f"{cell.difference}{mark}", cell.interval, p, _seeds(cell.seeds, cell.seed_range)]))
        rows.append([f"{name(pair.candidate)} − {name(pair.base)}", *texts])
    return table(["arms", *(name(quantity.title) for quantity in columns)], rows)


def _legend(sweep: Sweep) -> str:
    parts = [*LEGEND, *([confounding()] if any(arm.confounded for arm in sweep.arms) else [])]
    return f"{_escaped('; '.join(parts))}."


def _seeds(agreeing: str, spread: str) -> str:
    return f"{agreeing}: {spread}" if agreeing else ""


def _stacked(lines: Sequence[str]) -> str:
    return "<br>".join(line for line in lines if line)


def _escaped(text: str) -> str:
    return text.replace(SEPARABLE, f"\\{SEPARABLE}").replace(INSEPARABLE, f"\\{INSEPARABLE}")
