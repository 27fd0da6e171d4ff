"""The encoder of an image-text model: texts and images become vectors of one space."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Role, Similarity, Vectors
from mlbench.provenance import Provenance, read_provenance
from mlbench.records import Image
from mlbench.retrievers.tower_encoders import TowerImages


class Texts(Protocol):
    """What encodes the texts: a text tower, or a dense encoder that was trained for the images' space."""

    dim: int
    tokens: int

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        ...

    def fingerprint(self, role: Role) -> str:
        """Return a digest of all that decides the vectors of texts in `role`."""
        ...

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 (len(texts), dim)."""
        ...


class ImageTextEncoder:
    """The vectors of texts, each behind the same prefix, and those of images, compared by their cosine."""

    similarity: Similarity = "cosine"
    reads_images = True

    def __init__(
        self,
        texts: Texts,
        images: TowerImages,
        prefix: str,
        *,
        loaded: Mapping[str, Parameter] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Join both; raises `RetrieverError` where their vectors have different numbers of coordinates."""
        if texts.dim != images.dim:
            raise RetrieverError(
                f"texts get {texts.dim} coordinates, images {images.dim}: "
                "name a text and an image tower that were trained for one space"
            )
        self.dim = texts.dim
        self._texts, self._images, self._prefix = texts, images, prefix
        self._loaded, self._folder = dict(loaded or {}), folder

    @property
    def tokens(self) -> int:
        """How many tokens of texts it has encoded, padding excluded."""
        return self._texts.tokens

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        used = {"text_prefix": self._prefix, "similarity": self.similarity}
        return {**self._loaded, **self._images.parameters, **self._texts.parameters, **used}

    @property
    def provenance(self) -> Provenance | None:
        """How the checkpoint was trained, where its folder says so; raises `DataError` where that is damaged."""
        return None if self._folder is None else read_provenance(self._folder)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of all that decides the vectors of texts in `role`, or of images."""
        if role == "image":
            return self._images.fingerprint()
        return sha256(f"{self._texts.fingerprint(role)}\x1f{self._prefix}".encode()).hexdigest()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), as the libraries do but for rounding.

        In the role image, `texts` are `Image`s. The same texts or images in the same order are cut into the same
        batches and give the same bits; beside others, an image may differ by rounding.
        """
        if role == "image":
            return self._images.encode([image.path for image in texts if isinstance(image, Image)])
        return self._texts.encode([self._prefix + text for text in texts], role)
