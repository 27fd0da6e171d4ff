"""In which order the results of a history stand, and what they are called in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mlbench.errors import UserError
from mlbench.report.notation import visible
from mlbench.results import Result

Order = Literal["steps", "time", "name"]


@dataclass(frozen=True, slots=True)
class Found:
    """A result and the file that it is from."""

    file: str
    result: Result


def are_of_one_recipe(group: Sequence[Found]) -> bool:
    """Say whether all tell how they were trained, by recipes that differ in the number of steps alone."""
    recipes = [each.result.retriever.training.recipe if each.result.retriever.training else None for each in group]
    without = [None if recipe is None else {key: recipe[key] for key in recipe if key != "steps"} for recipe in recipes]
    return without[0] is not None and all(each == without[0] for each in without)


def place(found: Found, order: Order) -> tuple[object, ...]:
    """Return where a result stands; what nothing else tells apart is in the order of time, then of files."""
    result = found.result
    last = (_moment(result.cost.finished_at), _natural(found.file))
    if order == "name":
        return (_natural(result.retriever.spec), *last)
    if order == "time":
        return last
    if result.retriever.training is None:
        raise UserError(
            f"{visible(found.file)} does not say after how many steps it was saved: choose --by time or --by name"
        )
    return (result.retriever.training.steps, *last)


def short_names(group: Sequence[Found]) -> list[str]:
    """Return the specs without the folders that all have in common, and with a digest where they are the same."""
    specs = [each.result.retriever.spec for each in group]
    folders = [spec.split("/")[:-1] for spec in specs]
    alike = [len(set(each)) == 1 for each in zip(*folders, strict=False)]
    shared = [*alike, False].index(False) if len(set(specs)) > 1 else 0
    short = ["/".join(spec.split("/")[shared:]) for spec in specs]
    return [
        name if short.count(name) == 1 else f"{name} {each.result.retriever.fingerprint[:8]}"
        for name, each in zip(short, group, strict=True)
    ]


def _moment(text: str) -> float:
    """Return when a run finished, in seconds; what is no time stands first."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a key in whose order step-9 stands before step-10; of two numbers, the one with more digits is larger."""
    parts = [(part.isdecimal(), part.lstrip("0") if part.isdecimal() else part) for part in re.split(r"(\d+)", text)]
    return tuple((is_number, len(part) if is_number else 0, part) for is_number, part in parts)
