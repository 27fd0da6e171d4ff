"""Subwords: learned once, the same each time, and texts cut into them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_cases import prepared, texts, write

from mlbench.training import vocabulary
from mlbench.training.cropping import cut_units
from mlbench.training.rows import DatasetRows
from mlbench.training.vocabulary import UNKNOWN, Tokens, learn_tokenizer, learn_vocabulary

LANGUAGES = ("de", "en")


@pytest.fixture
def rows(tmp_path: Path) -> DatasetRows:
    return prepared(
        write(tmp_path / "rows.jsonl", [*texts(30, LANGUAGES), {"texts": {"de": "½ ☃", "en": "ﬁne Straße"}}])
    )


def all_of(rows: DatasetRows) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.arange(len(rows.texts))


class TestBags:
    @given(st.data())
    def test_are_the_views_of_the_texts(self, data: st.DataObject) -> None:
        sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
        ids, starts = np.arange(sum(sizes), dtype=np.int32) + 7, np.concatenate([[0], np.cumsum(sizes)])
        numbers = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=8))
        shares = st.floats(0, 1)
        spans = [sorted(data.draw(st.tuples(shares, shares))) for _ in numbers]
        found, offsets = Tokens(ids, starts).bags(np.array(numbers), np.array(spans))
        bags = [bag.tolist() for bag in np.split(found, offsets[1:])]
        whole = [ids[starts[number] : starts[number + 1]].tolist() for number in numbers]
        assert bags == [cut_units(text, span) for text, span in zip(whole, spans, strict=True)]
        assert all(bags)

    def test_of_no_texts(self) -> None:
        made = Tokens(np.arange(3, dtype=np.int32), np.array([0, 3]))
        found, offsets = made.bags(np.zeros(0, np.int64), np.zeros((0, 2)))
        assert (len(found), len(offsets)) == (0, 0)


class TestTokenizer:
    def test_is_the_same_each_time(self, rows: DatasetRows) -> None:
        read = rows.read(all_of(rows))
        assert len({learn_tokenizer(read, 100).to_str() for _ in range(3)}) == 1

    def test_has_at_most_so_many_pieces(self, rows: DatasetRows) -> None:
        read = rows.read(all_of(rows))
        assert [learn_tokenizer(read, n).get_vocab_size() for n in (50, 70)] == [50, 70]

    def test_folds_case_and_compatible_characters(self, rows: DatasetRows) -> None:
        made = learn_tokenizer(rows.read(all_of(rows)), 100)
        plain, folded = (made.encode(text, add_special_tokens=False).ids for text in ("fine text", "ﬁne TEXT"))
        assert plain == folded
        assert made.encode("中", add_special_tokens=False).tokens[-1] == UNKNOWN


class TestVocabulary:
    def test_has_all_texts(self, rows: DatasetRows) -> None:
        made = learn_vocabulary([(rows, all_of(rows))], [], 100)
        assert set(made.tokens) == {"rows"}
        found, offsets = made.tokens["rows"].bags(all_of(rows), np.array([[0.0, 1.0]] * len(rows.texts)))
        encoded = [made.tokenizer.encode(text, add_special_tokens=False).ids for text in rows.read(all_of(rows))]
        assert [bag.tolist() for bag in np.split(found, offsets[1:])] == encoded

    def test_is_learned_from_the_given_texts_only(self, rows: DatasetRows) -> None:
        few = all_of(rows)[:10]
        made = learn_vocabulary([(rows, few)], [], 200)
        assert made.tokenizer.to_str() == learn_tokenizer(rows.read(few), 200).to_str()
        # Snow is in a text that was not read: all its subwords are unknown, and it still has some.
        snow = made.tokens["rows"]
        place = rows.read(all_of(rows)).index("½ ☃")
        assert set(snow.ids[snow.starts[place] : snow.starts[place + 1]].tolist()) >= {
            made.tokenizer.get_vocab()[UNKNOWN]
        }

    def test_is_learned_once(self, rows: DatasetRows, monkeypatch: pytest.MonkeyPatch) -> None:
        before = learn_vocabulary([(rows, all_of(rows))], [], 100)
        monkeypatch.delattr(vocabulary, "learn_tokenizer")
        after = learn_vocabulary([(rows, all_of(rows))], [], 100)
        assert after.tokenizer.to_str() == before.tokenizer.to_str()
        assert np.array_equal(after.tokens["rows"].ids, before.tokens["rows"].ids)
        for other in (([(rows, all_of(rows))], [], 90), ([(rows, all_of(rows)[1:])], [], 100)):
            with pytest.raises(NameError):
                learn_vocabulary(*other)

    def test_leaves_nothing_half_done(self, rows: DatasetRows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))

        def fail(*arguments: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(vocabulary, "_tokenise", fail)
            with pytest.raises(KeyboardInterrupt):
                learn_vocabulary([(rows, all_of(rows))], [], 100)
        assert list((tmp_path / "cache" / "training").iterdir()) == []
        assert learn_vocabulary([(rows, all_of(rows))], [], 100).tokenizer.get_vocab_size() > 50

    def test_cuts_what_is_held_out_as_well(self, rows: DatasetRows, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        other = prepared(write(tmp_path / "more" / "b.jsonl", texts(5, LANGUAGES, start=90)))
        judged = replace(other, name="judged")
        made = learn_vocabulary([(rows, all_of(rows))], [judged], 100)
        assert len(made.tokens["judged"].starts) == 11

    def test_is_found_under_another_name_of_the_data_set(self, rows: DatasetRows) -> None:
        before = learn_vocabulary([(rows, all_of(rows))], [], 100)
        after = learn_vocabulary([(replace(rows, name="other"), all_of(rows))], [], 100)
        assert np.array_equal(after.tokens["other"].ids, before.tokens["rows"].ids)
