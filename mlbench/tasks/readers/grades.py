"""Grades of relevance as files write them: whole numbers or fractions, and the threshold of what is relevant."""

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from mlbench.collection.records import LARGEST_GRADE, Judgment
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest

Grade = int | Fraction
"""A grade as it stands in a file: exact, so that 0.1 is a tenth."""
RELEVANCE_THRESHOLD = "relevance_threshold"
"""The option of readers that says from which grade on a document is relevant; 1 without it."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


class GradedJudgments(NamedTuple):
    """Judgments by topic, apart by relevance, as the fields of a `Collection` have them.

    The grades of `judgments` are whole numbers: those of the file times `grade_scale`, which is 1 where the file's are
    whole numbers as well. Those of `not_relevant` are 0, and -1 where the file's are below 0.
    """

    judgments: Mapping[str, tuple[Judgment, ...]]
    not_relevant: Mapping[str, tuple[Judgment, ...]]
    grade_scale: int


def parse_grade(written: object) -> Grade | None:
    """Return the grade that a text such as `2`, `2.0`, `1e0` or `0.5` writes, or a number is; None for anything else.

    Infinity, NaN and numbers beyond `LARGEST_GRADE`, either way, are no grades.
    """
    text = str(written).strip()
    if not _NUMBER.fullmatch(text):
        return None
    grade = Fraction(text)
    if abs(grade) > LARGEST_GRADE:
        return None
    return grade.numerator if grade.denominator == 1 else grade


def threshold_of(request: ReadRequest) -> Grade:
    """Return the grade from which on documents are relevant: that of the option, else 1.

    Raises `DataError` for what is no number above 0: documents without a judgment have grade 0, and are not relevant.
    """
    given = request.options.get(RELEVANCE_THRESHOLD, 1)
    threshold = None if isinstance(given, bool) else parse_grade(given)
    if threshold is None or threshold <= 0:
        raise DataError(f"{request.task}: option {RELEVANCE_THRESHOLD} must be a number above 0, not {given!r:.40}")
    return threshold


def split_judgments(
    graded: Mapping[str, Iterable[tuple[str, str, Grade]]], threshold: Grade, doc_id: Callable[[str, str], str]
) -> GradedJudgments:
    """Return judgments by relevance, given for each topic the language, the own id and the grade of its documents.

    Documents of grade `threshold` and more are relevant; `doc_id` gives the id of a document by language and own id.
    No topics give no judgments. Raises `DataError` where the grades have no common whole multiple that is small enough.
    """
    rows = {
        topic: [(language, doc_id(language, own), grade) for language, own, grade in judged]
        for topic, judged in graded.items()
    }
    kept = {grade for judged in rows.values() for *_, grade in judged if grade >= threshold}
    scale = lcm(*(grade.denominator for grade in kept))
    if kept and max(kept) * scale > LARGEST_GRADE:
        raise DataError(
            f"grades such as {float(max(kept)):g} have too many decimals: round them, so that all are whole multiples "
            f"of a common fraction, up to {LARGEST_GRADE:,} times it"
        )
    return GradedJudgments(
        judgments={
            topic: tuple(Judgment(tag, own, int(grade * scale)) for tag, own, grade in judged if grade >= threshold)
            for topic, judged in rows.items()
        },
        not_relevant={
            topic: tuple(Judgment(tag, own, -1 if grade < 0 else 0) for tag, own, grade in judged if grade < threshold)
            for topic, judged in rows.items()
            if any(grade < threshold for *_, grade in judged)
        },
        grade_scale=scale,
    )
