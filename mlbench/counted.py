"""What counting leaves of a task, however its documents went by: all that scoring and the result need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from mlbench.embeddings import Group
from mlbench.errors import UserError
from mlbench.languages import Setting, settings_of
from mlbench.ranks import Ranks
from mlbench.records import Collection
from mlbench.tasks import Task


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
class Counted:
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
