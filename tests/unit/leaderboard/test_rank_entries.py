"""Ranks of entries: their simultaneous confidence intervals, and groups that tie."""

from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from unit.leaderboard.sites import verified

from mlbench.leaderboard import standings as standings_module
from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.standings import (
    BoardEntry,
    CheckedResult,
    RankRange,
    can_tell,
    kept_ranks,
    rank_entries,
    rank_families,
    standings,
)
from mlbench.statistics.all_pairs import significantly_larger
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
    assert ranked(entries(0.1, 0.9, 0.5)) == (RankRange(3, 3, 3, 3), RankRange(1, 1, 1, 1), RankRange(2, 2, 2, 2))


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
    assert ranks == {"better": RankRange(1, 1, 1, 1), "worse": RankRange(2, 2, 2, 2)}


def test_what_the_data_cannot_tell_apart_shares_its_ranks() -> None:
    assert ranked(entries(0.5, 0.501, 0.9)) == (RankRange(2, 2, 3, 2), RankRange(3, 2, 3, 2), RankRange(1, 1, 1, 1))


def test_equal_entries_are_level() -> None:
    one = entries(0.5)[0]
    assert ranked([one, one, one]) == (RankRange(1, 1, 3, 1),) * 3
    # Equal on paper, their sums differ in the last bits.
    other = one + 1e-15 * np.arange(40)
    assert one.sum() != other.sum()
    assert ranked([one, other, one + 0.4]) == (RankRange(2, 2, 3, 2), RankRange(2, 2, 3, 2), RankRange(1, 1, 1, 1))


@pytest.mark.parametrize(("given_", "expected"), [([], ()), (entries(0.5), (RankRange(1, 1, 1, 1),))])
def test_few_entries(given_: list[np.ndarray], expected: tuple[RankRange, ...]) -> None:
    assert ranked(given_) == expected


def test_an_entry_without_topics_has_no_rank_and_takes_none() -> None:
    one, other = entries(0.1, 0.9)
    assert ranked([one, np.full(40, np.nan), other]) == (RankRange(2, 2, 2, 2), None, RankRange(1, 1, 1, 1))


def naive(columns: list[np.ndarray], level: float) -> list[RankRange]:
    """The reference, for losses: step-down max-T over all sign patterns and all pairs, with loops."""
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
    n, sums = len(columns), [column.sum() for column in columns]

    def is_better(a: int, b: int) -> bool:
        return a != b and sums[a] < sums[b] and p[min(a, b), max(a, b)] <= level

    low = [1 + sum(is_better(a, b) for a in range(n)) for b in range(n)]
    high = [n - sum(is_better(a, b) for b in range(n)) for a in range(n)]
    found, leading, group = {}, 0, 0
    for index in sorted(range(n), key=sums.__getitem__):
        rank = 1 + sum(other < sums[index] - 1e-9 for other in sums)
        first = min(low[other] for other in range(n) if sums[other] >= sums[index] - 1e-9)
        last = max(high[other] for other in range(n) if sums[other] <= sums[index] + 1e-9)
        if first > leading:
            leading, group = rank, group + 1
        found[index] = RankRange(rank, first, last, group)
    return [found[index] for index in range(n)]


@pytest.mark.parametrize("seed", range(8))
def test_ranks_agree_with_a_loop_over_all_patterns(seed: int) -> None:
    random = np.random.RandomState(seed)
    # The noise of some is small, so that they are known better than those beside them.
    columns = [
        random.standard_normal(8) * noise + level for level, noise in ((0, 1), (0.2, 3), (1, 0.1), (1.5, 1), (3, 1))
    ]
    columns.append(columns[2])
    found = rank_entries(columns, level=0.2)
    assert list(found) == naive(columns, 0.2)
    assert len({each.group for each in found if each}) > 1


def in_order(columns: list[np.ndarray], **how: float) -> list[RankRange]:
    """Return the ranks of losses in the order that entries are shown in."""
    found = [each for each in rank_entries(columns, **how) if each]
    return [found[place] for place in np.argsort([column.sum() for column in columns], kind="stable")]


def test_a_row_below_has_no_better_end() -> None:
    """The second entry is known to be worse than the first; the third is not, as it differs more between clusters."""
    noise = np.random.RandomState(0).standard_normal(30)
    noise -= noise.mean()
    columns = [noise, 1.1 * noise + 0.1, 20 * noise + 0.2]
    (worse,) = significantly_larger([np.array(columns).T], 0.05)
    assert worse.tolist() == [[False] * 3, [True, False, False], [False] * 3]
    assert rank_entries(columns) == (RankRange(1, 1, 2, 1), RankRange(2, 1, 3, 1), RankRange(3, 1, 3, 1))


@given(
    arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(4, 12)), elements=st.integers(-4, 4)),
    st.randoms(use_true_random=False),
)
def test_what_holds_for_all_ranks(columns: np.ndarray, random: object) -> None:
    found = rank_entries(list(columns), flips=99, level=0.3)
    n, sums = len(columns), columns.sum(axis=1)
    for each, value in zip(found, sums, strict=True):
        assert each is not None
        assert each.rank == 1 + (sums < value).sum()
        assert 1 <= each.low <= each.rank
        # Those that are level with it have the same rank, and stand as low.
        assert each.rank + (sums == value).sum() - 1 <= each.high <= n
    shown = in_order(list(columns), flips=99, level=0.3)
    for above, below in pairwise(shown):
        assert above.low <= below.low
        assert above.high <= below.high
        assert below.group - above.group in (0, 1)
        assert above.rank != below.rank or above == below
    for group in {each.group for each in shown}:
        first, *others = [each for each in shown if each.group == group]
        assert all(each.low <= first.rank <= each.high for each in others)
    assert shown[0].low == 1
    assert shown[-1].high == n
    order = list(range(n))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = rank_entries([columns[index] for index in order], flips=99, level=0.3)
    assert shuffled == tuple(found[index] for index in order)


@given(arrays(np.float64, st.tuples(st.integers(6, 12), st.integers(3, 7)), elements=st.integers(-4, 4)))
def test_one_more_entry_never_tells_two_others_apart(columns: np.ndarray) -> None:
    (before,) = significantly_larger([columns[:, :-1]], 0.3, flips=99)
    (after,) = significantly_larger([columns], 0.3, flips=99)
    assert not (after[:-1, :-1] & ~before).any()


@pytest.mark.parametrize(("clusters", "told"), [(5, False), (6, True)])
def test_of_few_clusters_no_rank_is_told(clusters: int, told: bool) -> None:
    """Of five clusters, 2 of 32 sign patterns are as extreme as the most extreme difference."""
    assert can_tell(clusters) == told
    found = ranked(entries(0.1, 9.0, clusters=clusters))
    assert found == ((RankRange(2, 2, 2, 2), RankRange(1, 1, 1, 1)) if told else (None, None))


def test_families_are_ranked_as_each_alone() -> None:
    one, other = entries(0.5, 0.51, 0.9), entries(0.3, 0.9)
    assert rank_families([one, [], other]) == [rank_entries(one), (), rank_entries(other)]


def test_entries_that_do_not_differ_are_seldom_told_apart() -> None:
    random = np.random.RandomState(0)
    tries = 300
    false = 0
    for _ in range(tries):
        topics = random.standard_t(3, size=30)
        found = ranked(list(topics + random.standard_t(3, size=(6, 30))), flips=199)
        false += any(each is not None and each.low > 1 for each in found)
    # Within three standard errors of the level of .05.
    assert 0 < false / tries < 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5


def test_ranks_are_kept_and_of_other_losses_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    families = [entries(0.5, 0.51, 0.9), [], [*entries(0.3, 0.9), np.full(40, np.nan)]]
    expected = rank_families(families)
    assert kept_ranks("kept", families) == expected
    other = [[*families[0][:2], families[0][2] - 1], *families[1:]]
    assert kept_ranks("kept", other) == rank_families(other) != expected
    monkeypatch.setattr(standings_module, "rank_families", None)
    assert kept_ranks("kept", families) == expected
