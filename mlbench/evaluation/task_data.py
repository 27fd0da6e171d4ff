"""A task that is ready to be ranked, in memory or as a stream, and what ranking it gives."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

from mlbench.collection.languages import IMAGE, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.embeddings.commitment import Commitment
from mlbench.errors import DataError, UserError
from mlbench.evaluation.options import Options
from mlbench.open_model import LoadedModel
from mlbench.ranking.index_arrays import IndexArrays, index_collection
from mlbench.ranking.ranks import Ranks, are_many_counts
from mlbench.ranking.ranks_file import LARGEST
from mlbench.ranking.run_files import ListSink, RunFiles, SaveRun
from mlbench.results import TruncatedTexts
from mlbench.tasks.task import Task


@dataclass
class Clock:
    """Seconds of each step."""

    laps: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=perf_counter)

    def lap(self, step: str) -> None:
        """Add the time since the last lap to `step`."""
        now = perf_counter()
        self.laps[step] = self.laps.get(step, 0.0) + now - self._last
        self._last = now

    def split(self, step: str, rank_share: float) -> None:
        """Settle a step in which encoding and ranking took turns: `rank_share` of its time goes to ranking."""
        seconds = self.laps.pop(step, 0.0)
        self.laps["rank"] = self.laps.get("rank", 0.0) + seconds * rank_share
        self.laps["encode"] = self.laps.get("encode", 0.0) + seconds * (1 - rank_share)


@dataclass(frozen=True)
class RankedTask:
    """The ranks of a task, and what it took to compute them.

    `texts` counts the distinct texts and `encoded` those that this run encoded, both None for a ranker; `images` and
    `encoded_images` count images likewise, None for a task of texts. `tokens` counts those that other processes
    encoded. `truncated` says how many texts were cut off, None where that is not known. `commitment` is the one to all
    vectors, where it was asked for.
    """

    ranks: Ranks
    texts: int | None = None
    encoded: int | None = None
    images: int | None = None
    encoded_images: int | None = None
    tokens: int = 0
    truncated: tuple[TruncatedTexts, ...] | None = None
    commitment: Commitment | None = None


@dataclass(frozen=True)
class TaskData(ABC):
    """A collection with the settings that it can answer, and both as index arrays.

    `fingerprints` are those of the data of each language. The collection of a streamed task holds its relevant
    documents alone.
    """

    task: Task
    collection: Collection
    settings: tuple[Setting, ...]
    arrays: IndexArrays
    fingerprints: Mapping[str, str]

    @abstractmethod
    def rank(self, model: LoadedModel, files: ListSink | None, options: Options, clock: Clock) -> RankedTask:
        """Encode each text once, or ask a ranker, and rank the relevant documents in every setting.

        Ranked lists are given to `files`. Raises `UserError` for whatever the user can put right.
        """

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the collection without `IMAGE`."""
        return tuple(language for language in self.collection.languages if language != IMAGE)

    def run_files(self, wanted: SaveRun | None) -> AbstractContextManager[RunFiles | None]:
        """Return the run files that are asked for, as a context; they appear whole or not at all."""
        return nullcontext() if wanted is None else RunFiles(wanted, self.arrays, self.settings)

    def asked_pools(self, options: Options) -> list[tuple[str, ...]] | None:
        """Return the pools that settings ask for where they alone are counted, else None."""
        if not self.is_compact(options, len(self.collection.languages)):
            return None
        asked = {setting.document_languages for setting in self.settings}
        return sorted((pool for pool in asked if len(pool) > 1), key=lambda pool: (len(pool), pool))

    def is_compact(self, options: Options, n_columns: int) -> bool:
        """Say whether the counts of what settings ask for alone are kept, of so many columns.

        Raises `UserError` where all are asked for, and no file would hold them.
        """
        n_rows = len(self.arrays.row_queries)
        if options.pools is None:
            return are_many_counts(n_rows, n_columns)
        # Two of four bytes, ahead and ties.
        if options.pools == "any" and (size := 8 * n_rows * n_columns) > LARGEST:
            raise UserError(
                f"the counts of all pools of {self.task.name} take {size:,} bytes, a ranks file {LARGEST:,}: measure "
                "fewer languages at once, or leave out --pools"
            )
        return options.pools == "asked"

    @classmethod
    def of(
        cls,
        task: Task,
        collection: Collection,
        sizes: Mapping[str, int],
        fingerprints: Mapping[str, str],
        **more: object,
    ) -> Self:
        """Return the data of a collection whose corpora have `sizes` documents by language.

        Raises `UserError` where no setting can be answered, `DataError` where no query has a relevant document.
        """
        settings = _answerable_settings(task, collection, sizes)
        arrays = index_collection(collection)
        if not len(arrays.row_queries):
            raise DataError(f"{task.name}: no query has a relevant document: check its judgments")
        return cls(task, collection, settings, arrays, fingerprints, **more)


def _answerable_settings(task: Task, collection: Collection, sizes: Mapping[str, int]) -> tuple[Setting, ...]:
    """Return the settings that have queries and documents: a language may have queries alone, or documents alone."""
    found = tuple(
        setting
        for setting in settings_of(collection.languages, task.settings)
        if collection.queries[setting.query_language]
        and any(sizes[language] for language in setting.document_languages)
    )
    if not any(collection.queries.values()):
        raise UserError(f"{task.name}: no query has both a text and judgments: check its queries and their ids")
    if not any(sizes.values()):
        raise UserError(f"{task.name}: no document has a text: check its corpora")
    if not found:
        raise UserError(f"{task.name} has no settings in {', '.join(collection.languages)} alone: add a language")
    return found
