"""The encoder of a loaded model: prompts, batches by token budget, and vectors in the order of the texts."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Role, Similarity, Vectors
from mlbench.provenance import Provenance, read_provenance
from mlbench.retrievers.checkpoint import saved_prompts
from mlbench.retrievers.loading import DTYPES, pooling_of
from mlbench.retrievers.token_batches import batch_budget, token_batches

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

# Tokenizers without a limit say 10^30.
_ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class Use:
    """How a model is used; `None` takes what the checkpoint says."""

    query_prompt: str | None = None
    document_prompt: str | None = None
    similarity: Similarity | None = None
    batch_tokens: int | None = None


class DenseEncoder:
    """A Sentence Transformers model as an encoder; `tokens` counts what it has encoded, padding excluded."""

    def __init__(
        self,
        model: "SentenceTransformer",
        digest: Callable[[], str],
        use: Use,
        *,
        loaded: Mapping[str, Parameter] | None = None,
        computed: Mapping[str, Parameter] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Begin to use `model`: `computed` is what a backend says of itself in place of what torch would."""
        self.tokens = 0
        self._model = model
        self._digest = digest
        self._loaded = dict(loaded or {})
        self._computed = dict(computed or {})
        self._folder = folder
        self._prompts = saved_prompts(model.prompts, query=use.query_prompt, document=use.document_prompt)
        self.similarity: Similarity = use.similarity or _similarity(model)
        self._routed = _is_routed(model)
        budget, self._max_rows = batch_budget(model.device.type)
        self._batch_tokens = use.batch_tokens or budget
        self.dim = self._encode_by_library(["dim"], "document").shape[1]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        return {
            **self._loaded,
            **self._identity(),
            "query_prompt": self._prompts["query"],
            "document_prompt": self._prompts["document"],
            "similarity": self.similarity,
            "batch_tokens": self._batch_tokens,
        }

    @property
    def provenance(self) -> Provenance | None:
        """How the checkpoint was trained, where its folder says so; raises `DataError` where that is damaged."""
        return None if self._folder is None else read_provenance(self._folder)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of the model, the prompt of `role` and all that decides the vectors of a text."""
        parts = {**self._identity(), "model": self._digest(), "prompt": self._prompts[role]}
        if self._routed:
            parts["role"] = role
        if self._loaded.get("trust_remote_code"):
            # The same files are another model where their own code computes it.
            parts["trust_remote_code"] = True
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), as the library's own `encode` does but for rounding.

        The same texts in the same order are cut into the same batches and give the same bits.
        """
        import torch

        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        self._model.eval()
        with torch.inference_mode():
            features = self._tokenised(texts, role)
            lengths = _lengths(features, len(texts))
            if lengths is None:
                return self._encode_by_library(texts, role)
            self.tokens += int(lengths.sum())
            return self._encode_in_batches(features, lengths, role)

    def _tokenised(self, texts: Sequence[str], role: Role) -> "dict[str, Tensor]":
        # Tokenised by the model itself, which may strip, lower-case or wrap texts in a chat template.
        return dict(self._model.preprocess(list(texts), prompt=self._prompts[role] or None, task=role))

    def _encode_in_batches(self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], role: Role) -> Vectors:
        import torch

        device = self._model.device
        pads_left = not bool(features["attention_mask"][:, 0].all())
        order, outputs = [], []
        for rows in token_batches(lengths, self._batch_tokens, self._max_rows):
            width = int(lengths[rows[0]])
            kept = slice(-width, None) if pads_left else slice(width)
            index = torch.from_numpy(rows)
            batch = {
                name: value[index][:, kept].to(device) if isinstance(value, torch.Tensor) else value
                for name, value in features.items()
            }
            outputs.append(self._model(batch, task=role)["sentence_embedding"][:, : self._model.truncate_dim])
            order.append(rows)
        vectors = np.empty((len(lengths), self.dim), dtype=np.float32)
        vectors[np.concatenate(order)] = torch.cat(outputs).float().cpu().numpy()
        return vectors

    def _encode_by_library(self, texts: Sequence[str], role: Role) -> Vectors:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = encode(list(texts), prompt=self._prompts[role], show_progress_bar=False, convert_to_tensor=True)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _identity(self) -> dict[str, Parameter]:
        names = {name: short for short, name in DTYPES.items()}
        # Where a graph stands in for the transformer, no weights may be left.
        dtype = next((str(weight.dtype).removeprefix("torch.") for weight in self._model.parameters()), "float32")
        max_length = self._model.max_seq_length
        return {
            "pooling": pooling_of(self._model),
            "max_length": None if max_length is None or max_length > _ENDLESS else int(max_length),
            "truncate_dim": self._model.truncate_dim,
            "dtype": names.get(dtype, dtype),
            "backend": "torch",
            "device": self._model.device.type,
            **self._computed,
        }


def _lengths(features: "dict[str, Tensor]", n_texts: int) -> NDArray[np.int64] | None:
    """Return the tokens of each text, int64 (texts,); None where the features are no padded rows, one for each text."""
    import torch

    mask = features.get("attention_mask")
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2 or len(mask) != n_texts:
        return None
    if any(isinstance(value, torch.Tensor) and value.shape != mask.shape for value in features.values()):
        return None
    if not (bool(mask[:, 0].all()) or bool(mask[:, -1].all())):
        return None
    lengths: NDArray[np.int64] = mask.sum(dim=1).numpy()
    return lengths


def _is_routed(model: "SentenceTransformer") -> bool:
    """Say whether a text may get other vectors as a query than as a document, whatever the prompts."""
    import torch

    if any("task" in getattr(module, "forward_kwargs", ()) for module in model.modules()):
        return True
    query, document = (dict(model.preprocess(["dim"], task=role)) for role in ("query", "document"))
    return query.keys() != document.keys() or not all(
        torch.equal(value, document[name]) if isinstance(value, torch.Tensor) else value == document[name]
        for name, value in query.items()
    )


def _similarity(model: "SentenceTransformer") -> Similarity:
    name = model.similarity_fn_name
    if name == "cosine":
        return "cosine"
    if name == "dot":
        return "dot"
    raise RetrieverError(f"the checkpoint compares vectors by {name}: choose with --set similarity=cosine or dot")
