"""Re-ranking by networks that read an image and a text together: the matching heads of BLIP and ALBEF."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Runtime
from mlbench.records import Image
from mlbench.retrievers.begun_texts import BegunTexts, to_device
from mlbench.retrievers.image_batches import image_batches
from mlbench.retrievers.image_text import require_images
from mlbench.retrievers.loading import DType, LoadOptions
from mlbench.retrievers.matchers import Matcher, open_matcher
from mlbench.retrievers.token_batches import token_batches
from mlbench.retrievers.towers import digest_towers, find_towers

if TYPE_CHECKING:
    from torch import Tensor

# Texts of one image: its patches are projected once for all of them, so wide batches pay off everywhere.
_MAX_ROWS = 512


class Matching:
    """The matching head of BLIP or ALBEF, which reads an image and a text together (locator: a folder or hub id)."""

    extra = "images"
    libraries = ("torch", "transformers", "sentence_transformers", "PIL")

    class Settings(BaseModel):
        """Keys of a reranker of images and texts; what is not set comes from the checkpoint."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        max_length: int | None = Field(None, ge=1, description="tokens after which a text is cut off")
        dtype: DType = Field("fp32", description="precision of the weights")
        revision: str | None = Field(None, description="branch, tag or commit on the hub")
        add_similarity: bool | None = Field(
            None, description="add the cosine of both towers to the logit (as published: BLIP does, ALBEF does not)"
        )
        matching_token: int | None = Field(
            None, ge=0, description="number of the token put first in each text; BLIP as published: 30523, [ENC]"
        )
        image_size: int | None = Field(None, ge=1, description="side of the images in pixels (ALBEF)")
        tokenizer: str | None = Field(None, description="folder of the tokenizer, where it lies apart (ALBEF)")
        batch_tokens: int = Field(4096, ge=1, description="tokens of the texts per batch, padding included")
        image_batch_size: int = Field(8, ge=1, description="images per batch")
        text_memory: int = Field(1024, ge=0, description="megabytes for states of texts, kept while images are scored")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "MatchingReranker":
        """Load the checkpoint; raises as `ImageText.open` does, and `RetrieverError` for one without such a head."""
        assert isinstance(settings, Matching.Settings)
        require_images()
        folder = find_towers(locator, settings.revision, allow_pickle=runtime.allow_pickle)
        options = replace(
            LoadOptions.under(runtime, settings.dtype), image_size=settings.image_size, tokenizer=settings.tokenizer
        )
        matcher = open_matcher(folder, options, settings.max_length)
        loaded: dict[str, Parameter] = {
            "allow_pickle": runtime.allow_pickle,
            "trust_remote_code": runtime.trust_remote_code,
        }
        digest = digest_towers(folder, settings.tokenizer)
        return MatchingReranker(matcher, digest, settings, loaded, threads=runtime.threads)


class MatchingReranker:
    """The logits of a matching head; `images` counts those it has looked at."""

    reads_images = True

    def __init__(
        self,
        matcher: Matcher,
        digest: str,
        settings: Matching.Settings,
        loaded: Mapping[str, Parameter],
        *,
        threads: int | None = None,
    ) -> None:
        self.images, self._threads = 0, threads
        self._matcher, self._digest, self._settings, self._loaded = matcher, digest, settings, dict(loaded)
        self._adds = matcher.adds_similarity if settings.add_similarity is None else settings.add_similarity

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the scores, and how they are computed."""
        used = ("batch_tokens", "image_batch_size", "text_memory")
        return {**self._loaded, **self._identity(), **{name: getattr(self._settings, name) for name in used}}

    def fingerprint(self) -> str:
        """Return a digest of the model and of all that decides a score."""
        return sha256(json.dumps({**self._identity(), "model": self._digest}, sort_keys=True).encode()).hexdigest()

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return float32 (pairs,): the logit of a match, and the cosine of both towers where that is added.

        Each pair has an `Image` on either side. Every distinct image is looked at once, and forgotten when its pairs
        are scored; every distinct text is read once alone, as long as `text_memory` holds what comes of it. Raises
        `RetrieverError` for a pair of two texts or two images, and as `image_batches` does.
        """
        import torch

        scores = np.zeros(len(pairs), dtype=np.float32)
        numbers, by_image = _sorted_out(pairs)
        if not pairs:
            return scores
        with torch.inference_mode():
            texts = BegunTexts(self._matcher, list(numbers), self._settings, similarity=self._adds)
            for image, states in self._looked_at(list(by_image)):
                asked, rows = np.array(by_image[image]).T
                vector = self._matcher.project(states)[0] if self._adds else None
                for batch in token_batches(texts.lengths[asked], self._settings.batch_tokens, _MAX_ROWS):
                    logits = self._matcher.match(texts.begun(asked[batch]), states).float()
                    if vector is not None:
                        logits += texts.vectors(asked[batch]) @ vector.float()
                    scores[rows[batch]] = logits.cpu().numpy()
        return scores

    def _looked_at(self, images: Sequence[Image]) -> "Iterator[tuple[Image, Tensor]]":
        """Yield each image with its states, (1, patches + 1, width)."""
        size, towers = self._settings.image_batch_size, self._matcher.towers
        first = 0
        for features in image_batches([image.path for image in images], towers.image.prepare, size, self._threads):
            states = self._matcher.see(to_device(features, towers.device))
            self.images += len(states)
            for image, state in zip(images[first : first + size], states, strict=True):
                yield image, state[None]
            first += size

    def _identity(self) -> dict[str, Parameter]:
        return {
            "max_length": self._matcher.towers.text.max_length,
            "add_similarity": self._adds,
            "matching_token": self._settings.matching_token,
            "image_size": self._settings.image_size,
            "dtype": self._settings.dtype,
            "backend": "torch",
            "device": self._matcher.towers.device.partition(":")[0],
        }


def _sorted_out(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, int], dict[Image, list[tuple[int, int]]]]:
    """Return the number of each distinct text, and for each distinct image its texts' numbers with the pairs' rows."""
    numbers: dict[str, int] = {}
    by_image: dict[Image, list[tuple[int, int]]] = {}
    for row, (query, document) in enumerate(pairs):
        if isinstance(query, Image) == isinstance(document, Image):
            kind = "images" if isinstance(query, Image) else "texts"
            raise RetrieverError(f"a reranker of images and texts got two {kind}: it needs a task of captioned images")
        image, text = (query, document) if isinstance(query, Image) else (document, query)
        assert isinstance(image, Image)
        by_image.setdefault(image, []).append((numbers.setdefault(text, len(numbers)), row))
    return numbers, by_image
