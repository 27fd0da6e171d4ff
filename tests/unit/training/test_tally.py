"""The tally of batches: by brute force, and the digest that tells arms that differ in languages alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from row_cases import index_of, pairs, texts

from mlbench.training.index import RowIndex
from mlbench.training.recipe_tables import Batches
from mlbench.training.sampler import BatchSampler, BatchStatistics, DatasetUse, batch_statistics

LANGUAGES = ("de", "en", "fr")


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> RowIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return index_of(tmp_path_factory.mktemp("rows"), texts(60, LANGUAGES), LANGUAGES)


def counted(
    index: RowIndex, n: int = 50, *, overlap: float = 0.5, seed: int = 1, **settings: object
) -> BatchStatistics:
    sampler = BatchSampler([index], Batches(size=8, **settings), overlap=overlap, seed=seed)  # type: ignore[arg-type]
    return batch_statistics(sampler, n, [index], languages=LANGUAGES, names=["rows"])


def test_counts_as_one_would_by_hand(tmp_path: Path) -> None:
    first = index_of(tmp_path, texts(60, LANGUAGES), LANGUAGES)
    (tmp_path / "more").mkdir()
    second = index_of(tmp_path / "more", pairs(40, ["de", "en"], ["en"]), LANGUAGES)
    sampler = BatchSampler([first, second], Batches(size=8, alpha=0.3), seed=5)
    found = batch_statistics(sampler, 80, [first, second], languages=LANGUAGES, names=["texts", "pairs"])
    kinds: Counter[str] = Counter()
    queries: Counter[tuple[str, str]] = Counter()
    documents: Counter[tuple[str, str]] = Counter()
    for number in range(80):
        batch = sampler.batch(number)
        kinds[batch.kind] += 1
        name = ("texts", "pairs")[batch.dataset]
        queries.update((name, LANGUAGES[tag]) for tag in batch.query_languages)
        documents.update((name, LANGUAGES[tag]) for tag in batch.document_languages)
    assert found.kinds == kinds
    assert found.examples == 640 == found.pairs.sum()
    # A text is seen as a query and as a document; the pairs have no document in German and nothing in French.
    n_texts = {("texts", tag): 120 for tag in LANGUAGES} | {("pairs", "de"): 40, ("pairs", "en"): 80}
    assert found.uses == tuple(DatasetUse(*key, queries[key], documents[key], n) for key, n in n_texts.items())
    assert sum(use.epochs * use.texts for use in found.uses) == pytest.approx(2 * 640)
    assert found.pairs[1, 0].tolist() == [0, queries["pairs", "de"], 0]


def test_rows_that_are_left_out_are_not_counted(parallel: RowIndex) -> None:
    found = counted(parallel.without(np.arange(60) >= 20))
    assert [use.texts for use in found.uses] == [40, 40, 40]


def test_no_batches(parallel: RowIndex) -> None:
    found = counted(parallel, 0)
    assert (found.kinds, found.examples, found.shortened, found.missing) == ({}, 0, 0, 0)
    assert [use.epochs for use in found.uses] == [0, 0, 0]


def test_batches_that_lack_examples_are_counted(tmp_path: Path) -> None:
    few = index_of(tmp_path, texts(5, LANGUAGES), LANGUAGES)
    found = counted(few, 10)
    assert (found.examples, found.shortened, found.missing, found.refused) == (50, 10, 30, 0)


class TestDigest:
    def test_is_blind_to_languages(self, parallel: RowIndex) -> None:
        arms = [{"alpha": alpha} for alpha in (0.0, 0.25, 1.0)]
        arms += [{"monolingual": "mixed"}, {"cross_lingual": "cross_batch"}]  # type: ignore[dict-item]
        found = [counted(parallel, **arm) for arm in arms]
        assert len({each.rows_digest for each in found}) == 1
        assert len({tuple(each.pairs.ravel().tolist()) for each in found}) == 5

    def test_tells_all_else(self, parallel: RowIndex) -> None:
        base = counted(parallel)
        others = [
            counted(parallel, seed=2),
            counted(parallel, overlap=0.25),
            counted(parallel, 49),
            counted(parallel.without(np.arange(60) == 7)),
        ]
        assert len({base.rows_digest, *(other.rows_digest for other in others)}) == 5

    def test_tells_rows_that_lack_a_language(self, tmp_path: Path) -> None:
        rows = [*texts(40, LANGUAGES), *texts(40, ("de", "en"), start=40)]
        index = index_of(tmp_path, rows, LANGUAGES)
        assert counted(index, alpha=0.0).rows_digest != counted(index, alpha=1.0).rows_digest
