"""Languages chosen, rows dropped and parts of a data set."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from unit.training.row_cases import documents_of, pairs, prepared, queries_of, repetitive, texts, write

from mlbench.training.index import ABSENT, RowIndex, related, share_of

LANGUAGES = ("ar", "de", "en", "th")
MANY = 20_000
# Frozen: a part that moved would change every training that is resumed or repeated.
FIRST_QUARTER = [1, 2, 5, 12, 14, 17, 20, 24, 27, 30, 31, 49, 52, 55]


def grouped(groups: np.ndarray) -> RowIndex:
    """Return an index of rows of which only the document groups matter."""
    nothing = dict.fromkeys(RowIndex.__dataclass_fields__, np.zeros(0, np.int32))
    return RowIndex(**{**nothing, "document_group": groups.astype(np.int32), "pattern": np.zeros(len(groups))})


class TestLanguages:
    ROWS = (*texts(3, ("de", "en")), *pairs(3, ("ar", "en"), ("en", "th")), *texts(2, ("th",), start=3))

    @pytest.mark.parametrize("wanted", [("en", "de", "ar", "th"), ("th", "zh", "en"), ("zh",), LANGUAGES])
    def test_columns_follow_the_wanted_languages(self, tmp_path: Path, wanted: tuple[str, ...]) -> None:
        found = prepared(write(tmp_path / "rows.jsonl", self.ROWS))
        assert found.languages == LANGUAGES
        index = found.index.with_languages(found.languages, wanted)
        for number, row in enumerate(self.ROWS):
            for column, tag in enumerate(wanted):
                for places, lookup, given in (
                    (index.query_places, index.query_texts, queries_of(row)),
                    (index.document_places, index.document_texts, documents_of(row)),
                ):
                    assert (places[index.pattern[number], column] != ABSENT) == (tag in given)
                    if tag in given:
                        assert found.read(lookup(np.array([number]), np.array([column]))) == [given[tag]]

    def test_negatives_follow_too(self, tmp_path: Path) -> None:
        row = {"queries": {"en": "q"}, "passages": {"en": "p"}, "negatives": {"de": ["a"], "en": ["b", "c"]}}
        found = prepared(write(tmp_path / "rows.jsonl", [row]))
        assert found.index.with_languages(found.languages, ("en", "de")).negative_languages.tolist() == [1, 0, 0]
        assert found.index.with_languages(found.languages, ("ar", "en")).negative_languages.tolist() == [ABSENT, 1, 1]

    def test_dropped_rows_have_no_language_and_others_keep_their_numbers(self, tmp_path: Path) -> None:
        found = prepared(write(tmp_path / "rows.jsonl", self.ROWS))
        dropped = np.arange(len(self.ROWS)) % 3 == 1
        index = found.index.without(dropped)
        assert len(index) == len(found.index)
        for places, before in (
            (index.query_places, found.index.query_places),
            (index.document_places, found.index.document_places),
        ):
            assert (places[index.pattern[dropped]] == ABSENT).all()
            assert (places[index.pattern[~dropped]] == before[found.index.pattern[~dropped]]).all()


class TestShares:
    def test_groups_are_whole_and_parts_make_up_all(self, tmp_path: Path) -> None:
        index = prepared(write(tmp_path / "rows.jsonl", repetitive(1, 300, LANGUAGES))).index
        parts = [share_of(index, low / 10, (low + 1) / 10, "salt") for low in range(10)]
        assert (np.sum(parts, axis=0) == 1).all()
        held = [set(index.document_group[part].tolist()) for part in parts]
        assert sum(map(len, held)) == len(set().union(*held)) == len(set(index.document_group.tolist()))

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.5, 1.0])
    def test_sizes_are_near_the_share(self, share: float) -> None:
        index = grouped(np.arange(MANY))
        size = share_of(index, 0.0, share, "fraction").sum()
        assert abs(size - share * MANY) <= 4 * np.sqrt(share * (1 - share) * MANY)

    def test_a_smaller_share_is_part_of_a_larger(self) -> None:
        index = grouped(np.arange(MANY) // 3)
        parts = [share_of(index, 0.0, share, "fraction") for share in (0.1, 0.3, 0.9, 1.0)]
        for small, large in pairwise(parts):
            assert (small <= large).all()
            assert small.sum() < large.sum()
        assert parts[-1].all()

    def test_another_salt_gives_an_independent_part(self) -> None:
        index = grouped(np.arange(MANY))
        first, second = (share_of(index, 0.0, 0.5, salt) for salt in ("a", "b"))
        assert abs((first & second).mean() - 0.25) < 0.02

    def test_neighbours_are_independent(self) -> None:
        part = share_of(grouped(np.arange(MANY)), 0.0, 0.5, "a")
        for step in (1, 2, 7, 256, 1024):
            assert abs((part[step:] & part[:-step]).mean() - 0.25) < 0.02

    def test_parts_are_the_same_on_every_machine(self) -> None:
        part = share_of(grouped(np.arange(64)), 0.0, 0.25, "fraction")
        assert np.flatnonzero(part).tolist() == FIRST_QUARTER

    def test_dropped_rows_do_not_move_others(self) -> None:
        index = grouped(np.arange(50))
        fewer = replace(index, document_group=index.document_group[::2])
        assert share_of(fewer, 0.2, 0.7, "a").tolist() == share_of(index, 0.2, 0.7, "a")[::2].tolist()

    def test_no_rows_have_no_part(self) -> None:
        assert share_of(grouped(np.zeros(0)), 0.0, 1.0, "a").shape == (0,)


def test_related_rows_share_a_topic_a_query_or_a_document(tmp_path: Path) -> None:
    found = prepared(write(tmp_path / "rows.jsonl", repetitive(3, 200, LANGUAGES)))
    chosen = np.arange(200) % 40 == 7
    columns = (found.index.topic, found.index.query_group, found.index.document_group)
    expected = [any(column[row] in column[chosen] for column in columns) for row in range(200)]
    assert related(found.index, chosen).tolist() == expected
    assert chosen.sum() < sum(expected) < 200
    assert not related(found.index, np.zeros(200, bool)).any()
