import json

import pytest
from unit.reports.sweep_cases import make_sweep

from mlbench.compare.sweep import from_json, is_significant
from mlbench.errors import InvalidResult
from mlbench.io.document import to_json
from mlbench.results import Bounds
from mlbench.statistics.paired_tests import Line, Tails


def line(p: float | None, bounds: tuple[float, float] | None) -> Line:
    return Line(
        family="aggregates",
        name="AP",
        base=0.5,
        candidate=0.6,
        difference=0.1,
        interval=None if bounds is None else Bounds(low=bounds[0], high=bounds[1]),
        raw=None,
        adjusted=None if p is None else Tails(two_sided=p, greater=p / 2, less=1.0),
        n_topics=10,
        n_clusters=6,
    )


@pytest.mark.parametrize(
    ("p", "bounds", "significant"),
    [
        (0.04, (-1.0, 1.0), True),
        (0.05, (-1.0, 1.0), True),
        (0.051, (0.1, 0.2), False),
        (None, (0.1, 0.2), True),
        (None, (-0.2, -0.1), True),
        (None, (-0.1, 0.2), False),
        (None, (0.0, 0.2), False),
        (None, None, None),
    ],
)
def test_a_test_decides_and_without_one_the_interval(
    p: float | None, bounds: tuple[float, float] | None, significant: bool | None
) -> None:
    assert is_significant(line(p, bounds)) is significant


def test_no_test_of_too_few_clusters_tells() -> None:
    found = line(0.0625, (0.1, 0.2))
    assert is_significant(found) is False
    assert is_significant(found.model_copy(update={"n_clusters": 5})) is None


def test_a_document_reads_as_it_was_written() -> None:
    sweep = make_sweep()
    assert from_json(to_json(sweep).encode()) == sweep
    assert list(json.loads(to_json(sweep))) == sorted(json.loads(to_json(sweep)))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "not JSON that can be used"),
        (b"[]", "this is not a document of a sweep: it is no JSON object"),
        (b'{"schema_version": "2.0"}', r"this is not a document of a sweep: mlbench: Field required \(and"),
        (b'{"schema_version": "3.0"}', r"this has schema 3\.0 of a newer mlbench"),
        (b'{"seeds": []}', "not a document of a sweep: its schema_version is missing"),
    ],
)
def test_anything_else_is_refused_in_one_line(content: bytes, fault: str) -> None:
    with pytest.raises(InvalidResult, match=fault) as found:
        from_json(content)
    assert "\n" not in str(found.value)


def test_a_spread_needs_several_seeds_with_a_value() -> None:
    figure = make_sweep().tasks[0].rows[0].figures[0]
    assert figure.spread is not None
    assert figure.model_copy(update={"values": (0.5,)}).spread is None
    assert figure.model_copy(update={"values": (0.5, None)}).spread is None
