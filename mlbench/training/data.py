"""The rows that a recipe trains on, and those held out; all that is wrong with them is found at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mlbench.collection.languages import IMAGE
from mlbench.errors import UserError
from mlbench.protocols import SILENCE, Progress
from mlbench.tasks.task import load_task
from mlbench.training.contamination import Findings, Probe, TextLocation, load_texts
from mlbench.training.examples import Examples
from mlbench.training.index import ABSENT, Bools, ImagePairs, Ints, Pool, RowIndex, related, share_of
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import Batches, DataSet
from mlbench.training.rows import DatasetRows, prepare
from mlbench.training.sampler import BatchSampler
from mlbench.training.sources import find_source

_BLOCK_ROWS = 4096
# The seed of held-out batches: those of training must not depend on whether any are held out.
_HELD_OUT_SEED = 2**31


@dataclass(frozen=True, eq=False)
class RowSelection:
    """Rows and, in the order of a recipe's languages, the index of those that a part of training uses.

    `images` are there for captioned images alone: which captions may stand beside their image.
    """

    rows: tuple[DatasetRows, ...]
    indexes: tuple[RowIndex, ...]
    images: tuple[ImagePairs, ...] = ()

    @classmethod
    def of(cls, rows: tuple[DatasetRows, ...], indexes: Sequence[RowIndex], recipe: Recipe) -> "RowSelection":
        """Return the part of `rows` that `indexes` leave, each with the columns of the recipe's corpora."""
        pairs: tuple[ImagePairs, ...] = ()
        if recipe.image_text is not None:
            both = zip(rows, indexes, strict=True)
            pairs = tuple(image_pairs(each, index, recipe.corpora, recipe.image_share) for each, index in both)
        return cls(rows, tuple(indexes), pairs)

    def examples(self, recipe: Recipe, seed: int, batches: Batches | None = None) -> Examples:
        """Return the batches that `recipe` draws from these rows, or other `batches`.

        Raises `DataError` where the rows cannot give them.
        """
        sampler = BatchSampler(
            self.indexes,
            batches or recipe.batches,
            overlap=recipe.overlap,
            random_negatives=recipe.loss.negatives == "hard_only",
            seed=seed,
            images=self.images,
        )
        return Examples(sampler, self.rows, recipe.corpora)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What to train on, what to judge progress on (None: nothing), and what the texts hold of evaluation tasks."""

    training: RowSelection
    held_out: RowSelection | None
    contamination: Findings | None

    def examples(self, recipe: Recipe) -> Examples:
        """Return the batches to train on."""
        return self.training.examples(recipe, recipe.seed)

    def held_out_examples(self, recipe: Recipe) -> Examples | None:
        """Return the batches to judge progress on, the same for every seed; None where nothing is held out."""
        if self.held_out is None:
            return None
        texts = recipe.image_text is None
        batches = _possible(recipe.batches, self.held_out.indexes) if texts else recipe.batches
        return self.held_out.examples(recipe, _HELD_OUT_SEED, batches)


def load_data(
    recipe: Recipe, *, data_dir: Path | None = None, progress: Progress = SILENCE, findings: Findings | None = None
) -> tuple[TrainingData | None, list[str]]:
    """Find, read and check the data of a recipe; returns it, and all faults, one line each.

    With a fault there may be no data. What is found of evaluation tasks is a fault where the recipe refuses it, else
    told to `progress`; `findings` were made before of the same data sets and tasks.
    """
    faults: list[str] = []
    rows = _prepare_all(recipe, recipe.datasets, "datasets", data_dir, progress, faults)
    judged = recipe.validation.datasets if recipe.validation else ()
    held_out_rows = _prepare_all(recipe, judged, "validation.datasets", data_dir, progress, faults)
    # What a data set that cannot be read would have had is not missing.
    faults += _missing_languages(recipe, rows) if len(rows) == len(recipe.datasets) else []
    try:
        findings = findings or _scan(recipe, rows, data_dir, progress)
    except UserError as error:
        faults.append(f"contamination: {error}")
    if findings is not None and findings.hits and recipe.contamination.action == "refuse":
        faults.append(
            f"contamination: {'; '.join(findings.describe())}; "
            "leave the rows out (contamination.action = 'drop') or go on ('warn')"
        )
    elif findings is not None and findings.hits:
        what = "left out" if recipe.contamination.action == "drop" else "warning: trained on"
        for line in findings.describe():
            progress.note(f"{what}: {line}")
    data = _divide(recipe, rows, held_out_rows, findings)
    if not faults:
        for make in (data.examples, data.held_out_examples):
            try:
                make(recipe)
            except UserError as error:
                faults.append(f"batches: {error}")
    return data, faults


def _prepare_all(
    recipe: Recipe,
    datasets: Sequence[DataSet],
    table: str,
    data_dir: Path | None,
    progress: Progress,
    faults: list[str],
) -> tuple[DatasetRows, ...]:
    rows = []
    for number, data in enumerate(datasets):
        try:
            source = find_source(data, recipe.root, data_dir, progress, languages=recipe.languages)
            rows.append(prepare(source, progress))
        except UserError as error:
            faults.append(f"{table}[{number}]: {error}")
    return tuple(rows)


def _missing_languages(recipe: Recipe, rows: Sequence[DatasetRows]) -> list[str]:
    present = {tag for each in rows for tag in each.languages} - {IMAGE}
    missing = [tag for tag in recipe.languages if tag not in present]
    known = ", ".join(sorted(present))
    return [f"languages: no data for {', '.join(missing)}: the data sets have {known}"] if missing else []


def _scan(recipe: Recipe, rows: Sequence[DatasetRows], data_dir: Path | None, progress: Progress) -> Findings | None:
    if not recipe.contamination.tasks or not rows:
        return None
    tasks = [load_task(name) for name in recipe.contamination.tasks]
    texts = [text for task in tasks for text in load_texts(task, data_dir=data_dir, progress=progress)]
    progress.start("look for evaluation texts", sum(len(each.index) for each in rows))
    findings = Probe.of(texts).scan(_places(rows, progress))
    progress.finish()
    return findings


def _places(rows: Sequence[DatasetRows], progress: Progress) -> Iterator[tuple[TextLocation, str]]:
    """Yield every text of every row with its place."""
    for each in rows:
        index = each.index
        for first in range(0, len(index), _BLOCK_ROWS):
            block = np.arange(first, min(first + _BLOCK_ROWS, len(index)))
            places = [place for row in block.tolist() for place in _places_of(each, row)]
            numbers = np.array([number for number, _ in places], np.int64)
            yield from zip((place for _, place in places), each.read(numbers), strict=True)
            progress.advance(len(block))


def _places_of(rows: DatasetRows, row: int) -> Iterator[tuple[int, TextLocation]]:
    index, first = rows.index, int(rows.index.first_text[row])
    pattern = int(index.pattern[row])
    is_text = bool(index.is_text[pattern])
    sides = [("query", index.query_places), ("document", index.document_places)]
    for role, table in sides[:1] if is_text else sides:
        for language, place in zip(rows.languages, table[pattern].tolist(), strict=True):
            if place != ABSENT:
                yield first + place, TextLocation(rows.name, row, "text" if is_text else role, language)  # type: ignore[arg-type]
    for number in range(int(index.first_negative[row]), int(index.first_negative[row + 1])):
        language = rows.languages[int(index.negative_languages[number])]
        yield int(index.negative_texts[number]), TextLocation(rows.name, row, "document", language)


def _divide(
    recipe: Recipe, rows: tuple[DatasetRows, ...], held_out_rows: tuple[DatasetRows, ...], findings: Findings | None
) -> TrainingData:
    share = recipe.validation.share if recipe.validation else 0.0
    drop = findings.rows() if findings is not None and recipe.contamination.action == "drop" else {}
    training, held_out = [], []
    for each in rows:
        index = each.index.with_languages(each.languages, recipe.corpora)
        unwanted = np.zeros(len(index), bool)
        unwanted[sorted(drop.get(each.name, ()))] = True
        judged = share_of(index, 0.0, share, "held out")
        wanted = share_of(index, 0.0, recipe.data_fraction, "fraction")
        # What shares so much as a question with a row that judges would let training see the answer.
        training.append(_only(index, wanted & ~related(index, judged) & ~unwanted))
        held_out.append(_only(index, judged & ~unwanted))
    part: RowSelection | None = RowSelection.of(rows, held_out, recipe) if share else None
    if held_out_rows:
        indexes = [each.index.with_languages(each.languages, recipe.corpora) for each in held_out_rows]
        part = RowSelection.of(held_out_rows, indexes, recipe)
    return TrainingData(RowSelection.of(rows, training, recipe), part, findings)


def _only(index: RowIndex, kept: Bools) -> RowIndex:
    return index if kept.all() else index.without(~kept)


def _possible(batches: Batches, indexes: Sequence[RowIndex]) -> Batches:
    """Return `batches` all monolingual, or all cross-lingual, where the rows can give nothing else."""
    pools = [Pool(index, batches.language_tau) for index in indexes]
    mono, cross = (any(pool.pairs(same).n_rows for pool in pools) for same in (True, False))
    if mono == cross:
        return batches
    left = {kind: share for kind, share in batches.ratios.items() if (kind == "cross") == cross}
    ratios = {kind: share / sum(left.values()) for kind, share in left.items()}
    return batches.model_copy(update={"alpha": float(mono), "ratios": ratios})


def image_pairs(
    rows: DatasetRows, index: RowIndex, corpora: tuple[str, ...], shares: Mapping[str, float]
) -> ImagePairs:
    """Return which captions of `rows` may stand beside their image; `index` has the columns of `corpora`.

    `shares` says of which share of the images, by language, with `default` for those that it does not name (else 1).
    The image's bytes and the language decide, whatever else is trained on; .02 of them are among .1 of them.
    """
    column = corpora.index(IMAGE)
    usable = np.ones((len(index), len(corpora)), bool)
    rare = {language: shares.get(language, shares.get("default", 1.0)) for language in corpora if language != IMAGE}
    rare = {language: share for language, share in rare.items() if share < 1}
    if rare:
        there = np.flatnonzero(index.query_places[index.pattern, column] != ABSENT)
        images = rows.read(index.query_texts(there, np.full(len(there), column)))
        for language, share in rare.items():
            usable[there, corpora.index(language)] = _chosen(images, language, share)
    return ImagePairs(column, usable)


def _chosen(images: list[str], language: str, share: float) -> Bools:
    digests = (blake2b(f"{language} {image}".encode(), digest_size=8).digest() for image in images)
    places = np.array([int.from_bytes(digest, "little") >> 11 for digest in digests], np.float64) / 2**53
    chosen: Bools = places < share
    return chosen


def used_texts(part: RowSelection) -> tuple[Ints, ...]:
    """Return for each data set the numbers of the texts that its rows can give, int64 (n,), ascending; of no images."""
    found = []
    for index in _of_texts(part):
        present = [table[index.pattern] for table in (index.query_places, index.document_places)]
        numbers = [(index.first_text[:, None] + places)[places != ABSENT] for places in present]
        found.append(np.unique(np.concatenate(numbers)))
    return tuple(found)


def _of_texts(part: RowSelection) -> tuple[RowIndex, ...]:
    if not part.images:
        return part.indexes
    return tuple(index.without_queries(pairs.column) for index, pairs in zip(part.indexes, part.images, strict=True))
