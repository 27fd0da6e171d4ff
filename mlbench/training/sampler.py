"""Draws batches of several kinds with given shares, never with a false negative, and counts what was drawn."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import DataError, UserError
from mlbench.protocols import SILENCE, Progress
from mlbench.training.cropping import Floats, draw_spans
from mlbench.training.index import ABSENT, ImagePairs, ImagePool, Ints, Pool, RowIndex
from mlbench.training.recipe_tables import Batches, BatchKind

# What the batches of a kind are made of, for messages.
_NEEDS: dict[BatchKind, str] = {
    **dict.fromkeys(("mono", "mixed"), "monolingual (two rows with query and document in one language)"),
    **dict.fromkeys(
        ("cross_example", "cross_batch"), "cross-lingual (two rows with query and document in two languages)"
    ),
    **dict.fromkeys(("image_mono", "image_mixed"), "image (two images with a caption in one language)"),
    "captions": "caption (two images with captions in two languages)",
}
# A slot whose row clashes is drawn again so often before its pool is searched, over so many rows for each slot.
_ROUNDS = 16
_SEARCHED = 64
_REFUSALS = 1000


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples of one data set: arrays of length n; languages are numbers in the recipe's list.

    `negatives`, int64, are numbers of texts, `ABSENT` where there is none. `query_spans` and `document_spans`, float64
    (n, 2), say which part of a text is seen; a negative is seen as the document of its example is. `clashes` is how
    many slots stayed empty for want of a row that shares neither topic nor query nor document with another, `refused`
    how many batches were drawn again for that reason.
    """

    number: int
    kind: BatchKind
    dataset: int
    rows: Ints
    query_languages: Ints
    document_languages: Ints
    negatives: Ints
    query_spans: Floats
    document_spans: Floats
    clashes: int = 0
    refused: int = 0

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """How a data set was used in a language: `queries` and `documents` count the examples that had one in it.

    `texts` is how many queries and documents its rows have in that language.
    """

    dataset: str
    language: str
    queries: int
    documents: int
    texts: int

    @property
    def epochs(self) -> float:
        """How often each query and each document was drawn, on average; 0 where there are none."""
        return (self.queries + self.documents) / self.texts if self.texts else 0.0


@dataclass(frozen=True, eq=False)
class BatchStatistics:
    """What batches were: `kinds` counts them, `examples` is how many they had together.

    `drawn` says how many queries and documents of each language, int64 (languages,), the batches of each kind had.
    `shortened` batches lacked `missing` examples together, `refused` ones were drawn again. `pairs`, int64 (data sets,
    languages, languages), counts the examples by the languages of query and document. `rows_digest` is the SHA-256
    (hex) of the rows drawn and their views, in order: two trainings with equal ones differ at most in languages.
    """

    kinds: Mapping[str, int]
    drawn: Mapping[str, Ints]
    examples: int
    shortened: int
    missing: int
    refused: int
    pairs: Ints
    uses: tuple[DatasetUse, ...]
    rows_digest: str


@dataclass(frozen=True, eq=False)
class _BatchSource:
    """Batches of one kind: their share of all, and the rows of each data set that they draw from.

    `same` says that query and document are of one language, `is_one` that all examples have the same pair of languages.
    """

    kind: BatchKind
    share: float
    pools: Sequence[Pool | ImagePool]
    same: bool
    is_one: bool


class BatchSampler:
    """The batches of a recipe; `sampler.batch(n)` is the n-th.

    `datasets` are the rows to draw from; the size of one, which decides how often it is drawn, is the number of its
    rows that can give an example of the batch. `overlap` is that of views (see `draw_spans`). With `random_negatives`,
    an example without hard negatives gets another row's document in its document's language. `images`, one for each
    data set, make them data sets of captioned images. Only one thread may draw from it at a time. Raises `DataError`
    where no data set can give a kind of batch that `batches` asks for.
    """

    def __init__(
        self,
        datasets: Sequence[RowIndex],
        batches: Batches,
        *,
        overlap: float = 1.0,
        random_negatives: bool = False,
        seed: int = 0,
        images: Sequence[ImagePairs] = (),
    ) -> None:
        sources = _image_sources(datasets, images, batches) if images else _text_sources(datasets, batches)
        # What shares lack of 1 by rounding belongs to the last kind that is asked for.
        self._sources = [source for source in sources if source.share > 0]
        self._ends = np.cumsum([source.share for source in self._sources])
        self._batches = batches
        self._overlap = overlap
        self._random_negatives = random_negatives
        self._seed = seed
        # Seeded anew for each batch, as to make one takes longer than to draw a small batch.
        self._random = np.random.RandomState(0)
        self._weights = [self._dataset_weights(source) for source in self._sources]
        for source, weights in zip(self._sources, self._weights, strict=True):
            if not weights.any():
                keys = "ratios" if batches.ratios else "captions or mixed" if images else "alpha"
                raise DataError(f"no data set can give {_NEEDS[source.kind]} batches: change {keys} or the data")

    def _dataset_weights(self, source: _BatchSource) -> Floats:
        sizes = [pool.pairs(source.same).n_rows for pool in source.pools]
        return np.array([size**self._batches.dataset_tau if size else 0.0 for size in sizes])

    def batches(self, first: int, end: int) -> Iterator[Batch]:
        """Yield the batches from number `first` up to, not including, `end`."""
        return (self.batch(number) for number in range(first, end))

    def batch(self, number: int) -> Batch:
        """Return batch `number`, from 0; raises `UserError` where a thousand draws in a row had to be refused."""
        random = self._random
        random.seed([self._seed & 0xFFFFFFFF, number & 0xFFFFFFFF, number >> 32])
        # Drawn once, so that refusals do not change the shares of kinds.
        source = min(int(np.searchsorted(self._ends, random.random_sample(), side="right")), len(self._sources) - 1)
        shorten = self._batches.unfilled == "shorten"
        # One example alone has nothing to be told from.
        least = 2 if shorten else self._batches.size
        for refused in range(_REFUSALS):
            batch = self._draw(number, source, refused, random)
            if len(batch) >= least:
                return batch
        advice = "use other data" if shorten else "use smaller batches or unfilled = 'shorten'"
        raise UserError(f"batch {number}: {_REFUSALS} draws did not give {least} examples without a clash: {advice}")

    def _draw(self, number: int, source_number: int, refused: int, random: np.random.RandomState) -> Batch:
        source, size = self._sources[source_number], self._batches.size
        of_dataset = random.random_sample()
        of_pair, of_row, of_cut, of_side, of_negative = random.random_sample((5, size))
        dataset = _choose(self._weights[source_number], of_dataset)
        pool = source.pools[dataset]
        pairs = pool.pairs(source.same).draw(np.full(size, of_pair[0]) if source.is_one else of_pair)
        rows = _Rows(pool, pairs, random).fill(of_row)
        kept = np.flatnonzero(rows != ABSENT)
        rows, pairs = rows[kept], pairs[kept]
        spans = draw_spans(of_cut[kept], of_side[kept], self._overlap)
        is_text = pool.index.is_text[pool.index.pattern[rows]]
        whole = np.array([0.0, 1.0])
        query_spans, document_spans = (np.where(is_text[:, None], each, whole) for each in spans)
        return Batch(
            number=number,
            kind=source.kind,
            dataset=dataset,
            rows=rows,
            query_languages=pairs // pool.n_languages,
            document_languages=pairs % pool.n_languages,
            negatives=self._negatives(pool, rows, pairs, of_negative[kept], random),
            query_spans=query_spans,
            document_spans=document_spans,
            clashes=size - len(kept),
            refused=refused,
        )

    def _negatives(
        self, pool: Pool | ImagePool, rows: Ints, pairs: Ints, of_negative: Floats, random: np.random.RandomState
    ) -> Ints:
        """Return one negative for each example that is none of the batch's documents, nor a translation of one.

        One that is another row's document shares neither topic nor query with the batch either.
        """
        index, negatives = pool.index, np.full(len(rows), ABSENT, np.int64)
        columns = (index.topic, index.query_group, index.document_group)
        taken = [set(column[rows].tolist()) for column in columns]
        positive = taken[-1]
        if len(index.negative_texts):
            for slot, row in enumerate(rows.tolist()):
                own = np.arange(index.first_negative[row], index.first_negative[row + 1])
                own = own[index.negative_languages[own] == pairs[slot] % pool.n_languages]
                usable = [n for n in own.tolist() if int(index.negative_groups[n]) not in positive]
                if usable:
                    negatives[slot] = index.negative_texts[usable[int(of_negative[slot] * len(usable))]]
        if self._random_negatives:
            of_row = of_negative
            for _ in range(_ROUNDS):
                open_slots = np.flatnonzero(negatives == ABSENT)
                if not len(open_slots):
                    break
                others = pool.rows(pairs[open_slots], of_row[open_slots])
                texts = index.document_texts(others, pairs[open_slots] % pool.n_languages)
                keys = zip(*(column[others].tolist() for column in columns), strict=True)
                clashing = [any(map(set.__contains__, taken, each)) for each in keys]
                negatives[open_slots] = np.where(clashing, ABSENT, texts)
                of_row = random.random_sample(len(rows))
        return negatives


class _Rows:
    """Fills the slots of one batch with rows of which no two clash."""

    def __init__(self, pool: Pool | ImagePool, pairs: Ints, random: np.random.RandomState) -> None:
        self._pool = pool
        self._pairs = pairs
        self._random = random
        self._taken: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        self._rows: Ints = np.full(len(pairs), ABSENT, np.int64)

    def fill(self, of_row: Floats) -> Ints:
        """Return a row for each slot, `ABSENT` where there is none left; `of_row` chooses at first."""
        open_slots = np.arange(len(self._pairs))
        for _ in range(_ROUNDS):
            open_slots = self._take(open_slots, self._pool.rows(self._pairs[open_slots], of_row))
            if not len(open_slots):
                return self._rows
            of_row = self._random.random_sample(len(open_slots))
        exhausted = set()
        for slot, pair in zip(open_slots.tolist(), self._pairs[open_slots].tolist(), strict=True):
            if pair not in exhausted and not self._search(slot, pair):
                exhausted.add(pair)
        return self._rows

    def _search(self, slot: int, pair: int) -> bool:
        """Give the slot a row of the pair, of a large pool one among many; returns whether there is one."""
        size, most = self._pool.size(pair), _SEARCHED * len(self._pairs)
        places = (self._random.permutation(size) + 0.5) / size if size <= most else self._random.random_sample(most)
        rows = self._pool.rows(np.full(len(places), pair), places)
        for row, keys in zip(rows.tolist(), self._keys(rows), strict=True):
            if self._fits(keys):
                self._rows[slot] = row
                return True
        return False

    def _take(self, slots: Ints, rows: Ints) -> Ints:
        """Give `rows` to `slots` in their order; returns the slots whose row clashes with one taken before."""
        clashing = []
        for slot, row, keys in zip(slots.tolist(), rows.tolist(), self._keys(rows), strict=True):
            if self._fits(keys):
                self._rows[slot] = row
            else:
                clashing.append(slot)
        return np.array(clashing, np.int64)

    def _keys(self, rows: Ints) -> Iterator[tuple[int, int, int]]:
        index = self._pool.index
        columns = (index.topic[rows], index.query_group[rows], index.document_group[rows])
        return zip(*(column.tolist() for column in columns), strict=True)

    def _fits(self, keys: tuple[int, int, int]) -> bool:
        topics, queries, documents = self._taken
        if keys[0] in topics or keys[1] in queries or keys[2] in documents:
            return False
        topics.add(keys[0])
        queries.add(keys[1])
        documents.add(keys[2])
        return True


def _text_sources(datasets: Sequence[RowIndex], batches: Batches) -> list[_BatchSource]:
    pools = [Pool(index, batches.language_tau) for index in datasets]
    return [
        _BatchSource(kind, share, pools, same=kind in ("mono", "mixed"), is_one=kind in ("mono", "cross_batch"))
        for kind, share in batches.shares(of_images=False).items()
    ]


def _image_sources(datasets: Sequence[RowIndex], images: Sequence[ImagePairs], batches: Batches) -> list[_BatchSource]:
    both, tau = list(zip(datasets, images, strict=True)), batches.language_tau
    shown = [ImagePool(index, pairs, tau) for index, pairs in both]
    written = [Pool(index.without_queries(pairs.column), tau) for index, pairs in both]
    shares, of_batch = batches.shares(of_images=True), batches.cross_lingual == "cross_batch"
    return [
        _BatchSource("image_mono", shares["image_mono"], shown, same=False, is_one=True),
        _BatchSource("image_mixed", shares["image_mixed"], shown, same=False, is_one=False),
        _BatchSource("captions", shares["captions"], written, same=False, is_one=of_batch),
    ]


def _choose(weights: NDArray[np.float64], place: float) -> int:
    """Return the number of the weight in whose part of the whole `place`, in [0, 1), falls."""
    ends = np.cumsum(weights)
    return int(np.searchsorted(ends, place * ends[-1], side="right"))


def batch_statistics(
    sampler: BatchSampler,
    batches: int,
    indexes: Sequence[RowIndex],
    *,
    languages: Sequence[str],
    names: Sequence[str],
    progress: Progress = SILENCE,
) -> BatchStatistics:
    """Return what the first `batches` were, drawn again from `sampler`.

    `indexes` are what it draws from, with one of the `names` for each and a column for each of the `languages`. No
    batches give counts of 0. Raises as `BatchSampler.batch` does.
    """
    kinds: Counter[str] = Counter()
    drawn: dict[str, Ints] = {}
    pairs = np.zeros((len(names), len(languages), len(languages)), np.int64)
    shortened = missing = refused = 0
    digest = sha256()
    progress.start("count batches", batches)
    for batch in sampler.batches(0, batches):
        kinds[batch.kind] += 1
        of_kind = drawn.setdefault(batch.kind, np.zeros(len(languages), np.int64))
        of_kind += np.bincount(np.append(batch.query_languages, batch.document_languages), minlength=len(languages))
        shortened += batch.clashes > 0
        missing += batch.clashes
        refused += batch.refused
        np.add.at(pairs[batch.dataset], (batch.query_languages, batch.document_languages), 1)
        digest.update(_rows_and_views(batch))
        progress.advance(1)
    progress.finish()
    return BatchStatistics(
        kinds=dict(sorted(kinds.items())),
        drawn=dict(sorted(drawn.items())),
        examples=int(pairs.sum()),
        shortened=shortened,
        missing=missing,
        refused=refused,
        pairs=pairs,
        uses=tuple(_uses(pairs, indexes, languages, names)),
        rows_digest=digest.hexdigest(),
    )


def _rows_and_views(batch: Batch) -> bytes:
    numbers = np.array([batch.dataset, len(batch), *batch.rows], "<i8")
    return numbers.tobytes() + b"".join(
        spans.astype("<f8").tobytes() for spans in (batch.query_spans, batch.document_spans)
    )


def _uses(pairs: Ints, indexes: Sequence[RowIndex], languages: Sequence[str], names: Sequence[str]) -> list[DatasetUse]:
    """Return the use of every data set in every language in which it has texts."""
    uses = []
    for name, counted, index in zip(names, pairs, indexes, strict=True):
        n_rows = np.bincount(index.pattern, minlength=len(index.is_text))
        present = (index.query_places != ABSENT).astype(np.int64) + (index.document_places != ABSENT)
        queries, documents, texts = counted.sum(axis=1), counted.sum(axis=0), n_rows @ present
        counts = zip(languages, queries.tolist(), documents.tolist(), texts.tolist(), strict=True)
        uses += [DatasetUse(name, language, *each) for language, *each in counts if each[-1]]
    return uses
