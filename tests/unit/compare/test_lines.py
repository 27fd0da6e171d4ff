"""Which lines a gate has on a task."""

import re
from dataclasses import replace

import numpy as np
import pytest
from unit.compare.cases import COLLECTION, SUBJECTS, differences_of, gate, measured, skilled
from unit.statistics.cases import make_collection

from mlbench.compare.compare import differences_of_pair
from mlbench.compare.gate import DEFAULT
from mlbench.compare.judge import lines_of
from mlbench.compare.pairing import pair_up
from mlbench.errors import UserError
from mlbench.statistics.differences import Differences, Subject

LANGUAGES = COLLECTION.languages
KINDS = ("monolingual", "cross_lingual", "multilingual")


def contrasted(*sides) -> Differences:
    return differences_of_pair(pair_up(*([side] for side in sides)), resamples=2, seed=0, confidence=0.95)


FOUND = contrasted(measured(skilled()), measured(skilled(seed=1)))


def short(lines) -> list[str]:
    """Write lines as `drop AP monolingual 0.5`, or `floor AP monolingual/de 0.5`."""
    written = []
    for line in lines:
        about = line.subject
        row = f"/{about.query_language}" if about.family == "query_languages" else ""
        written.append(" ".join(filter(None, (line.what, about.name, f"{about.kind or ''}{row}", f"{line.bound:g}"))))
    return written


def rows(what: str, name: str, bound: float, kinds=KINDS) -> list[str]:
    return [f"{what} {name} {kind}/{language} {bound:g}" for kind in kinds for language in LANGUAGES]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"drop": {"AP": {"monolingual": 0.5}}}, ["drop AP monolingual 0.5"]),
        ({"drop": {"primary": {"multilingual": 0.5}}}, ["drop AP multilingual 0.5"]),
        ({"drop": {"R@5": {"query_languages": 0.5}}}, rows("drop", "R@5", 0.5)),
        # The measure's own name wins, wherever it stands.
        (
            {"drop": {"AP": {"monolingual": 1}, "primary": {"monolingual": 2, "multilingual": 2}}},
            ["drop AP monolingual 1"],
        ),
        # One task's table takes the place of that for all tasks.
        (
            {"drop": {"AP": {"monolingual": 1, "multilingual": 1}}, "task": {"small": {"drop": {"primary": {}}}}},
            [],
        ),
        (
            {
                "drop": {"AP": {"monolingual": 1}},
                "rise": {"rank_distance": 1},
                "task": {"small": {"rise": {"rank_distance": 9}}, "other": {"drop": {"AP": {"monolingual": 7}}}},
            },
            ["drop AP monolingual 1", "rise rank_distance 9"],
        ),
        ({"floor": {"AP": {"monolingual": {"mean": 0.5}}}}, ["floor AP monolingual 0.5"]),
        ({"floor": {"primary": {"multilingual": {"*": 0.5}}}}, rows("floor", "AP", 0.5, ["multilingual"])),
        (
            {"floor": {"RR": {"cross_lingual": {"de": 0.1, "mean": 0.3, "*": 0.2}}}},
            [
                "floor RR cross_lingual 0.3",
                *(f"floor RR cross_lingual/{tag} {0.1 if tag == 'de' else 0.2}" for tag in LANGUAGES),
            ],
        ),
        (
            {"ceiling": {"rank_distance": 60, "rank_distance_median": 50}},
            ["ceiling rank_distance 60", "ceiling rank_distance_median 50"],
        ),
    ],
)
def test_lines(table, expected) -> None:
    assert short(lines_of(gate(**table), FOUND, "small")) == expected


def test_the_default_asks_for_what_is_there() -> None:
    means = [f"drop AP {kind} 0.005" for kind in KINDS]
    assert short(lines_of(DEFAULT, FOUND, "small")) == [
        *means,
        *rows("drop", "AP", 0.005),
        "rise own_language_preference 0.005",
    ]
    alone = make_collection(seed=3, topics=12, parallel=False)
    sides = [measured(skilled(alone, seed=seed), alone, bias_scores=()) for seed in (0, 1)]
    expected = [*means[::2], *rows("drop", "AP", 0.005, KINDS[::2])]
    assert short(lines_of(DEFAULT, contrasted(*sides), "small")) == expected
    # Whoever states it means it.
    with pytest.raises(UserError, match=r"not: drop of AP cross_lingual, own_language_preference, rank_dist"):
        lines_of(DEFAULT.model_copy(update={"ceiling": {"rank_distance": 1.0}}), contrasted(*sides), "small")


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        ({"drop": {"P@3": {"monolingual": 1, "query_languages": 1}}}, "P@3"),
        ({"floor": {"AP": {"monolingual": {"th": 1, "fr": 1, "xx": 1}}}}, "floor of AP monolingual fr, floor of AP"),
        (
            {"rise": {"removal_gap": 1}, "ceiling": {"language_prior": 3}},
            "removal_gap, language_prior (scores",
        ),
    ],
)
def test_what_a_task_has_not_is_told_at_once(table, missing: str) -> None:
    with pytest.raises(UserError, match=f"the gate asks for what small has not: {re.escape(missing)}") as raised:
        lines_of(gate(**table), FOUND, "small")
    assert "\n" not in str(raised.value)


def test_lines_of_a_kind_that_is_not_there() -> None:
    alone = differences_of(np.ones((4, 1)), SUBJECTS[:1])
    for table in ({"drop": {"AP": {"query_languages": 1}}}, {"floor": {"AP": {"multilingual": {"*": 1}}}}):
        with pytest.raises(UserError, match=r"has not: (drop|floor) of AP"):
            lines_of(gate(**table), alone, "small")
    assert short(lines_of(gate(drop={"AP": {"monolingual": 1}}), alone, "small")) == ["drop AP monolingual 1"]


def test_a_drop_in_every_kind_holds_for_the_kinds_that_are_there() -> None:
    alone = differences_of(np.ones((4, 1)), SUBJECTS[:1])
    everything = dict.fromkeys((*KINDS, "text_to_image", "image_to_text", "image_to_pool"), 0.5)
    assert short(lines_of(gate(drop={"AP": everything}), alone, "small")) == ["drop AP monolingual 0.5"]
    with pytest.raises(UserError, match="has not: RR"):
        lines_of(gate(drop={"RR": everything}), alone, "small")
    with pytest.raises(UserError, match="has not: drop of AP cross_lingual"):
        lines_of(gate(drop={"AP": dict.fromkeys(KINDS[:2], 0.5)}), alone, "small")


def test_a_row_without_topics_is_no_line() -> None:
    row = Subject(family="query_languages", name="AP", kind="monolingual", query_language="de")
    two = differences_of(np.ones((4, 2)), [row, row.model_copy(update={"query_language": "en"})])
    nothing = np.array([np.nan])
    empty = replace(two.each[0], n_topics=0, base=nothing, candidate=nothing, contributions=None)
    found = replace(two, each=(empty, two.each[1]))
    assert short(lines_of(gate(drop={"AP": {"query_languages": 1}}), found, "small")) == ["drop AP monolingual/en 1"]
    with pytest.raises(UserError, match="has not: floor of AP monolingual de"):
        lines_of(gate(floor={"AP": {"monolingual": {"de": 1}}}), found, "small")
