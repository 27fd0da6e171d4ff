"""Batches are what the recipe says, again and again the same, and without false negatives."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from unit.training.row_cases import (
    Families,
    RawRow,
    digest,
    documents_of,
    fresh_digest,
    index_of,
    negatives_of,
    pairs,
    prepared,
    queries_of,
    read,
    repetitive,
    texts,
    write,
)

from mlbench.errors import DataError, UserError
from mlbench.training.index import ABSENT, Ints, RowIndex
from mlbench.training.recipe_tables import Batches
from mlbench.training.rows import DatasetRows
from mlbench.training.sampler import Batch, BatchSampler

LANGUAGES = ("ar", "de", "en", "th")
KINDS = ("mono", "mixed", "cross_example", "cross_batch")
# A right sampler has a p-value below it in one of a hundred comparisons with a probability of 1e-3, a wrong one has a
# far smaller p-value.
LEAST = 1e-5


def of_kind(kind: str, **others: object) -> Batches:
    """Return settings that give batches of this kind only."""
    if kind in ("mono", "mixed"):
        return Batches.model_validate({"alpha": 1.0, "monolingual": kind, **others})
    return Batches.model_validate({"alpha": 0.0, "cross_lingual": kind, **others})


def pairs_of(batch: Batch) -> list[tuple[str, str]]:
    """Return the languages of query and document of each example."""
    numbers = zip(batch.query_languages.tolist(), batch.document_languages.tolist(), strict=True)
    return [(LANGUAGES[query], LANGUAGES[document]) for query, document in numbers]


def same_batch(first: Batch, second: Batch) -> bool:
    return digest([first]) == digest([second])


class TestShares:
    """Over 20,000 batches; four data sets that differ in their languages.

    By the noncentral chi-square distribution, one tau in place of another would be missed with a probability below
    1e-30, a share of monolingual batches that is off by .04 with one below 1e-3.
    """

    ROWS = (
        texts(60, LANGUAGES),
        pairs(40, ("de", "en"), ("de", "en")) + pairs(25, ("ar", "en"), ("en",), start=40) + texts(15, ("ar", "th")),
        [{"lang": "th", "query": f"q{i}", "passage": f"p{i}"} for i in range(30)]
        + [{"lang": "de", "query": f"q{i}", "passage": f"p{i}"} for i in range(30, 40)],
        # No row has a query and a document in one language, and one row no language of the recipe.
        pairs(20, ("ar", "de"), ("th",)) + pairs(20, ("tr",), ("tr",), start=20),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def indexes(cls, tmp_path_factory: pytest.TempPathFactory) -> list[RowIndex]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
            return [index_of(tmp_path_factory.mktemp("rows"), rows, LANGUAGES) for rows in cls.ROWS]

    def weights(self, rows: Sequence[RawRow], monolingual: bool) -> tuple[Counter[tuple[str, str]], int]:
        """Return how many rows can give each pair, and how many can give any."""
        wanted = {
            pair
            for pair in [(tag, tag) for tag in LANGUAGES] + list(permutations(LANGUAGES, 2))
            if (pair[0] == pair[1]) == monolingual
        }
        given_by = [{(a, b) for a, b in wanted if a in queries_of(row) and b in documents_of(row)} for row in rows]
        return Counter(pair for found in given_by for pair in found), sum(bool(found) for found in given_by)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("alpha", "monolingual", "cross_lingual", "language_tau", "dataset_tau", "n"),
        [
            (0.5, "mono", "cross_batch", 0.0, 1.0, 6_000),
            (0.25, "mono", "cross_batch", 1.0, 0.5, 6_000),
            (0.75, "mixed", "cross_example", 0.5, 0.0, 5_000),
            (0.4, "mixed", "cross_example", 0.0, 1.0, 3_000),
        ],
    )
    def test_are_those_of_the_recipe(
        self,
        indexes: list[RowIndex],
        alpha: float,
        monolingual: str,
        cross_lingual: str,
        language_tau: float,
        dataset_tau: float,
        n: int,
    ) -> None:
        recipe = {"size": 3, "alpha": alpha, "monolingual": monolingual, "cross_lingual": cross_lingual}
        taus = {"language_tau": language_tau, "dataset_tau": dataset_tau}
        sampler = BatchSampler(indexes, Batches.model_validate({**recipe, **taus}), seed=7)
        kinds: Counter[str] = Counter()
        datasets: Counter[tuple[bool, int]] = Counter()
        languages: Counter[tuple[bool, int, tuple[str, str]]] = Counter()
        for batch in sampler.batches(0, n):
            assert len(batch) == 3
            mono = batch.kind == monolingual
            found = pairs_of(batch)
            if batch.kind in ("mono", "cross_batch"):
                assert len(set(found)) == 1
                found = found[:1]
            assert all((query == document) == mono for query, document in found)
            kinds[batch.kind] += 1
            datasets[mono, batch.dataset] += 1
            languages.update((mono, batch.dataset, pair) for pair in found)

        self.agrees(kinds, {monolingual: alpha, cross_lingual: 1 - alpha})
        for mono in (True, False):
            known = [self.weights(rows, mono) for rows in self.ROWS]
            sizes = {(mono, number): size**dataset_tau for number, (_, size) in enumerate(known) if size}
            self.agrees({key: datasets[key] for key in datasets if key[0] == mono}, sizes)
            for number, (sizes_of_pairs, _) in enumerate(known):
                expected = {(mono, number, pair): size**language_tau for pair, size in sizes_of_pairs.items()}
                self.agrees({key: languages[key] for key in languages if key[:2] == (mono, number)}, expected)

    def agrees(self, observed: dict, weights: dict) -> None:  # type: ignore[type-arg]
        assert set(observed) == set(weights)
        if len(weights) > 1:
            counts = np.array([observed[key] for key in weights])
            shares = np.array(list(weights.values()), float)
            assert chisquare(counts, shares / shares.sum() * counts.sum()).pvalue > LEAST

    @pytest.mark.parametrize("kind", KINDS)
    def test_rows_of_a_pair_are_drawn_alike(self, tmp_path: Path, kind: str) -> None:
        rows = [*texts(20, LANGUAGES), *texts(15, ("de", "en"), start=20), *pairs(10, ("en",), ("de", "en"), start=35)]
        index = index_of(tmp_path, rows, LANGUAGES)
        seen: dict[tuple[str, str], Counter[int]] = {}
        for batch in BatchSampler([index], of_kind(kind, size=2), seed=3).batches(0, 4_000):
            # The first of a batch meets no other.
            seen.setdefault(pairs_of(batch)[0], Counter())[int(batch.rows[0])] += 1
        for (query, document), counts in seen.items():
            able = [i for i, row in enumerate(rows) if query in queries_of(row) and document in documents_of(row)]
            assert sorted(counts) == able
            assert chisquare([counts[row] for row in able]).pvalue > LEAST

    def test_mixed_batches_have_many_languages(self, indexes: list[RowIndex]) -> None:
        batches = list(BatchSampler(indexes[:1], of_kind("mixed", size=16)).batches(0, 200))
        assert np.mean([len(set(pairs_of(batch))) for batch in batches]) > 3.9

    def test_views_are_drawn_alike_in_batches_of_all_kinds(self, indexes: list[RowIndex]) -> None:
        sampler = BatchSampler(indexes[:1], Batches(size=20, alpha=0.5), overlap=0.3)
        lengths: dict[str, list[float]] = {"mono": [], "cross_example": []}
        for batch in sampler.batches(0, 2_000):
            shared = np.minimum(batch.query_spans[:, 1], batch.document_spans[:, 1]) - np.maximum(
                batch.query_spans[:, 0], batch.document_spans[:, 0]
            )
            assert shared == pytest.approx(0.3)
            lengths[batch.kind] += np.diff(batch.query_spans)[:, 0].tolist()
        means = [np.mean(values) for values in lengths.values()]
        assert means == pytest.approx([0.65, 0.65], abs=0.005)


def assert_no_false_negatives(batch: Batch, rows: Sequence[RawRow], texts_of: DatasetRows, index: RowIndex) -> None:
    """Compare every example with every other by the texts of the raw rows."""
    queries, documents = families(rows)
    assert_apart(batch, rows, queries, documents)
    found = np.flatnonzero(batch.negatives != ABSENT)
    positives = {documents.of(text) for row in batch.rows.tolist() for text in documents_of(rows[row]).values()}
    for text in texts_of.read(batch.negatives[found]):
        assert documents.of(text) not in positives


def families(rows: Sequence[RawRow]) -> tuple[Families, Families]:
    return Families(queries_of(row).values() for row in rows), Families(documents_of(row).values() for row in rows)


def assert_apart(batch: Batch, rows: Sequence[RawRow], queries: Families, documents: Families) -> None:
    chosen = [rows[row] for row in batch.rows.tolist()]
    named = [row["id"] for row in chosen if "id" in row]
    for keys in (
        named,
        [queries.of(next(iter(queries_of(row).values()))) for row in chosen],
        [documents.of(next(iter(documents_of(row).values()))) for row in chosen],
    ):
        assert len(set(keys)) == len(keys)


def assert_texts(batch: Batch, rows: Sequence[RawRow], texts_of: DatasetRows, index: RowIndex) -> None:
    """The numbers of the batch lead to the texts of its rows in its languages."""
    chosen = list(zip(batch.rows.tolist(), pairs_of(batch), strict=True))
    found = texts_of.read(index.query_texts(batch.rows, batch.query_languages))
    assert found == [queries_of(rows[row])[query] for row, (query, _) in chosen]
    found = texts_of.read(index.document_texts(batch.rows, batch.document_languages))
    assert found == [documents_of(rows[row])[document] for row, (_, document) in chosen]
    for slot, (row, _) in enumerate(chosen):
        whole = batch.query_spans[slot].tolist() == batch.document_spans[slot].tolist() == [0, 1]
        assert whole == ("texts" not in rows[row])


class TestFalseNegatives:
    @pytest.mark.slow
    @given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), size=st.integers(2, 24), random=st.booleans())
    @settings(max_examples=60)
    def test_there_are_none(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, size: int, random: bool
    ) -> None:
        rows = repetitive(seed, 40, LANGUAGES)
        found = prepared(write(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows))
        index = found.index.with_languages(found.languages, LANGUAGES)
        sampler = BatchSampler([index], of_kind(kind, size=size), overlap=0.2, random_negatives=random, seed=seed)
        for batch in sampler.batches(0, 12):
            assert_no_false_negatives(batch, rows, found, index)
            assert_texts(batch, rows, found, index)
            assert_own_negatives(batch, rows, found, random=random)
            assert_nothing_left(batch, rows, size)

    def test_documents_that_repeat_as_in_arcd(self, tmp_path: Path) -> None:
        rows = [{"id": f"a{i}", "lang": "ar", "query": f"q{i}", "passage": f"p{i % 460}"} for i in range(1395)]
        sampler = BatchSampler([index_of(tmp_path, rows, LANGUAGES)], of_kind("mono", size=256))
        for batch in sampler.batches(0, 50):
            assert (len(batch), batch.clashes, batch.refused) == (256, 0, 0)
            assert len({row % 460 for row in batch.rows.tolist()}) == 256

    @pytest.mark.data
    def test_real_data_have_none(self, data_dir: Path) -> None:
        # All but the largest, which repeats nothing.
        files = sorted((data_dir / "train").glob("*/*.jsonl.gz"))
        files = [path for path in files if path.name != "xnli_sentences_11way.jsonl.gz"]
        found = [prepared(path) for path in files]
        languages = tuple(sorted({tag for rows in found for tag in rows.languages}))
        indexes = [rows.index.with_languages(rows.languages, languages) for rows in found]
        raw = [[row for row in read(path) if queries_of(row) and documents_of(row)] for path in files]
        known = [families(rows) for rows in raw]
        assert [len(rows) for rows in raw] == [len(index) for index in indexes]
        for kind in KINDS:
            sampler = BatchSampler(indexes, of_kind(kind, size=256, dataset_tau=0.0), random_negatives=True)
            negatives = 0
            for batch in sampler.batches(0, 60):
                assert len(batch) + batch.clashes == 256
                assert_apart(batch, raw[batch.dataset], *known[batch.dataset])
                documents = known[batch.dataset][1]
                positives = [
                    documents.of(text)
                    for row in batch.rows.tolist()
                    for text in documents_of(raw[batch.dataset][row]).values()
                ]
                texts = found[batch.dataset].read(batch.negatives[batch.negatives != ABSENT])
                negatives += len(texts)
                assert not {documents.of(text) for text in texts} & set(positives)
            assert negatives > 10_000


def assert_own_negatives(batch: Batch, rows: Sequence[RawRow], texts_of: DatasetRows, *, random: bool) -> None:
    """A negative is one of the row's own, in the document's language, where one is usable; else another row's."""
    _, documents = families(rows)
    positives = {documents.of(text) for row in batch.rows.tolist() for text in documents_of(rows[row]).values()}
    everywhere = {(tag, text): row for row, raw in enumerate(rows) for tag, text in documents_of(raw).items()}
    for slot, (row, (_, language)) in enumerate(zip(batch.rows.tolist(), pairs_of(batch), strict=True)):
        own = [text for tag, text in negatives_of(rows[row]) if tag == language and documents.of(text) not in positives]
        if own:
            assert texts_of.read(batch.negatives[slot : slot + 1])[0] in own
        elif not random:
            assert batch.negatives[slot] == ABSENT
        elif batch.negatives[slot] != ABSENT:
            assert (language, texts_of.read(batch.negatives[slot : slot + 1])[0]) in everywhere


def assert_nothing_left(batch: Batch, rows: Sequence[RawRow], size: int) -> None:
    """A batch of one pair of languages is short only where every other row clashes."""
    assert len(batch) + batch.clashes == size
    if batch.clashes and len(set(pairs_of(batch))) == 1 and batch.kind in ("mono", "cross_batch"):
        query, document = pairs_of(batch)[0]
        queries, documents = families(rows)

        def keys(row: RawRow, number: int) -> set[tuple[str, object]]:
            own = {("query", queries.of(text)) for text in queries_of(row).values()}
            own |= {("document", documents.of(text)) for text in documents_of(row).values()}
            return own | {("topic", row.get("id", number))}

        taken = {key for row in batch.rows.tolist() for key in keys(rows[row], row)}
        for number, row in enumerate(rows):
            if query in queries_of(row) and document in documents_of(row):
                assert keys(row, number) & taken


class TestNegatives:
    def rows(self) -> list[RawRow]:
        """Two topics of a query have other documents: neither may be the other's negative."""
        twins = [{"id": f"t{i}", "lang": "en", "query": f"q{i // 2}", "passage": f"p{i}"} for i in range(8)]
        return [*twins, *({"id": f"u{i // 2}", "lang": "en", "query": f"r{i}", "passage": f"s{i}"} for i in range(8))]

    def test_another_rows_document_shares_neither_topic_nor_query(self, tmp_path: Path) -> None:
        rows = self.rows()
        found = prepared(write(tmp_path / "rows.jsonl", rows))
        index = found.index.with_languages(found.languages, LANGUAGES)
        sampler = BatchSampler([index], of_kind("mono", size=3), random_negatives=True)
        by_text = {row["passage"]: row for row in rows}
        for batch in sampler.batches(0, 300):
            assert (batch.negatives != ABSENT).all()
            for text in found.read(batch.negatives):
                for row in batch.rows.tolist():
                    assert by_text[text]["id"] != rows[row]["id"]
                    assert by_text[text]["query"] != rows[row]["query"]

    def test_hard_negatives_are_drawn_alike(self, tmp_path: Path) -> None:
        rows = [
            {"lang": "en", "query": f"q{i}", "passage": f"p{i}", "negatives": [f"n{i} {j}" for j in range(3)]}
            for i in range(4)
        ]
        found = prepared(write(tmp_path / "rows.jsonl", rows))
        index = found.index.with_languages(found.languages, LANGUAGES)
        counts: Counter[str] = Counter()
        for batch in BatchSampler([index], of_kind("mono", size=2)).batches(0, 3_000):
            negatives = found.read(batch.negatives)
            assert [text.split()[0] for text in negatives] == [f"n{row}" for row in batch.rows.tolist()]
            counts.update(negatives)
        assert len(counts) == 12
        assert chisquare(list(counts.values())).pvalue > LEAST

    def test_languages_that_the_recipe_leaves_out_are_never_negatives(self, tmp_path: Path) -> None:
        negatives = {"tr": ["tr 1"], "vi": ["vi 1"], "en": ["en 1"]}
        row = {"queries": {"en": "q{}", "tr": "s{}"}, "passages": {"en": "p{}", "tr": "r{}"}}
        rows = [
            {part: {tag: text.format(i) for tag, text in row[part].items()} for part in row} | {"negatives": negatives}
            for i in range(3)
        ]
        found = prepared(write(tmp_path / "rows.jsonl", rows))
        for languages, wanted in ((("en",), {"en 1"}), (("tr", "zh"), {"tr 1"})):
            index = found.index.with_languages(found.languages, languages)
            for batch in BatchSampler([index], of_kind("mono", size=2)).batches(0, 20):
                assert set(found.read(batch.negatives)) == wanted


class TestSameAgain:
    @pytest.fixture
    def index(self, tmp_path: Path) -> RowIndex:
        return index_of(tmp_path, repetitive(5, 120, LANGUAGES), LANGUAGES)

    def test_in_any_order_and_in_a_new_sampler(self, index: RowIndex) -> None:
        recipe = Batches(size=12)
        numbers = [0, 1, 2, 50, 2**32 - 1, 2**32, 2**32 + 1, 2**40 + 5, 2**63]
        sampler = BatchSampler([index], recipe, random_negatives=True, seed=2**32 - 1)
        forwards = [sampler.batch(number) for number in numbers]
        other = BatchSampler([index], recipe, random_negatives=True, seed=2**32 - 1)
        backwards = [other.batch(number) for number in reversed(numbers)]
        assert digest(forwards) == digest(backwards[::-1])
        assert [batch.number for batch in forwards] == numbers
        assert len({batch.rows.tobytes() for batch in forwards}) == len(numbers)
        assert digest(list(sampler.batches(5, 9))) == digest([other.batch(number) for number in range(5, 9)])
        assert list(sampler.batches(5, 5)) == []

    def test_another_seed_gives_others(self, index: RowIndex) -> None:
        seeds = [*range(20), 2**16, 2**31, 2**32 - 1]
        batches = [BatchSampler([index], Batches(size=12), seed=seed).batch(0) for seed in seeds]
        assert len({batch.rows.tobytes() for batch in batches}) == len(seeds)

    @pytest.mark.slow
    def test_in_another_process(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rows.jsonl", repetitive(5, 120, LANGUAGES))
        found = set()
        for hash_seed in ("0", "1"):
            # Each with its own cache: what is prepared is the same as well.
            environment = {
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "MLBENCH_CACHE": str(tmp_path / hash_seed),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            }
            program = f"from unit.training.row_cases import fresh_digest; print(fresh_digest({str(path)!r}))"
            command = [sys.executable, "-c", program]
            found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        assert found == {f"{fresh_digest(str(path))}\n"}

    @pytest.mark.parametrize("workers", [0, 1, 2])
    def test_in_workers_of_a_loader(self, index: RowIndex, workers: int) -> None:
        data = pytest.importorskip("torch.utils.data")
        sampler = BatchSampler([index], Batches(size=12), random_negatives=True)
        loader = data.DataLoader(Numbered(sampler), batch_size=None, num_workers=workers)
        assert digest(list(loader)) == digest(list(sampler.batches(0, 30)))


class Numbered:
    """Batches as a data set of torch: by number, each in a worker that has seen some of the others only."""

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler

    def __len__(self) -> int:
        return 30

    def __getitem__(self, number: int) -> Batch:
        return self._sampler.batch(number)


class TestCommonRandomNumbers:
    """Arms that differ in their languages alone see the same rows in the same views."""

    def rows(self) -> list[RawRow]:
        documents = [{tag: f"{tag} document {i % 30}" for tag in LANGUAGES} for i in range(80)]
        questions = [{tag: f"{tag} question {i}" for tag in LANGUAGES} for i in range(80)]
        rows = zip(questions, documents, strict=True)
        return [*texts(50, LANGUAGES), *({"queries": query, "passages": document} for query, document in rows)]

    @pytest.mark.parametrize("unfilled", ["shorten", "refuse"])
    @pytest.mark.parametrize("size", [2, 16, 60])
    def test_on_parallel_rows(self, tmp_path: Path, unfilled: str, size: int) -> None:
        found = prepared(write(tmp_path / "rows.jsonl", self.rows()))
        index = found.index.with_languages(found.languages, LANGUAGES)
        more = index_of(tmp_path, texts(70, LANGUAGES), LANGUAGES)
        recipe = {"size": size, "unfilled": unfilled, "dataset_tau": 0.5}
        arms = [Batches.model_validate({**recipe, "alpha": alpha}) for alpha in (0.0, 0.3, 1.0)]
        arms += [of_kind(kind, **recipe) for kind in KINDS]
        ratios = ({"mono": 0.3, "cross": 0.3, "mixed": 0.4}, {"mixed": 0.9, "cross": 0.1}, {"mono": 1.0})
        arms += [Batches.model_validate({**recipe, "ratios": each}) for each in ratios]
        arms.append(Batches.model_validate({**recipe, "language_tau": 1.0}))
        samplers = [BatchSampler([index, more], arm, overlap=0.5, random_negatives=True, seed=11) for arm in arms]
        seen = set()
        for number in range(40):
            batches = [sampler.batch(number) for sampler in samplers]
            first = batches[0]
            for batch in batches[1:]:
                assert (batch.dataset, batch.clashes, batch.refused) == (first.dataset, first.clashes, first.refused)
                assert batch.rows.tolist() == first.rows.tolist()
                assert batch.query_spans.tolist() == first.query_spans.tolist()
                assert batch.document_spans.tolist() == first.document_spans.tolist()
                if batch.dataset == 0:
                    assert self.rows_of(index, batch.negatives) == self.rows_of(index, first.negatives)
            seen.update((batch.dataset, batch.kind) for batch in batches)
        assert len(seen) == 8

    def rows_of(self, index: RowIndex, negatives: Ints) -> list[int]:
        return (np.searchsorted(index.first_text, negatives, side="right") - 1).tolist()

    def test_alphas_are_nested(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, texts(20, LANGUAGES), LANGUAGES)
        kinds = [
            [batch.kind == "mono" for batch in BatchSampler([index], Batches(size=2, alpha=alpha)).batches(0, 400)]
            for alpha in (0.2, 0.5, 0.9)
        ]
        for fewer, more in combinations(kinds, 2):
            assert all(not a or b for a, b in zip(fewer, more, strict=True))


class TestRatios:
    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, tmp_path_factory: pytest.TempPathFactory) -> RowIndex:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
            return index_of(tmp_path_factory.mktemp("rows"), texts(40, LANGUAGES), LANGUAGES)

    @settings(max_examples=60, deadline=None)
    @given(
        alpha=st.floats(0, 1),
        monolingual=st.sampled_from(["mono", "mixed"]),
        cross_lingual=st.sampled_from(["cross_example", "cross_batch"]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_equal_shares_are_the_same_batches_as_those_of_alpha(
        self, index: RowIndex, alpha: float, monolingual: str, cross_lingual: str, seed: int
    ) -> None:
        recipe = {"size": 4, "cross_lingual": cross_lingual}
        short = Batches.model_validate({**recipe, "alpha": alpha, "monolingual": monolingual})
        long = Batches.model_validate({**recipe, "ratios": {monolingual: alpha, "cross": 1 - alpha}})
        one, other = (BatchSampler([index], batches, seed=seed) for batches in (short, long))
        assert digest(list(one.batches(0, 12))) == digest(list(other.batches(0, 12)))

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any), st.integers(0, 2**40))
    def test_a_kind_without_a_share_is_never_drawn_and_others_are_what_they_are_called(
        self, index: RowIndex, parts: list[int], first: int
    ) -> None:
        ratios = dict(zip(("mono", "cross", "mixed"), (part / sum(parts) for part in parts), strict=True))
        batches = Batches(size=6, ratios=ratios)  # type: ignore[arg-type]
        shares = batches.shares(of_images=False)
        assert [shares["mono"], shares["cross_example"], shares["mixed"]] == list(ratios.values())
        for batch in BatchSampler([index], batches).batches(first, first + 10):
            assert shares[batch.kind] > 0
            found = pairs_of(batch)
            assert all((query != document) == (batch.kind == "cross_example") for query, document in found)
            assert batch.kind != "mono" or len(set(found)) == 1

    @pytest.mark.parametrize("ratios", [(0.4, 0.4, 0.2), (0.05, 0.05, 0.9), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.3, 0.7)])
    def test_kinds_are_drawn_with_their_shares(self, index: RowIndex, ratios: tuple[float, float, float]) -> None:
        """A share of .4 that is off by .04 would be missed with a probability below 1e-3."""
        mono, cross, mixed = ratios
        batches = Batches(size=2, ratios={"mono": mono, "cross": cross, "mixed": mixed})
        kinds = Counter(batch.kind for batch in BatchSampler([index], batches, seed=5).batches(0, 6_000))
        shares = {kind: share for kind, share in batches.shares(of_images=False).items() if share}
        assert kinds.keys() == shares.keys()
        assert chisquare([kinds[kind] for kind in shares], [6_000 * share for share in shares.values()]).pvalue > LEAST

    def test_what_no_data_set_can_give_is_told_with_the_key(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, texts(9, ("de",)), LANGUAGES)
        assert len(BatchSampler([index], Batches(size=2, ratios={"mono": 0.5, "mixed": 0.5})).batch(0)) == 2
        with pytest.raises(DataError, match=r"can give cross-lingual .* batches: change ratios or the data"):
            BatchSampler([index], Batches(size=2, ratios={"mono": 0.5, "cross": 0.5}))


class TestTooFewRows:
    def repeated(self, n: int, groups: int, languages: Sequence[str] = ("de", "en")) -> list[RawRow]:
        return [
            {
                "queries": {tag: f"{tag} {i}" for tag in languages},
                "passages": {tag: f"{tag} document {i % groups}" for tag in languages},
            }
            for i in range(n)
        ]

    @pytest.mark.slow
    def test_refused_batches_are_drawn_again_and_counted(self, tmp_path: Path) -> None:
        few = index_of(tmp_path, self.repeated(60, 3), LANGUAGES)
        many = index_of(tmp_path, self.repeated(60, 50), LANGUAGES)
        sampler = BatchSampler([few, many], Batches(size=4, alpha=0.3, unfilled="refuse"), seed=1)
        batches = list(sampler.batches(0, 3_000))
        assert {(len(batch), batch.clashes, batch.dataset) for batch in batches} == {(4, 0, 1)}
        # Both are drawn alike: refusals are those of the first.
        refused = np.array([batch.refused for batch in batches])
        assert chisquare([sum(refused == 0), sum(refused == 1), sum(refused > 1)], [1500, 750, 750]).pvalue > LEAST

    @pytest.mark.slow
    def test_refusals_do_not_change_the_share_of_monolingual_batches(self, tmp_path: Path) -> None:
        few = index_of(tmp_path, self.repeated(60, 3), LANGUAGES)
        many = index_of(tmp_path, self.repeated(60, 50), LANGUAGES)
        own = index_of(tmp_path, self.repeated(600, 500, ["th"]), LANGUAGES)
        recipe = Batches(size=4, alpha=0.4, unfilled="refuse")
        batches = list(BatchSampler([few, many, own], recipe, seed=1).batches(0, 3_000))
        mono = sum(batch.kind == "mono" for batch in batches)
        assert sum(batch.refused for batch in batches) > 500
        assert chisquare([mono, 3_000 - mono], [1_200, 1_800]).pvalue > LEAST

    def test_what_cannot_be_filled_is_refused_in_one_line(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, self.repeated(60, 3), LANGUAGES)
        sampler = BatchSampler([index], Batches(size=4, unfilled="refuse"))
        message = (
            r"\Abatch 5: 1000 draws did not give 4 examples without a clash: use smaller batches or unfilled = '.*\Z"
        )
        with pytest.raises(UserError, match=message):
            sampler.batch(5)

    def test_one_document_is_too_few_even_for_short_batches(self, tmp_path: Path) -> None:
        sampler = BatchSampler([index_of(tmp_path, self.repeated(20, 1), LANGUAGES)], Batches(size=4))
        with pytest.raises(UserError, match=r"\Abatch 0: 1000 draws did not give 2 examples .*: use other data\Z"):
            sampler.batch(0)

    @pytest.mark.parametrize("kind", KINDS)
    def test_short_batches_have_one_row_of_each_group(self, tmp_path: Path, kind: str) -> None:
        index = index_of(tmp_path, self.repeated(60, 7), LANGUAGES)
        for batch in BatchSampler([index], of_kind(kind, size=32)).batches(0, 30):
            assert (len(batch), batch.clashes, batch.refused) == (7, 25, 0)
            assert sorted(row % 7 for row in batch.rows.tolist()) == list(range(7))

    @pytest.mark.parametrize("kind", ["mixed", "cross_example"])
    def test_a_pair_without_rows_leaves_those_of_other_pairs(self, tmp_path: Path, kind: str) -> None:
        rows = [*self.repeated(60, 3), *self.repeated(400, 40, ("ar", "th"))]
        for batch in BatchSampler([index_of(tmp_path, rows, LANGUAGES)], of_kind(kind, size=120)).batches(0, 30):
            assert (len(batch), batch.clashes) == (43, 77)

    def test_a_rare_group_is_found_in_a_large_pool(self, tmp_path: Path) -> None:
        # One document in 20 is not the first: sixteen draws miss it in 0.95 ** 16 = 44 % of the batches.
        rows = [{"lang": "en", "query": f"q{i}", "passage": f"p{0 if i % 20 else i}"} for i in range(4_000)]
        index = index_of(tmp_path, rows, LANGUAGES)
        for batch in BatchSampler([index], of_kind("mono", size=2, unfilled="refuse")).batches(0, 300):
            assert batch.refused <= 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_two_rows_are_enough(self, tmp_path: Path, kind: str) -> None:
        index = index_of(tmp_path, texts(2, LANGUAGES), LANGUAGES)
        for batch in BatchSampler([index], of_kind(kind, size=5)).batches(0, 20):
            assert sorted(batch.rows.tolist()) == [0, 1]
            assert batch.clashes == 3

    def test_a_pair_that_one_row_has_is_never_drawn(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, [*texts(5, ("de", "en")), *texts(1, ("ar", "de"), start=5)], LANGUAGES)
        for kind in KINDS:
            batches = BatchSampler([index], of_kind(kind, size=2)).batches(0, 50)
            used = {tag for batch in batches for pair in pairs_of(batch) for tag in pair}
            assert used == {"de", "en"}

    def test_one_language(self, tmp_path: Path) -> None:
        found = prepared(write(tmp_path / "rows.jsonl", texts(6, ("de", "en"))))
        index = found.index.with_languages(found.languages, ("en",))
        for kind in ("mono", "mixed"):
            batch = BatchSampler([index], of_kind(kind, size=4)).batch(0)
            assert len(batch) == 4
            assert not batch.query_languages.any()

    @pytest.mark.parametrize(
        ("rows", "alpha", "message"),
        [
            (texts(1, LANGUAGES), 0.5, "monolingual .two rows with query and document in one language. batches"),
            (pairs(9, ("en",), ("de",)), 1.0, "monolingual .* batches: change alpha or the data"),
            (pairs(9, ("en",), ("en",)), 0.5, "cross-lingual .* batches: change alpha or the data"),
            (texts(9, ("tr", "vi")), 0.0, "cross-lingual .* batches"),
        ],
    )
    def test_a_kind_that_no_data_give_is_a_fault(
        self, tmp_path: Path, rows: list[RawRow], alpha: float, message: str
    ) -> None:
        index = index_of(tmp_path, rows, LANGUAGES)
        with pytest.raises(DataError, match=rf"\Ano data set can give {message}"):
            BatchSampler([index], Batches(size=2, alpha=alpha))

    def test_a_kind_that_is_not_asked_for_need_not_be_possible(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, pairs(9, ("en",), ("de",)), LANGUAGES)
        assert set(pairs_of(BatchSampler([index], Batches(size=2, alpha=0.0)).batch(0))) == {("en", "de")}

    def test_dropped_rows_are_never_drawn_and_do_not_count(self, tmp_path: Path) -> None:
        first, second = (index_of(tmp_path, texts(40, LANGUAGES), LANGUAGES) for _ in range(2))
        first = first.without(np.arange(40) >= 10)
        batches = list(BatchSampler([first, second], Batches(size=2)).batches(0, 4_000))
        assert {int(row) for batch in batches if batch.dataset == 0 for row in batch.rows} == set(range(10))
        shares = Counter(batch.dataset for batch in batches)
        assert chisquare([shares[0], shares[1]], [800, 3_200]).pvalue > LEAST
