"""Encoders, rankers and rerankers that are known by heart, as an installed plugin would bring them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlbench import entry_points
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors

ENCODED: Counter[str] = Counter()
"""How often each text was encoded by any `ToyEncoder`."""
SCORED: Counter[tuple[str, str]] = Counter()
"""How often each pair was scored by any `ToyReranker`."""


def numbers(text: str, seed: int, n: int = 5) -> list[float]:
    """Return n fixed numbers for a text, multiples of 1/4, so that many texts have some in common."""
    return [byte % 9 / 4 - 1 for byte in sha256(f"{seed} {text}".encode()).digest()[:n]]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    similarity: Similarity = "cosine"


@dataclass
class ToyEncoder:
    """An encoder of few distinct coordinates."""

    seed: int
    similarity: Similarity = "cosine"
    dim: int = 5

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {"seed": self.seed}

    def fingerprint(self, role: Role) -> str:
        return f"toy-{self.seed}"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        ENCODED.update(texts)
        rows = [[*numbers(text, self.seed, self.dim - 1), 0.5] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, self.dim)


@dataclass
class ToyRanker:
    """A ranker by numbers of the document alone; `short` leaves out every second document."""

    seed: int
    short: bool = False
    asked: list[int] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {"seed": self.seed}

    def fingerprint(self) -> str:
        return f"toy-ranker-{self.seed}-{self.short}"

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        self.asked.append(depth)
        kept = documents[::2] if self.short else documents
        return [
            sorted((d.doc_id for d in kept), key=lambda doc_id: sha256(f"{doc_id}{q.text}".encode()).digest())[:depth]
            for q in queries
        ]


@dataclass
class ToyReranker:
    """A reranker by numbers of the pair."""

    seed: int

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {"seed": self.seed}

    def fingerprint(self) -> str:
        return f"toy-reranker-{self.seed}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        SCORED.update(pairs)
        return np.array([toy_score(*pair, self.seed) for pair in pairs], dtype=np.float32)


def toy_score(query: str, text: str, seed: int = 0) -> float:
    """Return what a `ToyReranker` gives a pair: one of few values."""
    return numbers(f"{query}|{text}", seed, 1)[0]


class Toy:
    """Scheme of toy encoders."""

    Settings = Settings

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> ToyEncoder:
        assert isinstance(settings, Settings)
        return ToyEncoder(settings.seed, settings.similarity)


class Listing:
    """Scheme of toy rankers."""

    Settings = Settings

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> ToyRanker:
        assert isinstance(settings, Settings)
        return ToyRanker(settings.seed, short=locator == "short")


class Reading:
    """Scheme of toy rerankers."""

    Settings = Settings

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> object:
        assert isinstance(settings, Settings)
        return "no reranker" if locator == "broken" else ToyReranker(settings.seed)


POINTS = (
    EntryPoint("toy", f"{__name__}:Toy", entry_points.RETRIEVERS),
    EntryPoint("listing", f"{__name__}:Listing", entry_points.RETRIEVERS),
    EntryPoint("reading", f"{__name__}:Reading", entry_points.RERANKERS),
)


def install(patch: pytest.MonkeyPatch) -> None:
    """Make the schemes known as if they were installed, and forget what was counted."""
    genuine = entry_points.installed
    patch.setattr(entry_points, "installed", lambda group: [*genuine(group), *(p for p in POINTS if p.group == group)])
    ENCODED.clear()
    SCORED.clear()
