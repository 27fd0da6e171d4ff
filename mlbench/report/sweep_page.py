"""A sweep as one HTML page that needs nothing else: no script, no font, no request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlbench.report.notation import ABSENT
from mlbench.report.sweep_figures import Drawing, drawings
from mlbench.report.sweep_rows import (
    LEGEND,
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


@dataclass(frozen=True)
class Cell:
    """A number with what stands in small letters below it; one that `stands_out` is in bold."""

    text: str
    notes: Sequence[str]
    stands_out: bool = False


@dataclass(frozen=True)
class Row:
    """A labelled row; `notes` stand below the label."""

    label: str
    notes: Sequence[str]
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """A table: `caption` for those who hear it, titles of the columns but the first."""

    caption: str
    first: str
    titles: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Section:
    """All that the page says of one task."""

    task: TaskSweep
    figures: Table
    claims: Sequence[str]
    drawings: Sequence[Drawing]
    base: Table | None
    by_language: Sequence[Table]
    others: Table | None
    how: Sequence[str]


def sweep_page(sweep: Sweep) -> str:
    """Return the page; everything that comes from the sweep is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    legend = list(LEGEND) if len(sweep.arms) > 1 else []
    legend += [confounding()] if any(arm.confounded for arm in sweep.arms) else []
    return (
        environment.get_template("sweep.html").render(
            sweep=sweep,
            header=header(sweep),
            legend=legend,
            differences=differences(sweep),
            sections=[_section(sweep, task) for task in sweep.tasks],
        )
        + "\n"
    )


def _section(sweep: Sweep, task: TaskSweep) -> Section:
    base = base_pairs(sweep, task)
    others = [pair for pair in task.pairs if pair not in base]
    return Section(
        task=task,
        figures=_figures("All arms", sweep, task, quantities(task)),
        claims=claims(task),
        drawings=drawings(sweep, task),
        base=_differences(f"Differences from {sweep.base}", quantities(task), base) if base else None,
        by_language=list(_language_tables(sweep, task, base)),
        others=_differences("Differences of all other pairs of arms", quantities(task), others) if others else None,
        how=how(task, sweep),
    )


def _language_tables(sweep: Sweep, task: TaskSweep, base: Sequence[Pair]) -> Iterator[Table]:
    for title, columns in by_language(task).items():
        yield _figures(title, sweep, task, columns)
        if base:
            yield _differences(f"{title}: differences from {sweep.base}", columns, base)


def _figures(caption: str, sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> Table:
    rows = []
    for row in task.rows:
        cells = [figure_cell(task, row.arm, quantity) for quantity in columns]
        shown = [Cell(f"{c.value}{c.mark}", [n for n in (c.interval, c.spread) if n], bool(c.mark)) for c in cells]
        rows.append(Row(row.arm, arm_notes(sweep, sweep.arm(row.arm)), shown))
    return Table(caption, "arm", [quantity.title for quantity in columns], rows)


def _differences(caption: str, columns: Sequence[Quantity], pairs: Sequence[Pair]) -> Table:
    rows = []
    for pair in pairs:
        cells = []
        for quantity in columns:
            found = difference_cell(pair, quantity)
            if found is None:
                cells.append(Cell(ABSENT, []))
                continue
            p = f"p {found.p}" if found.p else ""
            seeds = f"{found.seeds}: {found.seed_range}" if found.seeds else ""
            notes = [note for note in (found.interval, p, seeds) if note]
            cells.append(Cell(f"{found.difference}{'*' if found.separable else ''}", notes, found.separable))
        rows.append(Row(pair.candidate, [f"− {pair.base}"], cells))
    return Table(caption, "arm", [quantity.title for quantity in columns], rows)
