"""Learned sparse retrieval: a text is a weighted bag of the vocabulary's words, as SPLADE makes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.embeddings.exact import grid_steps
from mlbench.errors import RetrieverError
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime
from mlbench.retrievers.checkpoint_folder import described_by, read_files, read_json
from mlbench.retrievers.dense import require_torch
from mlbench.retrievers.kinds import architectures, check_kind, is_of_kind
from mlbench.retrievers.load_checkpoint import digest_loaded, load_as
from mlbench.retrievers.registered import apply_registry
from mlbench.retrievers.token_scores import Floats, TextLists, TextSettings, find

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder
    from torch import Tensor


# Cells of the dense block of queries that all documents are multiplied with.
_CELLS = 2**24


class Sparse:
    """Learned sparse encoders such as SPLADE (path or hub id)."""

    extra = "dense"
    libraries = ("torch", "transformers", "sentence_transformers")
    example = "sparse:naver/splade-v3"

    class Settings(TextSettings):
        """Keys of `sparse:`; what is not set comes from the checkpoint."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "SparseLists":
        """Load the checkpoint; raises as `Dense.open` does, and for a model that is not sparse."""
        assert isinstance(settings, Sparse.Settings)
        require_torch()
        folder, options = find(locator, settings, runtime)
        _check_kind(folder, locator)
        registered = apply_registry(settings, locator, folder)
        from sentence_transformers import SparseEncoder

        files, digest = read_files(folder)
        warnings: list[str] = []
        model = load_as(folder, options, SparseEncoder, warnings)
        files.check()
        if model.similarity_fn_name not in ("dot", "cosine"):
            raise RetrieverError(f"{folder} compares vectors by {model.similarity_fn_name}: only dot and cosine can be")
        loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        lists = SparseLists(model, digest_loaded(digest, model), registered.settings, loaded, files)
        lists.warnings = (*lists.warnings, *warnings)
        lists.registry = registered.info
        return lists

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say whether a sparse encoder was saved in the folder; a masked language model alone may be anything."""
        return is_of_kind(folder, "sparse")


@dataclass(frozen=True, eq=False)
class Bag:
    """The words of a text, int64 (n,), and their weights, float64 (n,), on the grid of the text."""

    words: NDArray[np.int64]
    weights: Floats


class SparseLists(TextLists[Bag]):
    """The lists of a sparse encoder: all documents by the inner product of the bags."""

    def __init__(
        self,
        model: "SparseEncoder",
        digest: str,
        settings: TextSettings,
        loaded: Mapping[str, Parameter],
        files: WatchedFiles,
    ) -> None:
        kind = {"similarity": str(model.similarity_fn_name), "max_active_dims": model.max_active_dims}
        super().__init__(model, digest, settings, {**loaded, **kind}, files)

    def encode(self, texts: Sequence[str], role: Role) -> list[Bag]:
        """Return the bags of `texts`, as the library's own encoding gives them but for the rounding to the grid."""
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        # On the CPU, since not every device knows sparse tensors.
        matrix = encode(
            list(texts),
            prompt=self._prompts[role],
            batch_size=self._batch_size,
            show_progress_bar=False,
            save_to_cpu=True,
        ).coalesce()
        rows, words = matrix.indices().numpy()
        if matrix.shape[1] != self._model.get_embedding_dimension():
            raise RetrieverError(
                f"the model weighs {matrix.shape[1]:,} words in the {role} and "
                f"{self._model.get_embedding_dimension():,} elsewhere, so that nothing can be compared"
            )
        weights = matrix.values().float().numpy().astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(weights))
        if len(wrong):
            raise RetrieverError(
                f"the model gives NaN or infinite weights for the {role} {texts[rows[wrong[0]]]!r:.80}"
            )
        edges = np.searchsorted(rows, np.arange(len(texts) + 1))
        cosine = self._model.similarity_fn_name == "cosine"
        return [_bag(words[low:high], weights[low:high], cosine=cosine) for low, high in pairwise(edges)]

    def scorer(self, documents: Sequence[Bag]) -> Callable[[Sequence[Bag]], Floats]:
        """Return what gives the inner products of queries with `documents`, float64 (queries, documents), exact."""
        import torch

        size = self._model.get_embedding_dimension()
        assert size is not None
        corpus = _matrix(documents, size)

        def score(queries: Sequence[Bag]) -> Floats:
            scores = np.empty((len(queries), len(documents)))
            step = max(1, _CELLS // size)
            for start in range(0, len(queries), step):
                block = _matrix(queries[start : start + step], size).to_dense()
                scores[start : start + step] = torch.sparse.mm(corpus, block.T.contiguous()).T.numpy()
            return scores

        return score


def _bag(words: NDArray[np.int64], weights: Floats, *, cosine: bool) -> Bag:
    length = np.linalg.norm(weights)
    if cosine and length > 0:
        weights, length = weights / length, np.float64(1.0)
    step = grid_steps(np.array([length]))[0]
    return Bag(words, np.rint(weights / step) * step)


def _matrix(bags: Sequence[Bag], size: int) -> "Tensor":
    """Return bags as a sparse float64 matrix (bags, size)."""
    import torch

    rows = np.repeat(np.arange(len(bags)), [len(bag.words) for bag in bags])
    words = np.concatenate([bag.words for bag in bags]) if bags else np.zeros(0, dtype=np.int64)
    weights = np.concatenate([bag.weights for bag in bags]) if bags else np.zeros(0)
    indices = torch.from_numpy(np.stack((rows, words)))
    return torch.sparse_coo_tensor(
        indices, torch.from_numpy(weights), (len(bags), size), is_coalesced=True, check_invariants=False
    )


def _check_kind(folder: Path, locator: str) -> None:
    """Raise `RetrieverError` for a checkpoint of another kind: the library would add a layer of random weights."""
    folder = described_by(folder)
    saved, config = (read_json(folder / name) for name in ("config_sentence_transformers.json", "config.json"))
    if saved.get("model_type") == "SparseEncoder":
        return
    if not is_of_kind(folder, "dense"):
        check_kind(folder, locator, "sparse")
        raise RetrieverError(
            f"{folder} has modules of a sparse encoder and no config_sentence_transformers.json of a SparseEncoder, "
            "without which a layer would be added: save the model again"
        )
    masked = any(name.endswith("ForMaskedLM") for name in architectures(config))
    if not masked or (folder / "modules.json").is_file():
        raise RetrieverError(f"{folder} is no sparse encoder (a saved SparseEncoder, or a masked language model)")
