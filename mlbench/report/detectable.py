"""What the lines of a gate could have found in the data that there is: a gate that cannot fail is no comfort."""

from collections.abc import Iterator, Mapping, Sequence

from mlbench.contrasts import Subject
from mlbench.regression.document import Check, TaskComparison
from mlbench.report.differences import Escape, asked_language, title
from mlbench.report.notation import count
from mlbench.report.sweep_rows import Quantity

_RULES = ("point", "significant", "non_inferior")


def power(task: TaskComparison, escape: Escape = str) -> list[str]:
    """Say what drops and rises the gate would have found, and how many of its lines can find none; no lines, no words.

    Under `non_inferior` it is the margin within which a candidate that is no worse would be shown to be.
    """
    tested = [check for check in task.checks if check.rule in _RULES]
    found = [check for check in tested if check.detectable is not None]
    blind = len(tested) - len(found)
    sentences = []
    if found:
        sizes = _listed(list(_sizes(found, escape)))
        sentences.append(
            f"power: a candidate that is no worse would be shown to be so, four times of five, within {sizes}"
            if found[0].rule == "non_inferior"
            else f"power: this data would have found, four times of five, {sizes}"
        )
    if blind:
        lines = "its only line" if len(tested) == 1 else f"{blind:,} of {count(len(tested), 'tested line')}"
        sentences.append(f"power: for {lines} there are too few clusters of topics, or too few flips, to find anything")
    return sentences


def _sizes(checks: Sequence[Check], escape: Escape) -> Iterator[str]:
    """Yield what would be found in each mean, with the range over query languages behind it or by itself."""
    rows: dict[Subject, dict[bool, list[float]]] = {}
    for check in checks:
        if check.subject is not None and check.detectable is not None:
            gone = {"family": "aggregates", "query_language": None, "document_languages": None}
            whole = check.subject.model_copy(update=gone)
            of_language = check.subject.language is not None
            rows.setdefault(whole, {}).setdefault(of_language, []).append(check.detectable)
    worsening = {True: "a drop of ", False: "a rise of "} if checks[0].rule != "non_inferior" else {True: "", False: ""}
    for subject, sizes in rows.items():
        yield f"{worsening[subject.kind is not None]}{_size(subject, sizes, escape)}"


def _size(subject: Subject, sizes: Mapping[bool, Sequence[float]], escape: Escape) -> str:
    quantity, named = Quantity(subject.name, subject.kind), title(subject, escape)
    ranges = {
        of_language: " to ".join(dict.fromkeys(quantity.write(end) for end in (min(found), max(found))))
        for of_language, found in sizes.items()
    }
    language = asked_language([subject.kind])
    if False not in ranges:
        return f"{ranges[True]} in {named} of one {language}"
    return f"{ranges[False]} in {named}" + (f" ({ranges[True]} in that of one {language})" if True in ranges else "")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
