"""Ranks of entries: how many are significantly better, and how many worse."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from unit.leaderboard.sites import verified

from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.standings import BoardEntry, CheckedResult, RankRange, rank_entries, standings
from mlbench.statistics.direction import loss_contributions


def entries(*levels: float, clusters: int = 40, spread: float = 0.1) -> list[np.ndarray]:
    """Return contributions of entries that share their topics and differ by levels, with some noise of their own."""
    random = np.random.RandomState(1)
    topics = random.standard_normal(clusters)
    return [(topics + level + spread * random.standard_normal(clusters)) / clusters for level in levels]


def ranked(contributions: list[np.ndarray], **how: float) -> tuple[RankRange | None, ...]:
    """Rank entries whose numbers are better when higher."""
    return rank_entries([-each for each in contributions], **how)


def test_entries_far_apart_are_in_order() -> None:
    assert ranked(entries(0.1, 0.9, 0.5)) == (RankRange(3, 3), RankRange(1, 1), RankRange(2, 2))


@pytest.mark.parametrize(
    ("column", "better", "worse"),
    [
        ("AP", 0.9, 0.1),
        ("rank_distance", 0.1, 0.9),
        ("own_language_preference", 0.55, 0.9),
        ("own_language_preference", 0.5, 0.0),
        ("own_language_preference", 0.6, 0.1),
        ("own_language_preference", 0.4, 0.9),
    ],
)
def test_each_column_has_its_own_better_end(column: str, better: float, worse: float) -> None:
    asked = BoardColumn(column, "multilingual" if column == "AP" else None)
    board, shares = [], np.full(40, 1 / 40)
    for name, level in (("better", better), ("worse", worse)):
        # Topics that vary alike, and a noise of the entry's own, both without a mean.
        (alike,) = entries(0.0, spread=0.0)
        noise = np.random.RandomState(len(name)).standard_normal(40) / 400
        added = level * shares + 0.1 * (alike - alike.mean()) + 0.1 * (noise - noise.mean())
        checked = verified(name).tasks["small"]
        losses = loss_contributions(column, added, shares)
        assert losses is not None
        evidence = replace(checked.evidence, columns={asked: losses})
        board.append(BoardEntry(verified(name).entry, {"small": CheckedResult(checked.result, evidence)}))
    (found,) = standings(board)
    ranks = {standing.entry.name: standing.scores[asked].rank for standing in found.groups["verified"]}
    assert ranks == {"better": RankRange(1, 1), "worse": RankRange(2, 2)}


def test_what_the_data_cannot_tell_apart_shares_its_ranks() -> None:
    assert ranked(entries(0.5, 0.501, 0.9)) == (RankRange(2, 3), RankRange(2, 3), RankRange(1, 1))


def test_equal_entries_are_level() -> None:
    one = entries(0.5)[0]
    assert ranked([one, one, one]) == (RankRange(1, 3),) * 3


@pytest.mark.parametrize(("given_", "expected"), [([], ()), (entries(0.5), (RankRange(1, 1),))])
def test_few_entries(given_: list[np.ndarray], expected: tuple[RankRange, ...]) -> None:
    assert ranked(given_) == expected


def test_an_entry_without_topics_has_no_rank_and_takes_none() -> None:
    one, other = entries(0.1, 0.9)
    assert ranked([one, np.full(40, np.nan), other]) == (RankRange(2, 2), None, RankRange(1, 1))


def naive(columns: list[np.ndarray], level: float) -> list[tuple[int, int]]:
    """The reference: step-down max-T over all sign patterns and all pairs, with loops."""
    pairs = list(combinations(range(len(columns)), 2))
    differences = {(a, b): columns[a] - columns[b] for a, b in pairs}
    scale = {pair: np.sqrt((values**2).sum()) or 1.0 for pair, values in differences.items()}
    seen = {pair: abs(values.sum()) / scale[pair] for pair, values in differences.items()}
    order = sorted(pairs, key=lambda pair: -seen[pair])
    p, highest = {}, 0.0
    for step, pair in enumerate(order):
        reached = [
            max(abs(np.dot(signs, differences[rival])) / scale[rival] for rival in order[step:]) >= seen[pair] - 1e-9
            for signs in product((-1, 1), repeat=len(columns[0]))
        ]
        highest = max(highest, float(np.mean(reached)))
        p[pair] = highest
    found = []
    for index in range(len(columns)):
        against = [
            differences[pair].sum() * (1 if pair[0] == index else -1)
            for pair in pairs
            if index in pair and p[pair] <= level
        ]
        found.append((1 + sum(total < 0 for total in against), len(columns) - sum(total > 0 for total in against)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_ranks_agree_with_a_loop_over_all_patterns(seed: int) -> None:
    random = np.random.RandomState(seed)
    columns = [random.standard_normal(8) + level for level in (0.0, 0.2, 1.5, 3.0)]
    found = ranked(columns, level=0.2)
    assert [(each.rank, each.last) for each in found if each] == naive(columns, 0.2)
    assert len({(each.rank, each.last) for each in found if each}) > 1


@given(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=st.integers(-4, 4)),
    st.randoms(use_true_random=False),
)
def test_what_holds_for_all_ranks(columns: np.ndarray, random: object) -> None:
    found = ranked(list(columns), flips=99, level=0.3)
    assert all(each is not None and 1 <= each.rank <= each.last <= len(columns) for each in found)
    # Somebody is first and somebody is last, however the others stand.
    assert min(each.rank for each in found if each) == 1
    assert max(each.last for each in found if each) == len(columns)
    order = list(range(len(columns)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = ranked([columns[index] for index in order], flips=99, level=0.3)
    assert shuffled == tuple(found[index] for index in order)


def test_entries_that_do_not_differ_are_seldom_told_apart() -> None:
    random = np.random.RandomState(0)
    tries = 300
    false = 0
    for _ in range(tries):
        topics = random.standard_t(3, size=30)
        found = ranked(list(topics + random.standard_t(3, size=(6, 30))), flips=199)
        false += any(each is not None and each.rank > 1 for each in found)
    # Within three standard errors of the level of .05.
    assert 0 < false / tries < 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5
