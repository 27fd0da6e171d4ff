"""Two views of a text share as much of it as the recipe says, in every script."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.training.cropping import cut_text, cut_units, draw_spans

places = st.floats(0, 1, exclude_max=True)
shares = st.floats(0, 1)
# What a training text may be: not blank.
some_text = st.text(max_size=60).filter(str.strip)


def spans_of(cut: float, side: float, overlap: float) -> tuple[list[float], list[float]]:
    query, document = draw_spans(np.array([cut]), np.array([side]), overlap)
    return query[0].tolist(), document[0].tolist()


class TestSpans:
    @given(places, places, shares)
    def test_both_reach_an_end_and_share_the_overlap(self, cut: float, side: float, overlap: float) -> None:
        query, document = spans_of(cut, side, overlap)
        left, right = (query, document) if side < 0.5 else (document, query)
        assert (left[0], right[1]) == (0, 1)
        assert left[1] - right[0] == pytest.approx(overlap)
        assert min(left[1], 1 - right[0]) >= 0.25
        # Nothing of the text is unseen.
        assert right[0] <= left[1] + 1e-12

    @given(places, places)
    def test_none_is_disjoint_and_all_is_whole(self, cut: float, side: float) -> None:
        left, right = sorted(spans_of(cut, side, 0.0))
        assert left[1] == right[0]
        assert spans_of(cut, side, 1.0) == ([0, 1], [0, 1])

    def test_a_place_is_in_both_views_as_often_as_the_overlap_says(self) -> None:
        random = np.random.RandomState(1)
        n = 40_000
        for overlap in (0.1, 0.5, 0.8):
            query, document = draw_spans(*random.random_sample((2, n)), overlap)
            place = random.random_sample(n)
            seen = [(span[:, 0] <= place) & (place < span[:, 1]) for span in (query, document)]
            assert (seen[0] | seen[1]).all()
            assert (seen[0] & seen[1]).mean() == pytest.approx(overlap, abs=4 * 0.5 / np.sqrt(n))
            # Query and document are drawn alike.
            assert seen[0].mean() == pytest.approx(seen[1].mean(), abs=0.02)

    def test_no_examples_have_no_spans(self) -> None:
        assert [spans.shape for spans in draw_spans(np.zeros(0), np.zeros(0), 0.5)] == [(0, 2), (0, 2)]


class TestUnits:
    @given(st.integers(0, 50), places, places, shares)
    def test_are_a_stretch_and_never_none(self, n: int, cut: float, side: float, overlap: float) -> None:
        units = list(range(n))
        query, document = (cut_units(units, span) for span in spans_of(cut, side, overlap))
        for view in (query, document):
            assert (len(view) > 0) == (n > 0)
            assert view == units[view[0] : view[-1] + 1] if view else not units
        if n >= 2:
            assert set(query) | set(document) == set(units)

    @given(st.integers(3, 50), places, places)
    def test_of_disjoint_spans_share_none(self, n: int, cut: float, side: float) -> None:
        query, document = (cut_units(range(n), span) for span in spans_of(cut, side, 0.0))
        assert not set(query) & set(document)
        assert len(query) + len(document) == n

    @pytest.mark.parametrize(
        ("span", "units"),
        [
            ((0.0, 1.0), "abcdefghij"),
            ((0.0, 0.34), "abc"),
            ((0.34, 1.0), "defghij"),
            ((0.5, 0.5), "f"),
            ((1.0, 1.0), "j"),
            ((0.0, 0.0), "a"),
        ],
    )
    def test_ends_are_rounded_to_the_nearest(self, span: tuple[float, float], units: str) -> None:
        assert cut_units("abcdefghij", span) == units
        assert cut_units(list("abcdefghij"), span) == list(units)


THAI = "ประเทศไทยเป็นรัฐชาติอันตั้งอยู่ในทวีปเอเชีย ภาคตะวันออกเฉียงใต้"
CHINESE = "丹佛野马队在第五十届超级碗中击败了卡罗来纳黑豹队。 这是第五十届"
ARABIC = "دافع فريق بانثرز عن المركز الأول في الدوري"
ENGLISH = "Panthers defended the first place in the league"


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "span", "view"),
        [
            ("one two three four", (0.0, 0.5), "one two"),
            ("one two three four", (0.5, 1.0), "three four"),
            ("one two three four", (0.0, 1.0), "one two three four"),
            ("  one\n two ", (0.0, 1.0), "  one\n two "),
            ("  one\n two   three ", (0.0, 0.66), "one two"),
            ("abcdefgh", (0.0, 0.25), "ab"),
            ("a         ", (0.5, 1.0), "a"),
            ("a" + " " * 60 + "b", (0.25, 0.6), "a"),
            (THAI, (0.0, 0.25), THAI[: round(len(THAI) / 4)]),
            (CHINESE, (0.5, 1.0), CHINESE[round(len(CHINESE) / 2) :]),
            (ARABIC, (0.0, 0.5), " ".join(ARABIC.split()[:4])),
            ("", (0.0, 0.5), ""),
            ("   ", (0.0, 0.5), ""),
        ],
    )
    def test_are_cut_between_words_where_there_are_words(self, text: str, span: tuple[float, float], view: str) -> None:
        assert cut_text(text, span) == view

    @given(some_text, places, places, shares)
    def test_are_never_blank(self, text: str, cut: float, side: float, overlap: float) -> None:
        for span in spans_of(cut, side, overlap):
            assert cut_text(text, span).strip()

    @pytest.mark.parametrize("text", [THAI, CHINESE, " ".join([ARABIC] * 4), " ".join([ENGLISH] * 4)])
    @pytest.mark.parametrize("overlap", [0.0, 0.4])
    def test_share_the_overlap_in_every_script(self, text: str, overlap: float) -> None:
        random = np.random.RandomState(2)
        shared = []
        for query, document in zip(*draw_spans(*random.random_sample((2, 500)), overlap), strict=True):
            views = [cut_text(text, span) for span in (query, document)]
            assert all(view in text for view in views)
            shared.append((sum(map(len, views)) - len(text)) / len(text))
        assert np.mean(shared) == pytest.approx(overlap, abs=0.04)
