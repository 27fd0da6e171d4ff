"""Digests of lines, whose parts add up to the whole."""

from hashlib import sha256, shake_128
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.collection.records import LineDigest

LINES = st.lists(st.text(max_size=12), max_size=12)


def digest_of(lines: list[str]) -> LineDigest:
    digest = LineDigest()
    for line in lines:
        digest.add(line)
    return digest


def summed(lines: list[str]) -> str:
    """Return what the digest should be, word by word in whole numbers of Python."""
    words = [0] * 1024
    for line in lines:
        stream = shake_128(line.encode()).digest(2048)
        words = [word + stream[2 * at] + 256 * stream[2 * at + 1] for at, word in enumerate(words)]
    return sha256(b"".join((word % 2**16).to_bytes(2, "little") for word in words)).hexdigest()


@pytest.mark.slow
@given(LINES)
def test_is_the_sum_of_its_lines_modulo_two_to_the_sixteen(lines: list[str]) -> None:
    assert digest_of(lines).hexdigest() == summed(lines)


@given(LINES, st.randoms())
def test_depends_on_no_order(lines: list[str], random: Random) -> None:
    other = lines.copy()
    random.shuffle(other)
    assert digest_of(other).hexdigest() == digest_of(lines).hexdigest()


@given(LINES, LINES, LINES)
def test_parts_add_up_to_the_whole_in_any_order(first: list[str], second: list[str], third: list[str]) -> None:
    whole = digest_of(first + second + third).hexdigest()
    for parts in ([first, second, third], [third, second, first]):
        total = LineDigest()
        for part in parts:
            total.merge(digest_of(part))
        assert total.hexdigest() == whole


@given(LINES)
def test_goes_on_from_the_state_of_another_and_leaves_it_alone(lines: list[str]) -> None:
    other = digest_of(lines)
    before = other.hexdigest()
    more = LineDigest(other.state)
    more.add("more")
    assert more.hexdigest() == digest_of([*lines, "more"]).hexdigest()
    assert other.hexdigest() == before


@given(LINES, LINES)
def test_only_the_same_lines_have_the_same_digest(one: list[str], other: list[str]) -> None:
    assert (digest_of(one).hexdigest() == digest_of(other).hexdigest()) == (sorted(one) == sorted(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a"], ["a", "a"]),
        (["a"], []),
        (["ab"], ["ac"]),
        (["a", "b"], ["ab"]),
        (["a", "b"], ["a", "c"]),
        (["é"], ["e\u0301"]),
        (["a "], ["a"]),
    ],
)
def test_a_small_change_shows(one: list[str], other: list[str]) -> None:
    assert digest_of(one).hexdigest() != digest_of(other).hexdigest()


def test_is_the_same_everywhere_and_for_ever() -> None:
    # Results of earlier versions are compared by these digests.
    assert LineDigest().hexdigest() == sha256(bytes(2048)).hexdigest()
    assert digest_of(["one", "two", "één"]).hexdigest() == (
        "70d563647066752f7b6f515c92a9c24b3d57b626809d10ee321919bbc0cbf508"
    )


def test_no_number_of_lines_overflows() -> None:
    state = np.full(1024, 2**16 - 1, np.uint16)
    digest = LineDigest(state)
    digest.merge(LineDigest(np.ones(1024, np.uint16)))
    assert digest.hexdigest() == LineDigest().hexdigest()
