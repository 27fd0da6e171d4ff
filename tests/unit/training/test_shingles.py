import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.training.ngrams import Sieve, fingerprints, shingles, squeeze

FEW = st.text("ab ", max_size=12).map(lambda text: " ".join(text.split()))
LENGTHS = st.integers(1, 9)


@given(st.text("abก", max_size=30), LENGTHS)
def test_stretches_are_equal_exactly_where_their_fingerprints_are(text: str, length: int) -> None:
    found = fingerprints(text, length).tolist()
    naive = [text[i : i + length] for i in range(len(text) - length + 1)]
    assert len(found) == len(naive)
    assert len(set(zip(found, naive, strict=True))) == len(set(found)) == len(set(naive))


@pytest.mark.parametrize(("of_words", "expected"), [(True, {"a b", "b c"}), (False, {"ab", "bc"})])
def test_shingles(of_words: bool, expected: set[str]) -> None:
    assert shingles("a b c", 2, of_words=of_words) == expected
    assert shingles("a b c", 4, of_words=of_words) == set()


@given(
    st.lists(st.lists(FEW, max_size=4), max_size=4),
    st.lists(FEW, max_size=4),
    LENGTHS,
    st.sampled_from([0.1, 1 / 3, 0.5, 1.0]),
)
def test_candidates_have_enough_of_the_beginnings_and_all_that_have_enough_are_there(
    known: list[list[str]], texts: list[str], length: int, share: float
) -> None:
    groups = [{squeezed for text in group if len(squeezed := squeeze(text)) >= length} for group in known]
    groups = [group for group in groups if group]
    squeezed = [squeeze(text) for text in texts]

    def places(text: str, group: set[str]) -> int:
        """How many places of a text there are beside a string of the group that begins as the text does there."""
        starts = [string[:length] for string in group]
        return sum(starts.count(text[i : i + length]) for i in range(len(text)))

    found = Sieve(groups, length, share).candidates(squeezed)
    every = [(i, j) for i in range(len(texts)) for j in range(len(groups))]
    assert sorted(found) == [(i, j) for i, j in every if places(squeezed[i], groups[j]) >= share * len(groups[j])]
    whole = [(i, j) for i, j in every if sum(s in squeezed[i] for s in groups[j]) >= share * len(groups[j])]
    assert set(whole) <= set(found)
