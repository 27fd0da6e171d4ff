"""How a run is made, and what its ranking step gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import cast

from mlbench import entry_points
from mlbench.collection.languages import Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.errors import UserError
from mlbench.protocols import Engine, Group, Progress, Resources, Runtime, Silence
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.run_files import SaveRun
from mlbench.results import LARGEST_SEED, MOST_RESAMPLES
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
    """The ranks of a task, its settings and languages, and what it is.

    `fingerprints` are those of the data of each language; `texts` counts the distinct texts, `encoded` those that were
    encoded for this, both None for a ranker; `tokens` is what workers elsewhere have encoded; with captioned
    images, `languages` are those of the captions, `images` and `encoded_images` count images as those count texts, and
    `unreadable` those that were left out.
    """

    ranks: Ranks
    settings: tuple[Setting, ...]
    languages: tuple[str, ...]
    fingerprints: Mapping[str, str]
    texts: int | None
    encoded: int | None
    tokens: int = 0
    images: int | None = None
    encoded_images: int | None = None
    unreadable: int = 0


def askable(task: Task, collection: Collection, sizes: Mapping[str, int]) -> tuple[Setting, ...]:
    """Return the settings that can be asked: a language may have queries alone, or documents alone.

    `sizes` are the numbers of documents of each language. Raises `UserError` where nothing can be asked.
    """
    found = tuple(
        setting
        for setting in settings_of(collection.languages, task.settings)
        if collection.queries[setting.query_language]
        and any(sizes[language] for language in setting.document_languages)
    )
    if not found:
        raise UserError(f"{task.name} has no settings in {', '.join(collection.languages)} alone: add a language")
    return found


def texts_of(collection: Collection) -> dict[Group, list[str]]:
    """Return the texts of queries and documents, by role and language, in their order."""
    texts: dict[Group, list[str]] = {}
    for language in collection.languages:
        texts["document", language] = [document.text for document in collection.documents[language]]
        texts["query", language] = [query.text for query in collection.queries[language]]
    return texts


@dataclass(frozen=True)
class Options:
    """How a run is made; nothing here changes what is measured, save `settings` and `limit`.

    `settings` are the retriever's keys as strings; `limit` asks for a quick look at so many topics (see
    `Collection.sample`); `cache` is the folder of the embedding store (None: the user's cache folder); `seed`,
    `resamples` and `confidence` are those of the intervals; `save_run` asks for TREC files; `command` is recorded in
    the result. `engine` and `resources` say where the shards of large corpora are encoded and counted, `keep_vectors`
    whether their vectors stay in the cache (None: where they fit into half of the free space).
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    runtime: Runtime = field(default_factory=Runtime)
    cache: Path | None = None
    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95
    save_run: SaveRun | None = None
    command: str | None = None
    engine: str = "local"
    resources: Resources = field(default_factory=Resources)
    keep_vectors: bool | None = None
    progress: Progress = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if not (0 <= self.resamples <= MOST_RESAMPLES and 0 <= self.seed <= LARGEST_SEED and 0 < self.confidence < 1):
            raise UserError(
                f"resamples go from 0 to {MOST_RESAMPLES:,}, seeds from 0 to {LARGEST_SEED:,}, confidence from 0 to 1: "
                f"not {self.resamples:,}, {self.seed:,} and {self.confidence}"
            )
        if self.limit is not None and self.limit < 1:
            raise UserError(f"a quick look has at least one topic, not {self.limit:,}")


OpenEngine = Callable[[Resources, Progress], Engine]


def open_engine(name: str, resources: Resources, progress: Progress) -> Engine:
    """Return the engine that the entry point `name` gives; raises `UnknownName`, and `EngineError` as it does."""
    return cast(OpenEngine, entry_points.load(entry_points.ENGINES, name))(resources, progress)
