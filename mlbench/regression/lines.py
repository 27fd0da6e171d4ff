"""The lines of a gate on one task: what each is about, and its bound."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeVar

from mlbench.contrasts import Contrasts, Subject, row_of
from mlbench.errors import UserError
from mlbench.languages import IMAGE_KINDS, TEXT_KINDS, Kind
from mlbench.regression.gate import DEFAULT, EVERY_LANGUAGE, MEAN, PRIMARY, Gate, Lines
from mlbench.regression.pairing import OF_DEPTH

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GateLine:
    """One line: `bound` is the largest worsening, or what the candidate's own value may not fall below or rise above.

    A `drop` is a worsening of what is better when higher, a `rise` of what is better when lower.
    """

    what: Literal["drop", "rise", "floor", "ceiling"]
    subject: Subject
    bound: float


def lines_of(gate: Gate, contrasts: Contrasts, task: str) -> tuple[GateLine, ...]:
    """Return the lines of `gate` on `task`, drops and rises first.

    Lines for every query language hold for those that have topics. Raises `UserError` in one line with everything that
    the gate asks for and that is not there; what `DEFAULT` asks for, it asks for where it is there.
    """
    asked = list(dict.fromkeys(_lines(_merge(gate, contrasts.primary_measure, task), contrasts)))
    known = {each.subject for each in contrasts.each if isfinite(each.difference)}
    missing = [line for line in asked if line.subject not in known]
    if missing and (gate.drop, gate.rise, gate.floor, gate.ceiling) != (DEFAULT.drop, DEFAULT.rise, {}, {}):
        names = {each.subject.name for each in contrasts.each}
        named = ", ".join(dict.fromkeys(_describe(line, names) for line in missing))
        deep = any(line.subject.name in OF_DEPTH for line in missing)
        reason = " (scores of ranks need parallel topics, and lists that are equally long)" if deep else ""
        raise UserError(
            f"the gate asks for what {task} has not: {named}{reason}; put lines of other tasks under [task.NAME]"
        )
    return tuple(line for line in asked if line.subject in known)


def _merge(gate: Gate, primary: str, task: str) -> Lines:
    """Return the lines for every task with those for this one in their places, measures by their own names."""
    own = gate.task.get(task, Lines())
    return Lines.model_construct(
        drop=_by_name(gate.drop, primary) | _by_name(own.drop, primary),
        rise=gate.rise | own.rise,
        floor=_by_name(gate.floor, primary) | _by_name(own.floor, primary),
        ceiling=gate.ceiling | own.ceiling,
    )


def _by_name(table: Mapping[str, Value], primary: str) -> dict[str, Value]:
    """Return a table with the primary measure called by its name, which wins where both are there."""
    general = {primary: table[PRIMARY]} if PRIMARY in table else {}
    return general | {name: value for name, value in table.items() if name != PRIMARY}


def _lines(lines: Lines, contrasts: Contrasts) -> Iterator[GateLine]:
    rows = [each.subject for each in contrasts.each if each.subject.family == "query_languages" and each.n_topics]
    has_images = any(each.subject.kind in IMAGE_KINDS for each in contrasts.each)
    own_kinds, others = (IMAGE_KINDS, TEXT_KINDS) if has_images else (TEXT_KINDS, IMAGE_KINDS)
    for name, drops in lines.drop.items():
        of_own = any(getattr(drops, kind) is not None for kind in own_kinds)
        for kind in own_kinds if of_own else others:
            if (allowed := getattr(drops, kind)) is not None:
                yield GateLine("drop", Subject(family="aggregates", name=name, kind=kind), allowed)
        if drops.query_languages is not None:
            own = [row for row in rows if row.name == name]
            yield from (GateLine("drop", row, drops.query_languages) for row in own or [row_of(name, None, None)])
    for score, allowed in lines.rise.items():
        yield GateLine("rise", Subject(family="aggregates", name=score), allowed)
    for name, kinds in lines.floor.items():
        for kind, floors in kinds.items():
            own = [row for row in rows if (row.name, row.kind) == (name, kind)]
            yield from _floors(name, kind, floors, own)
    for score, bound in lines.ceiling.items():
        yield GateLine("ceiling", Subject(family="aggregates", name=score), bound)


def _floors(name: str, kind: Kind, floors: Mapping[str, float], rows: Sequence[Subject]) -> Iterator[GateLine]:
    """Yield the floors of a measure over a kind; a language's own one wins over that of every language."""
    if MEAN in floors:
        yield GateLine("floor", Subject(family="aggregates", name=name, kind=kind), floors[MEAN])
    by_row = {row_of(name, kind, tag): bound for tag, bound in floors.items() if tag not in (MEAN, EVERY_LANGUAGE)}
    if EVERY_LANGUAGE in floors:
        by_row = dict.fromkeys(rows or [row_of(name, kind, None)], floors[EVERY_LANGUAGE]) | by_row
    yield from (GateLine("floor", row, bound) for row, bound in by_row.items())


def _describe(line: GateLine, names: Collection[str]) -> str:
    """Return `floor of AP monolingual de`, or the name alone where nothing is called so."""
    about = line.subject
    if about.name not in names:
        return about.name
    return " ".join(part for part in (line.what, "of", about.name, about.kind, about.language) if part)
