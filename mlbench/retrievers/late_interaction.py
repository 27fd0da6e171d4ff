"""Late interaction: a text is one vector for each token, and each token of a query finds its best match (ColBERT)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.embeddings.exact import grid_dot
from mlbench.errors import RetrieverError
from mlbench.protocols import Role, Runtime
from mlbench.retrievers.checkpoint_folder import read_files, read_json
from mlbench.retrievers.dense import require_torch
from mlbench.retrievers.kinds import architectures, check_kind, is_of_kind
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
        model = load_as(folder, options, MultiVectorEncoder, warnings)
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

    Dividing by the number of the query's tokens, as MeanMaxSim does, changes no order and is left out.
    """

    def encode(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        """Return float32 (tokens, dim) for each text, as the library's own encoding does."""
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        encoded = encode(list(texts), prompt=self._prompts[role], batch_size=self._batch_size, show_progress_bar=False)
        vectors = [tokens.float().cpu().numpy() for tokens in encoded]
        for text, tokens in zip(texts, vectors, strict=True):
            if not np.isfinite(tokens).all():
                raise RetrieverError(f"the model gives NaN or infinite vectors for the {role} {text!r:.80}")
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


def _check_kind(folder: Path, locator: str) -> None:
    """Raise `RetrieverError` for a checkpoint of another kind: the library would add a layer of random weights."""
    if is_of_kind(folder, "dense"):
        raise RetrieverError(f"{folder} is no late-interaction encoder (a saved MultiVectorEncoder, PyLate or ColBERT)")
    check_kind(folder, locator, "late")
    alone = not (folder / "modules.json").is_file()
    if alone and "HF_ColBERT" not in architectures(read_json(folder / "config.json")):
        raise RetrieverError(
            f"{folder} has settings of ColBERT, and no projection that could be read: save its modules, or name the "
            "architecture HF_ColBERT in config.json where its weights have one"
        )
