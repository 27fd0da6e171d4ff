"""What stands first, and rank-biased overlap against its definition and chance."""

import numpy as np
import pytest

from mlbench.measures.top_lists import TopLists, chance_of_list_agreement, list_agreement, share_of_first


def make_lists(lists: list[list[list[int] | None]], depth: int = 5, n_documents: int = 100) -> TopLists:
    """Return the lists of each topic and query language; None is no query. The language of document d is d % 3."""
    documents = np.full((len(lists), len(lists[0]), depth), -1, dtype=np.int64)
    for topic, of_topic in enumerate(lists):
        for language, found in enumerate(of_topic):
            documents[topic, language, : len(found or ())] = found or []
    asked = np.array([[each is not None for each in of_topic] for of_topic in lists])
    return TopLists(documents, np.where(documents >= 0, documents % 3, -1), asked, documents[:, :, 0] < 3, n_documents)


def overlap(one: list[int], other: list[int], p: float = 0.9) -> float:
    """Return extrapolated rank-biased overlap of two lists of one length (Webber et al. 2010, equation 23)."""
    k = len(one)
    shared = [len(set(one[:depth]) & set(other[:depth])) for depth in range(1, k + 1)]
    return shared[-1] / k * p**k + (1 - p) / p * sum(x / d * p**d for d, x in enumerate(shared, start=1))


def draw_lists(seed: int, languages: int, depth: int, size: int) -> list[list[int]]:
    draw = np.random.RandomState(seed)
    return [draw.permutation(size)[:depth].tolist() for _ in range(languages)]


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_the_mean_overlap_of_pairs(seed: int) -> None:
    lists = draw_lists(seed, languages=4, depth=5, size=8)
    pairs = [overlap(lists[a], lists[b]) for a in range(4) for b in range(a)]
    assert list_agreement(make_lists([lists]))[0] == pytest.approx(np.mean(pairs), rel=1e-12)


def test_lists_are_cut_to_the_shortest_and_empty_ones_agree_with_none() -> None:
    one, other, third = [1, 2, 3, 4, 5], [2, 1, 9], [1, 2, 3, 4, 6]
    pairs = [overlap(one[:3], other), overlap(one[:3], third[:3]), overlap(other, third[:3])]
    assert list_agreement(make_lists([[one, other, third]]))[0] == pytest.approx(np.mean(pairs))
    assert list_agreement(make_lists([[one, [], third]]))[0] == pytest.approx(overlap(one, third) / 3)
    assert list_agreement(make_lists([[one, None, third]]))[0] == pytest.approx(overlap(one, third))


def test_alike_lists_agree_wholly_and_no_lists_not_at_all() -> None:
    found = list_agreement(make_lists([[[1, 2, 3]] * 3, [[], [], []], [[1, 2], None, None], [[1], [2], [3]]]))
    assert found == pytest.approx([1.0, 0.0, np.nan, 0.0], nan_ok=True)


def test_chance_is_what_random_orders_have() -> None:
    lists = make_lists([draw_lists(seed, languages=3, depth=5, size=30) for seed in range(4000)], n_documents=30)
    chance = chance_of_list_agreement(lists)
    assert np.ptp(chance) == pytest.approx(0.0, abs=1e-12)
    assert list_agreement(lists).mean() == pytest.approx(chance[0], rel=0.03)


def test_the_four_shares_of_the_first_document_add_up() -> None:
    # Relevant are the documents 0 to 2; document d is in language d % 3.
    lists = make_lists([[[0, 9], [0, 4], [3, 2]], [[5], [4], None], [[], [1], [2]]])
    shares = {
        (relevant, own): share_of_first(relevant=relevant, own_language=own)(lists)
        for relevant in (True, False)
        for own in (True, False)
    }
    nan = np.nan
    assert shares[True, True] == pytest.approx(np.array([[1, 0, 0], [0, 0, nan], [nan, 1, 1]]), nan_ok=True)
    assert shares[True, False] == pytest.approx(np.array([[0, 1, 0], [0, 0, nan], [nan, 0, 0]]), nan_ok=True)
    assert shares[False, True] == pytest.approx(np.array([[0, 0, 0], [0, 1, nan], [nan, 0, 0]]), nan_ok=True)
    assert sum(shares.values()) == pytest.approx(np.array([[1, 1, 1], [1, 1, nan], [nan, 1, 1]]), nan_ok=True)
