"""What all systems made of parts have in common: preparation, fingerprint and parameters."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from mlbench.languages import Setting
from mlbench.opened import sees
from mlbench.protocols import Parameter, Progress
from mlbench.records import Document, Query
from mlbench.results import IndexCost
from mlbench.systems.parts import Part
from mlbench.systems.vectors import Texts


class Composite(ABC):
    """A ranker made of `parts`, each under its place in the file, such as `systems[0]`."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)

    @property
    @abstractmethod
    def declared(self) -> dict[str, Parameter]:
        """What decides how the parts' lists become one."""

    @abstractmethod
    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the ids of at most `depth` of the `documents`, best first."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the file says, and every part with its fingerprint and its own parameters."""
        parts = (part.parameters(place) for place, part in self._parts.items())
        return self.declared | {name: value for named in parts for name, value in named.items()}

    @property
    def reads_images(self) -> bool:
        """Whether all parts may be given images."""
        return all(sees(part.opened.retriever) for part in self._parts.values())

    @property
    def tokens(self) -> int:
        """What the parts have encoded since they were opened."""
        return sum(part.opened.tokens() for part in self._parts.values())

    @property
    def index_costs(self) -> tuple[IndexCost, ...]:
        """What the indexes of the parts took since the last preparation; nothing where there are none."""
        rankers = (part.ranker for part in self._parts.values())
        return tuple(cost for ranker in rankers if isinstance(ranker, Composite) for cost in ranker.index_costs)

    def fingerprint(self) -> str:
        """Return a digest of how the lists become one and of what the parts are, wherever they lie."""
        parts = {place: part.fingerprint() for place, part in self._parts.items()}
        return sha256(json.dumps([self.declared, parts], sort_keys=True).encode()).hexdigest()

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let every part encode `texts`, each of them once."""
        for part in self._parts.values():
            part.prepare(texts, cache, progress)
