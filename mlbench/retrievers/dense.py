"""Dense encoders: Sentence Transformers checkpoints and plain Hugging Face encoders, with torch."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.libraries import versions_installed
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors
from mlbench.provenance import Provenance, read_provenance
from mlbench.retrievers.backends import Backend, check_backend, use_backend
from mlbench.retrievers.batching import batch_budget, token_batches
from mlbench.retrievers.checkpoint_folder import (
    Origin,
    check_checkpoint,
    digest_files,
    find_checkpoint,
    read_files,
    saved_prompts,
)
from mlbench.retrievers.graph_files import GraphFile, find_with_graph, graph_checkpoint_files, load_graph
from mlbench.retrievers.load_checkpoint import (
    DTYPES,
    PADDED,
    DType,
    LoadOptions,
    Pooling,
    as_library,
    digest_loaded,
    digest_model,
    is_rounding,
    load,
    pooling_of,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


# Tokenizers without a limit say 10^30.
_ENDLESS = 1_000_000
LIBRARIES = (
    "numpy",
    "peft",
    "sentence-transformers",
    "sentencepiece",
    "tiktoken",
    "tokenizers",
    "torch",
    "transformers",
)
"""What tokenises and computes, as it is installed."""


@dataclass(frozen=True, slots=True)
class EncodingOptions:
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
        origin: Origin,
        use: EncodingOptions,
        *,
        loaded: Mapping[str, Parameter] | None = None,
        computed: Mapping[str, Parameter] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Begin to use `model`: `computed` is what a backend says of itself in place of what torch would.

        `warnings` are what a user should be told of how it was loaded.
        """
        self.tokens = 0
        self.warnings = tuple(warnings)
        self._model = model
        self._origin = origin
        self._loaded = dict(loaded or {})
        self._computed = dict(computed or {})
        self._prompts = saved_prompts(model.prompts, query=use.query_prompt, document=use.document_prompt)
        self.similarity: Similarity = use.similarity or _similarity(model)
        self._routed = _is_routed(model)
        budget, self._max_rows = batch_budget(model.device.type)
        self._batch_tokens = use.batch_tokens or budget
        self.dim = self._encode_by_library(["dim"], "document").shape[1]
        if model.truncate_dim is not None and model.truncate_dim > self.dim:
            raise RetrieverError(f"truncate_dim={model.truncate_dim}: the checkpoint has {self.dim} coordinates")
        self._pads = self._ignores_padding()

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
        return None if self._origin.folder is None else read_provenance(self._origin.folder)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of the model, the prompt of `role` and all that decides the vectors of a text."""
        parts = {**self._identity(), "model": self._origin.digest(), "prompt": self._prompts[role]}
        if self._routed:
            parts["role"] = role
        if self._loaded.get("trust_remote_code"):
            # The same files are another model where their own code computes it.
            parts["trust_remote_code"] = True
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return what decides how vectors are rounded: the size of batches, and versions of libraries."""
        return {"batch_tokens": self._batch_tokens, **versions_installed(LIBRARIES)}

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._origin.files.check()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), as the library's own `encode` does of each text alone.

        The difference is of rounding. The same texts in the same order are cut into the same batches and give the same
        bits.
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
            return self._encode_in_batches(features, lengths, role, padded=self._pads)

    def _tokenised(self, texts: Sequence[str], role: Role) -> "dict[str, Tensor]":
        # Tokenised by the model itself, which may strip, lower-case or wrap texts in a chat template.
        return dict(self._model.preprocess(list(texts), prompt=self._prompts[role] or None, task=role))

    def _ignores_padding(self) -> bool:
        """Say whether a text has the same vector alone and beside a longer one, but for rounding.

        It has not where a network mixes all positions, or counts them from the left while its tokenizer pads there.
        """
        import torch

        self._model.eval()
        with torch.inference_mode():
            features = self._tokenised(PADDED, "document")
            lengths = _lengths(features, 2)
            if lengths is None or lengths[0] == lengths[1]:
                return lengths is None
            alone, beside = (self._encode_in_batches(features, lengths, "document", padded=p) for p in (False, True))
        return is_rounding(beside, alone, str(self._identity()["dtype"]))

    def _encode_in_batches(
        self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], role: Role, *, padded: bool
    ) -> Vectors:
        """Return the vectors of tokenised texts; only those of one length stand in one batch unless it is `padded`."""
        import torch

        device = self._model.device
        pads_left = not bool(features["attention_mask"][:, 0].all())
        order, outputs = [], []
        for rows in token_batches(lengths, self._batch_tokens, self._max_rows, padded=padded):
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


class Dense:
    """Any Hugging Face encoder or Sentence Transformers checkpoint (path or hub id)."""

    extra = "dense"
    libraries = ("torch", "transformers", "sentence_transformers")
    example = "dense:intfloat/multilingual-e5-base --set query_prompt='query: '"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """Keys of `dense:`; what is not set comes from the checkpoint."""

        pooling: Pooling | None = Field(None, description="how token vectors become one (mean where none is saved)")
        query_prompt: str | None = Field(None, description="put before each query, with its blank, as in 'query: '")
        document_prompt: str | None = Field(None, description="put before each document, as in 'passage: '")
        max_length: int | None = Field(None, ge=1, description="tokens after which a text is cut off")
        truncate_dim: int | None = Field(None, ge=1, description="keep only the first coordinates (Matryoshka)")
        dtype: DType = Field("fp32", description="precision: bf16 is fastest where the processor knows it")
        backend: Backend = Field("torch", description="who computes the transformer; onnx and openvino on a CPU only")
        graph: str | None = Field(
            None, description="file in the folder that is computed in place of weights, as in onnx/model_quantized.onnx"
        )
        revision: str | None = Field(None, description="branch, tag or commit on the hub")
        similarity: Similarity | None = Field(None, description="how two vectors are compared: cosine or dot")
        batch_tokens: int | None = Field(None, ge=1, description="tokens per batch, padding included")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> DenseEncoder:
        """Load the checkpoint.

        Raises `MissingExtra` without torch, transformers and sentence-transformers or what the backend needs, and
        `RetrieverError` where the checkpoint cannot be found, is incomplete, pickled, broken or not finite, and where
        the backend cannot compute it.
        """
        assert isinstance(settings, Dense.Settings)
        require_torch()
        check_backend(settings.backend, settings.dtype, runtime, exports=settings.graph is None)
        backend = settings.backend if "backend" in settings.model_fields_set else None
        folder, graph = find_with_graph(
            locator, settings.revision, settings.graph, backend, allow_pickle=runtime.allow_pickle
        )
        if graph is not None:
            return _open_graph(graph, settings, runtime)
        check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
        files, digest = read_files(folder)
        options = _load_options(settings, runtime)
        model = load(folder, options, pooling=settings.pooling, max_length=settings.max_length)
        digest = digest_loaded(digest, model)
        computed = use_backend(model, settings.backend, settings.dtype, digest)
        files.check()
        loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        origin = Origin(lambda: digest, files, folder)
        return DenseEncoder(model, origin, _use(settings), loaded=loaded, computed=computed)

    @staticmethod
    def find(locator: str, revision: str | None, runtime: Runtime) -> Path:
        """Return the folder of a checkpoint, fetched where it is a hub id; raises `RetrieverError` where it is none."""
        return find_checkpoint(locator, revision, allow_pickle=runtime.allow_pickle)

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> DenseEncoder | None:
        """Return the encoder of a SentenceTransformer already built, as it is: nothing is loaded, moved or cast.

        None for any other object, and for one that encodes images too. The fingerprint is taken from its tensors each
        time it is asked for, so it follows a model in training. Raises `RetrieverError` for keys that only matter while
        loading, and for a similarity that is neither cosine nor dot.
        """
        built = as_library(model)
        if built is None or "image" in built.modalities:
            return None
        assert isinstance(settings, Dense.Settings)
        late = settings.model_fields_set - {"query_prompt", "document_prompt", "similarity", "batch_tokens"}
        if late:
            raise RetrieverError(
                f"a model in memory is taken as it is: set {', '.join(sorted(late))} where it is built"
            )
        return DenseEncoder(built, Origin(lambda: digest_model(built)), _use(settings))


def _open_graph(graph: GraphFile, settings: Dense.Settings, runtime: Runtime) -> DenseEncoder:
    """Return the encoder of a checkpoint whose transformer is a graph; raises as `Dense.open` does."""
    check_backend(graph.backend, settings.dtype, runtime, exports=False)
    found = graph_checkpoint_files(graph)
    files, digest = WatchedFiles(found.values()), digest_files(found)
    options = LoadOptions.under(runtime, settings.dtype, truncate_dim=settings.truncate_dim)
    model = load_graph(graph, options, pooling=settings.pooling, max_length=settings.max_length)
    files.check()
    loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
    chosen = f"no weights for torch: {graph.name} is computed by {graph.backend}"
    return DenseEncoder(
        model,
        Origin(lambda: digest, files, graph.folder),
        _use(settings),
        loaded=loaded,
        computed={**graph.computed, "dtype": settings.dtype},
        warnings=() if settings.graph else (chosen,),
    )


def require_torch() -> None:
    """Raise `MissingExtra` where a library of dense encoders is not installed; imports none of them."""
    # Spinning threads of OpenMP made torch 8 times slower beside another process; it reads this once, when imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if any(find_spec(library) is None for library in Dense.libraries):
        raise MissingExtra("dense encoders", Dense.extra)


def _use(settings: Dense.Settings) -> EncodingOptions:
    return EncodingOptions(settings.query_prompt, settings.document_prompt, settings.similarity, settings.batch_tokens)


def _load_options(settings: Dense.Settings, runtime: Runtime) -> LoadOptions:
    # A graph is made of float32 and computed on the processor, whatever precision and machine there is.
    torch = settings.backend == "torch"
    return LoadOptions(
        dtype=settings.dtype if torch else "fp32",
        truncate_dim=settings.truncate_dim,
        device=runtime.device if torch else "cpu",
        threads=runtime.threads,
        allow_pickle=runtime.allow_pickle,
        trust_remote_code=runtime.trust_remote_code,
    )
