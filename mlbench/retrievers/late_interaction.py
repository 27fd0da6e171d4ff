"""Late interaction: a text is one vector for each token, and each token of a query finds its best match (ColBERT).

An image is one vector for each patch, among which the tokens of a text find their best matches (ColPali).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.collection.images import open_images
from mlbench.collection.records import Image
from mlbench.embeddings.exact import grid_dot
from mlbench.errors import RetrieverError
from mlbench.protocols import Role, Runtime
from mlbench.retrievers.checkpoint_folder import module_folders, read_files, read_json
from mlbench.retrievers.dense import require_torch
from mlbench.retrievers.kinds import check_kind, has_late_interaction, is_of_kind
from mlbench.retrievers.load_checkpoint import digest_loaded, load_as
from mlbench.retrievers.registered import apply_registry
from mlbench.retrievers.token_scores import Floats, TextLists, TextSettings, find

if TYPE_CHECKING:
    from torch import Tensor


Tokens = NDArray[np.float32]
# Cells of the products of a tile's tokens with a block's.
_CELLS = 2**24
_TILE_TOKENS = 2**14
# The best match of a token is rounded to a multiple of this, so that the sum over tokens is exact as well.
_STEP = 2.0**-40


class Late:
    """Late-interaction encoders such as ColBERT (path or hub id)."""

    extra = "dense"
    libraries = ("torch", "transformers", "sentence_transformers")
    example = "late:lightonai/GTE-ModernColBERT-v1"

    class Settings(TextSettings):
        """Keys of `late:`; what is not set comes from the checkpoint."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "LateLists":
        """Load the checkpoint; raises as `Dense.open` does, and for a model of one vector for each text."""
        assert isinstance(settings, Late.Settings)
        require_torch()
        folder, options = find(locator, settings, runtime)
        _check_kind(folder, locator)
        registered = apply_registry(settings, locator, folder)
        from sentence_transformers import MultiVectorEncoder

        files, digest = read_files(folder)
        warnings: list[str] = []
        # The library's other image processor, where it is installed, resizes images a little otherwise.
        seeing = {"processor_kwargs": {"backend": "pil"}} if _reads_images(folder) else {}
        model = load_as(folder, options, partial(MultiVectorEncoder, **seeing), warnings)
        files.check()
        loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        lists = LateLists(model, digest_loaded(digest, model), registered.settings, loaded, files)
        lists.warnings = (*lists.warnings, *warnings)
        lists.registry = registered.info
        return lists

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say whether a MultiVectorEncoder, PyLate or ColBERT saved the folder."""
        return is_of_kind(folder, "late")


class LateLists(TextLists[Tokens]):
    """The lists of a late-interaction encoder: all documents by the sum over the query's tokens of the best match.

    Dividing by the number of the query's tokens, as MeanMaxSim does, changes no order and is left out. Of a text and an
    image, the text is the query, whichever is asked for the other.
    """

    @property
    def reads_images(self) -> bool:
        """Whether it may be given images."""
        return "image" in self._model.modalities

    def score_rows(self, queries: Sequence[str], documents: Sequence[str]) -> Callable[[slice], Floats]:
        """Return what gives the scores of some of the queries against all documents, float64 (queries, documents)."""
        if not (queries and isinstance(queries[0], Image)):
            return super().score_rows(queries, documents)
        seen, asked = self.encode_once(queries, "document"), self.encode_once(documents, "query")
        return lambda rows: self.scorer(seen[rows])(asked).T

    def encode(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        """Return float32 (tokens or patches, dim) for each text or image, as the library's own encoding does."""
        if texts and isinstance(texts[0], Image):
            return self._see([image.path for image in texts if isinstance(image, Image)])
        role = "query" if self.reads_images else role
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        encoded = encode(list(texts), prompt=self._prompts[role], batch_size=self._batch_size, show_progress_bar=False)
        vectors = [tokens.float().cpu().numpy() for tokens in encoded]
        for text, tokens in zip(texts, vectors, strict=True):
            if not np.isfinite(tokens).all():
                raise RetrieverError(f"the model gives NaN or infinite vectors for the {role} {text!r:.80}")
        return vectors

    def _see(self, paths: Sequence[Path]) -> list[Tokens]:
        images, vectors = open_images(paths), list[Tokens]()
        while batch := list(islice(images, self._batch_size)):
            encoded = self._model.encode_document(batch, batch_size=self._batch_size, show_progress_bar=False)
            vectors += [patches.float().cpu().numpy() for patches in encoded]
        for path, patches in zip(paths, vectors, strict=True):
            if not np.isfinite(patches).all():
                raise RetrieverError(f"the model gives NaN or infinite vectors for the image {path}")
        return vectors

    def scorer(self, documents: Sequence[Tokens]) -> Callable[[Sequence[Tokens]], Floats]:
        """Return what gives the scores of queries against `documents`, float64 (queries, documents), exact.

        A document without tokens comes after all others.
        """
        # What is exact is the same everywhere; a device without float64 leaves it to the CPU.
        device = str(self._model.device) if self._model.device.type == "cuda" else "cpu"
        edges = _tiles([len(tokens) for tokens in documents])

        def score(queries: Sequence[Tokens]) -> Floats:
            scores = np.empty((len(queries), len(documents)))
            for low, high in edges:
                corpus, sizes = _stack(documents[low:high], device)
                step = max(1, _CELLS // max(len(corpus) * max(map(len, queries), default=1), 1))
                for start in range(0, len(queries), step):
                    block = queries[start : start + step]
                    scores[start : start + step, low:high] = _best_matches(_stack(block, device), corpus, sizes)
            return scores

        return score


def _best_matches(queries: "tuple[Tensor, Tensor]", corpus: "Tensor", sizes: "Tensor") -> Floats:
    """Return float64 (queries, documents): the sums over a query's tokens of their largest product in a document."""
    import torch

    tokens, lengths = queries
    best = torch.segment_reduce(corpus @ tokens.T, "max", lengths=sizes, axis=0)
    summed = torch.segment_reduce((torch.round(best / _STEP) * _STEP).T.contiguous(), "sum", lengths=lengths, axis=0)
    scores: Floats = summed.cpu().numpy()
    return scores


def _stack(texts: Sequence[Tokens], device: str) -> "tuple[Tensor, Tensor]":
    """Return the tokens of all texts below each other, on the grid, and how many each text has."""
    import torch

    rows = grid_dot(np.concatenate(texts))
    sizes = torch.tensor([len(tokens) for tokens in texts], device=device)
    return torch.from_numpy(rows).to(device), sizes


def _tiles(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Cut texts of so many tokens into neighbouring groups of about as many tokens each."""
    ends = np.cumsum(sizes, dtype=np.int64) // _TILE_TOKENS
    cuts = [0, *(np.flatnonzero(np.diff(ends)) + 1).tolist(), len(sizes)]
    return [(low, high) for low, high in pairwise(cuts) if high > low]


def _reads_images(folder: Path) -> bool:
    """Say whether a checkpoint has an image processor."""
    place = module_folders(folder)[0]
    apart = (place / "preprocessor_config.json").is_file()
    return apart or "image_processor" in read_json(place / "processor_config.json")


def _check_kind(folder: Path, locator: str) -> None:
    """Raise `RetrieverError` for a checkpoint of another kind: the library would add a layer of random weights."""
    if is_of_kind(folder, "dense"):
        raise RetrieverError(f"{folder} is no late-interaction encoder (a saved MultiVectorEncoder, PyLate or ColBERT)")
    check_kind(folder, locator, "late")
    if not (folder / "modules.json").is_file() and not has_late_interaction(read_json(folder / "config.json")):
        raise RetrieverError(
            f"{folder} has settings of ColBERT, and no projection that could be read: save its modules, or name the "
            "architecture HF_ColBERT in config.json where its weights have one"
        )
