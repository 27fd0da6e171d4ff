"""A retriever ready to be measured, and what the result says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mlbench.errors import DataError
from mlbench.protocols import Encoder, Progress, Retriever, Role, Runtime, Seeing
from mlbench.provenance import Provenance
from mlbench.results import RetrieverInfo
from mlbench.specs import open_retriever
from mlbench.store import Store


@dataclass(frozen=True)
class Source:
    """How to open a retriever, here or in another process; what is opened may differ where files do."""

    spec: str
    settings: Mapping[str, str]
    runtime: Runtime

    def open(self) -> Retriever:
        """Open it; raises what `open_retriever` raises."""
        return open_retriever(self.spec, self.settings, self.runtime)


@dataclass(frozen=True)
class Opened:
    """A retriever that is ready, the spec that the result will name, and how it was trained, where that is known.

    `source` says how another process can open it too; None for an object that somebody made.
    """

    retriever: Retriever
    spec: str
    training: Provenance | None = None
    source: Source | None = None

    def info(self) -> RetrieverInfo:
        """Return what the result says of the retriever."""
        retriever = self.retriever
        if not isinstance(retriever, Encoder):
            return RetrieverInfo(
                spec=self.spec,
                kind="ranker",
                fingerprint=retriever.fingerprint(),
                parameters=retriever.parameters,
                training=self.training,
            )
        parts = fingerprints_of(retriever)
        # The same vectors compared in another way are another retriever, with results of its own name.
        parts += [] if retriever.similarity == "cosine" else [retriever.similarity]
        return RetrieverInfo(
            spec=self.spec,
            kind="encoder",
            fingerprint=sha256("\n".join(parts).encode()).hexdigest(),
            dim=retriever.dim,
            similarity=retriever.similarity,
            parameters=retriever.parameters,
            training=self.training,
        )

    def store(self, cache: Path, progress: Progress) -> Store:
        """Return where its vectors are kept, in the cache folder `cache`."""
        return Store(cache, progress, {"retriever": self.spec, "parameters": self.retriever.parameters})

    def tokens(self) -> int:
        """Return what an encoder that counts tokens has encoded since it was opened; 0 for any other."""
        return tokens_of(self.retriever)


def fingerprints_of(encoder: Encoder) -> list[str]:
    """Return the encoder's fingerprints in all roles that it may be asked for."""
    roles: tuple[Role, ...] = ("query", "document", "image") if sees(encoder) else ("query", "document")
    return [encoder.fingerprint(role) for role in roles]


def sees(retriever: object) -> bool:
    """Say whether a retriever or reranker may be given images."""
    return isinstance(retriever, Seeing) and retriever.reads_images


def tokens_of(retriever: Retriever) -> int:
    """Return what an encoder that counts tokens has encoded since it was opened; 0 for any other."""
    tokens = getattr(retriever, "tokens", 0)
    return tokens if isinstance(tokens, int) else 0


def training_of(retriever: Retriever, progress: Progress) -> Provenance | None:
    """Return what a retriever that is `Trained` says; damage to it is a warning and fails no run."""
    try:
        training = getattr(retriever, "provenance", None)
    except DataError as error:
        progress.note(f"warning: {error}; the result does not say how the model was trained")
        return None
    return training if isinstance(training, Provenance) else None
