"""A retriever ready to be measured, and what the result says of it."""

from dataclasses import dataclass
from hashlib import sha256

from mlbench.errors import DataError
from mlbench.protocols import Encoder, Progress, Retriever
from mlbench.provenance import Provenance
from mlbench.results import RetrieverInfo


@dataclass(frozen=True)
class Opened:
    """A retriever that is ready, the spec that the result will name, and how it was trained, where that is known."""

    retriever: Retriever
    spec: str
    training: Provenance | None = None

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
        parts = [retriever.fingerprint(role) for role in ("query", "document")]
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

    def tokens(self) -> int:
        """Return what an encoder that counts tokens has encoded since it was opened; 0 for any other."""
        tokens = getattr(self.retriever, "tokens", 0)
        return tokens if isinstance(tokens, int) else 0


def training_of(retriever: Retriever, progress: Progress) -> Provenance | None:
    """Return what a retriever that is `Trained` says; damage to it is a warning and fails no run."""
    try:
        training = getattr(retriever, "provenance", None)
    except DataError as error:
        progress.note(f"warning: {error}; the result does not say how the model was trained")
        return None
    return training if isinstance(training, Provenance) else None
