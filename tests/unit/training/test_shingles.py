import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.training.ngrams import Lookup, Paragraphs, Stream, Strings, characters, shingles, words

FEW = st.text("ab ", max_size=12).map(lambda text: " ".join(text.split()))
LENGTHS = st.integers(1, 9)


def stretches(stream: Stream, length: int) -> dict[int, list[int]]:
    """The fingerprints of stretches that lie in one text, and where they are."""
    found: dict[int, list[int]] = {}
    for position in stream.inside(length).tolist():
        found.setdefault(int(stream.windows(length)[position]), []).append(position)
    return found


@given(st.lists(FEW, max_size=5), LENGTHS, st.booleans())
def test_stretches_are_equal_exactly_where_their_fingerprints_are(
    texts: list[str], length: int, of_words: bool
) -> None:
    stream = words(texts) if of_words else characters(texts)
    units = [unit for text in texts for unit in [*(text.split() if of_words else text.replace(" ", "")), "\n"]]
    naive: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(units) - length + 1):
        if "\n" not in units[i : i + length]:
            naive.setdefault(tuple(units[i : i + length]), []).append(i)
    assert sorted(stretches(stream, length).values()) == sorted(naive.values())
    assert len(stream.windows(length)) == max(0, len(units) - length + 1)


def test_letters_that_move_between_words_change_the_fingerprint() -> None:
    texts = ["ab c", "a bc", "b ac", "ab ca", "ba ac", "c ab"]
    assert len(stretches(words(texts), 2)) == len(texts)


def test_owners_are_the_texts_that_hold_the_positions() -> None:
    stream = characters(["ab", "", "c"])
    assert stream.owners(np.arange(6)).tolist() == [0, 0, 0, 1, 2, 2]
    assert stream.ends.tolist() == [2, 3, 5]


@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_lookup_finds_what_is_known(known: list[int], others: list[int]) -> None:
    lookup = Lookup.of(np.array(known, np.uint64))
    windows = others + known
    positions, places = lookup.find(np.array(windows, np.uint64))
    assert positions.tolist() == [i for i, window in enumerate(windows) if window in known]
    assert lookup.hashes[places].tolist() == [window for window in windows if window in known]


@pytest.mark.parametrize(("of_words", "expected"), [(True, {"a b", "b c"}), (False, {"ab", "bc"})])
def test_shingles(of_words: bool, expected: set[str]) -> None:
    assert shingles("a b c", 2, of_words=of_words) == expected
    assert shingles("a b c", 4, of_words=of_words) == set()


@given(st.lists(FEW, max_size=4), st.lists(FEW, max_size=4), LENGTHS)
def test_strings_are_found_as_in_finds_them(known: list[str], texts: list[str], length: int) -> None:
    strings = {squeezed for text in known if len(squeezed := text.replace(" ", "")) >= length}
    found = list(Strings.of(strings, length).find(characters(texts), texts))
    naive = [(i, string) for i, text in enumerate(texts) for string in strings if string in text.replace(" ", "")]
    assert sorted(found) == sorted(naive)


@given(
    st.lists(FEW, max_size=4, unique=True),
    st.lists(FEW, max_size=4),
    st.integers(1, 3),
    st.sampled_from([0.1, 1 / 3, 0.5, 1.0]),
    st.booleans(),
)
def test_paragraphs_are_found_as_sets_find_them(
    known: list[str], texts: list[str], length: int, share: float, of_words: bool
) -> None:
    def of(text: str) -> frozenset[str]:
        return shingles(text, length, of_words=of_words)

    known = [text for text in known if of(text)]
    paragraphs = Paragraphs.of(known, length, of_words=of_words, share=share)
    found = list(paragraphs.find(words(texts) if of_words else characters(texts), texts))
    naive = [
        (i, paragraph)
        for i, text in enumerate(texts)
        for paragraph in known
        if len(of(paragraph) & of(text)) >= share * len(of(paragraph))
    ]
    assert sorted(found) == sorted(naive)
