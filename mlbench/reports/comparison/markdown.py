"""A comparison as Markdown that fits into a comment on a pull request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mlbench.collection.languages import KINDS
from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.reports.comparison.console import whole
from mlbench.reports.comparison.content import (
    LINES_LEGEND,
    SIGNIFICANT,
    DifferenceText,
    both_sides,
    by_language,
    check_title,
    check_value,
    difference_grid,
    failures,
    headline,
    how,
    labels,
    languages_of,
    legend,
    not_compared,
    other_aggregates,
    power,
    setting_title,
    sides,
    single_settings,
    summary,
    title,
    verdict,
    verdict_counts,
    worst,
)
from mlbench.reports.formatting import (
    SHORT,
    count,
    harmless,
    heading,
    markdown_code,
    markdown_table,
    markdown_text,
    p_text,
)
from mlbench.reports.grid import MEAN, POOL

LONGEST = 65_000
"""How many bytes there are at most; GitHub takes comments of 65,536 characters."""
_LONGEST_NAME, _LONGEST_SENTENCE = 80, 400
_ROOM_FOR_FAILURES = 16_000
_NOTE = 500


@dataclass(frozen=True)
class _Part:
    """A part of the comment; rows that find no room are left out from the end, what has no `rows` as a whole.

    The least `urgency` number finds room first; `called` is what is said to be left out.
    """

    urgency: int
    called: str
    opening: str
    rows: tuple[str, ...] = ()
    closing: str = ""

    @property
    def text(self) -> str:
        return "\n".join([self.opening, *self.rows]) + self.closing

    def within(self, room: int) -> "_Part | None":
        """Return as much of this part as has `room` bytes."""
        if _size(self.text) <= room:
            return self
        room -= _size(self.opening) + _size(self.closing) + _NOTE
        kept = 0
        while kept < len(self.rows) and (room := room - _size(self.rows[kept]) - 1) >= 0:
            kept += 1
        if not kept:
            return None
        cut = f"\n\n{count(len(self.rows) - kept, 'more row')} in the document{self.closing}"
        return replace(self, rows=self.rows[:kept], closing=cut)


def comparison_markdown(comparison: Comparison) -> str:
    """Return the verdict, what failed, a table for each task, and details to unfold, in at most `LONGEST` bytes.

    What finds no room is named at the end. Names from results are no markup, and mention nobody.
    """
    comparison = harmless(comparison)
    parts = [*_verdict(comparison)]
    for task in comparison.tasks:
        parts += _task(task, comparison)
    parts += [_Part(1, "", note) for note in not_compared(comparison, _name)]
    room, chosen = LONGEST - _NOTE, dict[int, _Part]()
    for place, part in sorted(enumerate(parts), key=lambda each: each[1].urgency):
        fitting = part.within(room - 2)
        if fitting is None:
            break
        chosen[place] = fitting
        room -= _size(fitting.text) + 2
    texts = [chosen[place].text for place in sorted(chosen)]
    missing = [part.called for place, part in enumerate(parts) if place not in chosen]
    return "\n\n".join([*texts, *_left_out(missing)]) + "\n"


def _verdict(comparison: Comparison) -> Iterator[_Part]:
    both = both_sides(comparison, _code)
    yield _Part(
        0, "", f"### {verdict(comparison).capitalize()}{f': {both}' if both else ''}\n\n{_headline(comparison)}"
    )
    lines = [f"- {_code(task)}: {told}" for task, told in failures(comparison.every_check, _sentence)]
    if lines:
        whole = _Part(0, "", lines[0], tuple(lines[1:]))
        yield whole.within(_ROOM_FOR_FAILURES) or replace(whole, rows=())


def _headline(comparison: Comparison) -> str:
    said = headline(comparison)
    return f"{said[:1].upper()}{said[1:]}{' failed' if not comparison.passed else ''}."


def _task(task: TaskComparison, comparison: Comparison) -> Iterator[_Part]:
    named = "" if both_sides(comparison) else f": {sides(task, _code)}"
    head = [f"#### {_name(task.task)} (version {_name(task.version)}){named}", *labels(task, _name)]
    told = [f"{'; '.join(verdict_counts(task))}."] if verdict_counts(task) else []
    told += [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in power(task, _name)]
    yield _Part(1, "the summary", "\n\n".join([*head, _table(summary(task)), *told]))
    yield from _folded(
        2, f"By {languages_of(task)}", _languages(task), f"\n\n{_escaped(legend(comparison.gate.level))}"
    )
    yield from _folded(3, "Settings that lose most", _table(worst(task), of_settings=True))
    yield from _folded(4, "By pair of languages", _pairs(task), "\n\nIn thousandths; mean: cross-lingual settings only")
    yield from _folded(5, "Gate lines", _checks(task.checks), f"\n\n{LINES_LEGEND}")
    yield from _folded(
        6, "Other measures and bias scores, which are not tested", _table(other_aggregates(task), tested=False)
    )
    yield from _folded(7, "All settings", _table(single_settings(task), of_settings=True))
    yield _Part(1, "", _sentence(", ".join(how(task))))


def _folded(urgency: int, summary: str, table: str, below: str = "") -> Iterator[_Part]:
    """Yield a table to unfold; one without rows is left away."""
    titles, rules, *rows = table.split("\n")
    if rows:
        opening = f"<details><summary>{summary}</summary>\n\n{titles}\n{rules}"
        yield _Part(urgency, summary[:1].lower() + summary[1:], opening, tuple(rows), f"{below}\n\n</details>")


def _table(rows: Sequence[DifferenceText], *, of_settings: bool = False, tested: bool = True) -> str:
    named = setting_title if of_settings else title
    cells = [
        [
            *(named(row.line, _name), row.base, row.candidate, _join(row.difference, row.interval)),
            *([_p(row.p), _word(row)] if tested else []),
        ]
        for row in rows
    ]
    titles = ["setting" if of_settings else "", "base", "candidate", "difference"]
    return markdown_table([*titles, *(["p", "verdict"] if tested else [])], cells)


def _languages(task: TaskComparison) -> str:
    rows = by_language(task)
    kinds = [kind for kind in KINDS if any(kind in found for found in rows.values())]
    cells = []
    for language, found in rows.items():
        each = [found.get(kind) for kind in kinds]
        texts = [
            _join(_escaped(one.marked), one.interval, f"p {_p(one.p)}" if one.p else "") if one else "" for one in each
        ]
        cells.append([_name(language), *texts])
    return markdown_table([_name(heading(task.tests.primary_measure)), *(SHORT[kind] for kind in kinds)], cells)


def _pairs(task: TaskComparison) -> str:
    shown = difference_grid(task)
    grid = shown.grid
    if not grid.crosses:
        return markdown_table([""], [])
    columns = [*grid.languages, MEAN, *([POOL] if grid.pool else [])]
    rows = []
    for row in (*grid.languages, MEAN):
        marks = [f"\\{SIGNIFICANT}" if (row, column) in shown.significant else "" for column in columns]
        texts = [whole(grid.value(row, column)) for column in columns]
        rows.append([_name(row), *(f"{text}{mark}" for text, mark in zip(texts, marks, strict=True))])
    return markdown_table(["", *map(_name, columns)], rows)


def _checks(checks: Sequence[Check]) -> str:
    rows = [
        [
            check_title(check, _name),
            check_value(check, check.base),
            check_value(check, check.candidate),
            "" if check.p is None else _p(p_text(check.p)),
            "" if check.detectable is None else check_value(check, check.detectable),
            "passed" if check.passed else "**failed**",
        ]
        for check in checks
    ]
    return markdown_table(["line", "base", "candidate", "p", "would find", ""], rows)


def _left_out(missing: Sequence[str]) -> list[str]:
    """Say what found no room, and of how many tasks; nothing missing, no words."""
    named = [f"{called} of {count(missing.count(called), 'task')}" for called in dict.fromkeys(missing) if called]
    return [f"Left out, as a comment must not be longer: {', '.join(named)}."] if named else []


def _word(row: DifferenceText) -> str:
    return f"**{row.verdict_text}**" if row.verdict == "worse" else row.verdict_text


def _p(text: str) -> str:
    return text.replace("<", "&lt;")


def _escaped(text: str) -> str:
    return text.replace(SIGNIFICANT, f"\\{SIGNIFICANT}")


def _name(text: str) -> str:
    return markdown_text(_cut(text, _LONGEST_NAME))


def _sentence(text: str) -> str:
    return markdown_text(_cut(text, _LONGEST_SENTENCE))


def _code(text: str) -> str:
    return markdown_code(_cut(text, _LONGEST_NAME))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _size(text: str) -> int:
    return len(text.encode())
