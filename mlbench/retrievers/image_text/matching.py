"""Re-ranking by image-text matching: the heads of BLIP and ALBEF, which read an image and a text together."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers.batching import image_batches, token_batches
from mlbench.retrievers.image_text.encoder import require_images
from mlbench.retrievers.image_text.towers import Features, Towers, check_kind, find_towers, read_towers
from mlbench.retrievers.load_checkpoint import DType, LoadOptions

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, ModuleList

OPENERS: dict[str, tuple[str, str]] = {
    "blip": ("mlbench.retrievers.image_text.blip", "open_blip_matcher"),
    "albef": ("mlbench.retrievers.image_text.albef", "open_albef_matcher"),
}
_MEGABYTE = 2**20
_MAX_TEXTS = 512
# Texts of one image: its patches are projected once for all of them, so wide batches pay off everywhere.
_MAX_ROWS = 512


@dataclass(frozen=True)
class Matcher:
    """What says how well a text fits an image, both read together.

    `encode_image` takes what `towers.image.prepare` returns and gives the states of images, (images, patches + 1,
    width), from which `project` gives the vectors (images, dim) that `towers.image.embed` returns. `encode_text`
    computes the features of tokenised texts, which do not depend on the image; the first two axes of each are (texts,
    longest), and `project_text` gives the vectors (texts, dim) from them. `match` takes those and the states of one
    image, (1, patches + 1, width), or of one for each text, and returns two logits, (texts, 2), the second one that of
    a match. All are on one device, that of `network`. `adds_similarity` says whether those who made the model add the
    cosine of both towers to the logit.
    """

    network: "Module"
    towers: Towers
    encode_image: Callable[[Features], "Tensor"]
    project: Callable[["Tensor"], "Tensor"]
    encode_text: Callable[[Features], Features]
    project_text: Callable[[Features], "Tensor"]
    match: Callable[[Features, "Tensor"], "Tensor"]
    adds_similarity: bool


Opener = Callable[[Path, LoadOptions, int | None], Matcher]
"""Returns the matcher of a checkpoint's folder; raises as an `Opener` of towers does."""


def open_matcher(folder: Path, options: LoadOptions, max_length: int | None) -> Matcher:
    """Return the matcher of a checkpoint's folder; raises `RetrieverError` as an `Opener` does."""
    kind = check_kind(folder, options)
    if kind not in OPENERS:
        known = " and ".join(sorted(OPENERS))
        raise RetrieverError(f"{folder}: a {kind or 'model of no known kind'} reads no pairs: {known} checkpoints do")
    module, name = OPENERS[kind]
    return cast(Opener, getattr(import_module(module), name))(folder, options, max_length)


def fuse(layers: "ModuleList", texts: "Tensor", attention_mask: "Tensor", image: "Tensor") -> "Tensor":
    """Return the states (texts, longest, width) of texts that have looked at an image, after all `layers`.

    `layers` are a BERT's, with cross-attention; `texts` are (texts, longest, width), `attention_mask` is 0 at padding,
    and `image` is (1, patches + 1, width), the same for all texts, or (texts, patches + 1, width).
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    ignored = (attention_mask == 0)[:, None, None, :]
    mask = torch.zeros_like(ignored, dtype=texts.dtype).masked_fill_(ignored, torch.finfo(texts.dtype).min)

    def heads(states: "Tensor", size: int) -> "Tensor":
        return states.reshape(len(image), -1, states.shape[-1] // size, size).transpose(1, 2)

    for layer in layers:
        texts, _ = layer.attention(texts, attention_mask=mask)
        cross = layer.crossattention.self
        size = cross.attention_head_size
        # Tokens of texts that look at the same patches are one sequence, so that these are projected once.
        seen = scaled_dot_product_attention(
            heads(cross.query(texts), size), heads(cross.key(image), size), heads(cross.value(image), size)
        )
        texts = layer.crossattention.output(seen.transpose(1, 2).reshape(texts.shape), texts)
        texts = layer.feed_forward_chunk(texts)
    return texts


class TextFeatureCache:
    """Features of distinct texts, which do not depend on the image; `lengths` are their tokens, int64 (texts,).

    They are computed once, the longest texts first, as long as there is memory for them; else anew when asked for.
    """

    def __init__(self, matcher: Matcher, texts: Sequence[str], use: "Matching.Settings", *, similarity: bool) -> None:
        """Read `texts`, and with `similarity` compute their vectors as well."""
        self._matcher = matcher
        self._rows = matcher.towers.text.tokenise(texts)
        self.lengths: NDArray[np.int64] = self._rows["attention_mask"].sum(dim=1).numpy()
        batches = list(token_batches(self.lengths, use.batch_tokens, _MAX_TEXTS))
        self._vectors = self._embed(batches) if similarity else None
        if use.matching_token is not None:
            self._rows["input_ids"][:, 0] = use.matching_token
        self._cached = self._compute_all(batches, use.text_memory * _MEGABYTE)

    def features(self, numbers: NDArray[np.int64]) -> Features:
        """Return what `Matcher.encode_text` makes of the texts with these `numbers`, padded to the longest of them."""
        from torch.nn.utils.rnn import pad_sequence

        rows = [self._cached.get(number) for number in numbers.tolist()]
        found = [row for row in rows if row is not None]
        if len(found) < len(rows):
            return self._matcher.encode_text(self._tokens(numbers))
        return {name: pad_sequence([row[name] for row in found], batch_first=True) for name in found[0]}

    def vectors(self, numbers: NDArray[np.int64]) -> "Tensor":
        """Return the vectors (texts, dim) of the texts with these `numbers`, in float32."""
        import torch

        assert self._vectors is not None
        return self._vectors[torch.from_numpy(numbers).to(self._vectors.device)]

    def _compute_all(self, batches: Sequence[NDArray[np.int64]], memory: int) -> dict[int, Features]:
        cached: dict[int, Features] = {}
        for numbers in batches:
            features = self._matcher.encode_text(self._tokens(numbers))
            memory -= sum(tensor.nbytes for tensor in features.values())
            if memory < 0:
                break
            for row, number in enumerate(numbers.tolist()):
                # Copies, as a view would keep the padding of its whole batch.
                cached[number] = {
                    name: tensor[row, : self.lengths[number]].clone() for name, tensor in features.items()
                }
        return cached

    def _embed(self, batches: Sequence[NDArray[np.int64]]) -> "Tensor":
        import torch

        embedded = [self._matcher.towers.text.embed(self._tokens(numbers)).float() for numbers in batches]
        order = torch.from_numpy(np.argsort(np.concatenate(batches)))
        return torch.cat(embedded)[order.to(embedded[0].device)]

    def _tokens(self, numbers: NDArray[np.int64]) -> Features:
        import torch

        longest = int(self.lengths[numbers].max())
        index = torch.from_numpy(numbers)
        rows = {name: tensor[index][:, :longest] for name, tensor in self._rows.items()}
        return to_device(rows, self._matcher.towers.device)


def to_device(features: Features, device: str) -> Features:
    """Return `features` on `device`."""
    return {name: tensor.to(device) for name, tensor in features.items()}


class Matching:
    """The matching head of BLIP or ALBEF, which reads an image and a text together (path or hub id)."""

    extra = "images"
    libraries = ("torch", "transformers", "sentence_transformers", "PIL")

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of a reranker of images and texts; what is not set comes from the checkpoint."""

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
        files, digest = read_towers(folder, settings.tokenizer)
        matcher = open_matcher(folder, options, settings.max_length)
        files.check()
        loaded: dict[str, Parameter] = {
            "allow_pickle": runtime.allow_pickle,
            "trust_remote_code": runtime.trust_remote_code,
        }
        return MatchingReranker(matcher, digest, settings, loaded, files, threads=runtime.threads)


class MatchingReranker:
    """The logits of a matching head; `images` counts those it has looked at."""

    reads_images = True

    def __init__(
        self,
        matcher: Matcher,
        digest: str,
        settings: Matching.Settings,
        loaded: Mapping[str, Parameter],
        files: WatchedFiles,
        *,
        threads: int | None = None,
    ) -> None:
        self.images, self._threads, self._files = 0, threads, files
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

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._files.check()

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
            texts = TextFeatureCache(self._matcher, list(numbers), self._settings, similarity=self._adds)
            for image, states in self._looked_at(list(by_image)):
                asked, rows = np.array(by_image[image]).T
                vector = self._matcher.project(states)[0] if self._adds else None
                for batch in token_batches(texts.lengths[asked], self._settings.batch_tokens, _MAX_ROWS):
                    logits = self._matcher.match(texts.features(asked[batch]), states)[:, 1].float()
                    if vector is not None:
                        logits += texts.vectors(asked[batch]) @ vector.float()
                    scores[rows[batch]] = logits.cpu().numpy()
        return scores

    def _looked_at(self, images: Sequence[Image]) -> "Iterator[tuple[Image, Tensor]]":
        """Yield each image with its states, (1, patches + 1, width)."""
        size, towers = self._settings.image_batch_size, self._matcher.towers
        first = 0
        for features in image_batches([image.path for image in images], towers.image.prepare, size, self._threads):
            states = self._matcher.encode_image(to_device(features, towers.device))
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
