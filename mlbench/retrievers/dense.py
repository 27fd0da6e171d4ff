"""Dense encoders: Sentence Transformers checkpoints and plain Hugging Face encoders, with torch."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.libraries import versions_installed
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors
from mlbench.provenance import Provenance, RegistryInfo, read_provenance
from mlbench.retrievers.backends import Backend, check_backend, use_backend
from mlbench.retrievers.batching import batch_budget, packed_budget, token_batches
from mlbench.retrievers.checkpoint_folder import (
    Origin,
    check_checkpoint,
    described_by,
    digest_files,
    find_checkpoint,
    read_files,
    read_json,
)
from mlbench.retrievers.graph_files import GraphFile, find_with_graph, graph_checkpoint_files, load_graph
from mlbench.retrievers.kinds import check_kind
from mlbench.retrievers.load_checkpoint import (
    PADDED,
    DType,
    LoadOptions,
    Pooling,
    as_library,
    digest_loaded,
    digest_model,
    first_use,
    is_rounding,
    load,
    name_of,
    padding_probes,
    pooling_of,
    short_dtype,
)
from mlbench.retrievers.model_limits import ENDLESS, limit_of
from mlbench.retrievers.packing import Batch, Packing
from mlbench.retrievers.prompts import PromptSettings, choose_prompts
from mlbench.retrievers.registered import REGISTRY_KEY, apply_registry

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch import device as torch_device


# Of these the library leaves the prompt out of the pooling, though their folders do not say so.
_INSTRUCTOR = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")
Batching = Literal["padded", "of one length", "alone"]
"""Which texts a network may be given at once so that none changes the vector of another."""
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

    prompts: PromptSettings = field(default_factory=PromptSettings)
    similarity: Similarity | None = None
    batch_tokens: int | None = None


class DenseEncoder:
    """A Sentence Transformers model as an encoder; `tokens` counts what it has encoded, padding excluded."""

    warnings: tuple[str, ...] = ()
    """What a user should know of how it was opened."""

    def __init__(
        self,
        model: "SentenceTransformer",
        origin: Origin,
        use: EncodingOptions,
        *,
        loaded: Mapping[str, Parameter] | None = None,
        computed: Mapping[str, Parameter] | None = None,
    ) -> None:
        """Begin to use `model`: `computed` is what a backend says of itself in place of what torch would.

        Raises `RetrieverError` where it cannot encode a text, and for a similarity that is neither cosine nor dot.
        """
        self.tokens = 0
        self._model = model
        self._origin = origin
        self._loaded = dict(loaded or {})
        self.registry: RegistryInfo | None = None
        self._computed = dict(computed or {})
        chosen = choose_prompts(model.prompts, model.default_prompt_name, use.prompts)
        self._prompts, self.warnings = chosen.texts, chosen.warnings
        self._limits = {role: limit_of(model, prompt, role=role) for role, prompt in chosen.texts.items()}
        self.similarity: Similarity = use.similarity or _similarity(model)
        budget, self._max_rows = batch_budget(model.device.type)
        self._batch_tokens = use.batch_tokens or budget
        self._batching: Batching = "padded"
        self._packing = Packing.of(model)
        with first_use():
            self._routed = _is_routed(model)
            self.dim = self._encode_by_library(["dim"], "document").shape[1]
            self._batching = self._find_batching()
        if self._packing is not None and use.batch_tokens is None:
            self._batch_tokens = packed_budget(str(self._identity()["dtype"]))
        if model.truncate_dim is not None and model.truncate_dim > self.dim:
            raise RetrieverError(f"truncate_dim={model.truncate_dim}: the checkpoint has {self.dim} coordinates")

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
    def name(self) -> str | None:
        """What its card calls it, else the folder or hub id that it was loaded from; None where neither is known."""
        return name_of(self._model)

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
        """Return what decides how vectors are rounded: the batches, and versions of libraries."""
        batching = "packed" if self._packing is not None else self._batching
        return {"batch_tokens": self._batch_tokens, "batching": batching, **versions_installed(LIBRARIES)}

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._origin.files.check()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), as the library's own `encode` does of each text alone.

        The difference is of rounding. The same texts in the same order are cut into the same batches and give the same
        bits.
        """
        return self.prepare_texts(texts, role)()

    def prepare_texts(self, texts: Sequence[str], role: Role) -> Callable[[], Vectors]:
        """Tokenise `texts`; return what computes the vectors that `encode` gives, which may take another thread."""
        if not texts or not self._has_rows:
            return partial(self._encode_by_library, texts, role)
        features = self._tokenised(texts, role)
        lengths = _lengths(features, len(texts))
        if lengths is None:
            return partial(self._encode_by_library, texts, role)
        return partial(self._encode_rows, features, lengths, role)

    def _encode_rows(self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], role: Role) -> Vectors:
        import torch

        self._model.eval()
        self.tokens += int(lengths.sum())
        with torch.inference_mode():
            if self._packing is not None and self._packing.takes(features, lengths):
                return self._encode_packed(features, lengths, role, self._packing)
            return self._encode_padded(features, lengths, role, self._batching)

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text in `role` is cut off, with its prompt; None where none is."""
        return self._limits[role].tokens

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),); None where that cannot be told."""
        return self._limits[role].exceeded_by(texts)

    def _tokenised(self, texts: Sequence[str], role: Role) -> "dict[str, Tensor]":
        # Tokenised by the model itself, which may strip, lower-case or wrap texts in a chat template.
        prompt = self._prompts[role] or None
        features = dict(self._model.preprocess(list(texts), prompt=prompt, task=role))
        mask = features.get("attention_mask")
        if mask is None or mask.ndim != 2 or mask.shape[1] > 0:
            return features
        # No text has a token: each stands in one padded column, as it would beside a longer one.
        columns = self._model.preprocess([*texts, PADDED[0]], prompt=prompt, task=role)
        return {name: value[:-1, :1] if hasattr(value, "ndim") else value for name, value in columns.items()}

    def _find_batching(self) -> Batching:
        """Return the largest batches in which a text has the vector that it has alone, but for rounding.

        Padding changes it where a network mixes all positions, or counts them from the left while its tokenizer pads
        there; other texts change it where experts have a capacity.
        """
        import torch

        self._model.eval()
        texts = padding_probes(self._model)
        with torch.inference_mode():
            features = self._tokenised(texts, "document")
            lengths = _lengths(features, len(texts))
            self._has_rows = lengths is not None
            if lengths is None:
                alone = np.concatenate([self._encode_by_library([text], "document") for text in texts])
                return "padded" if self._is_same(self._encode_by_library(texts, "document"), alone) else "alone"
            alone = self._encode_padded(features, lengths, "document", "alone")
            if self._packing is not None:
                packed = self._encode_packed(features, lengths, "document", self._packing)
                self._packing = self._packing if self._is_same(packed, alone) else None
            larger: tuple[Batching, ...] = ("padded", "of one length")
            for batching in larger:
                if self._is_same(self._encode_padded(features, lengths, "document", batching), alone):
                    return batching
        return "alone"

    def _is_same(self, vectors: Vectors, alone: Vectors) -> bool:
        return is_rounding(vectors, alone, str(self._identity()["dtype"]))

    def _encode_packed(
        self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], role: Role, packing: Packing
    ) -> Vectors:
        """Return the vectors of tokenised texts that `packing` takes."""
        with packing.attention():
            return self._encode_batches(packing.batches(features, lengths, self._batch_tokens), lengths, role)

    def _encode_padded(
        self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], role: Role, batching: Batching
    ) -> Vectors:
        """Return the vectors of tokenised texts; raises `RetrieverError` where the network cannot take one."""
        return self._encode_batches(self._padded_batches(features, lengths, batching), lengths, role)

    def _encode_batches(self, batches: Iterable[Batch], lengths: NDArray[np.int64], role: Role) -> Vectors:
        import torch

        order, outputs = [], []
        for rows, batch in batches:
            try:
                output = self._model(batch, task=role)["sentence_embedding"]
            except IndexError as error:
                longest = max(int(lengths[rows[0]]), 1)
                raise RetrieverError(
                    f"the network has no vector for a token or a position of a text of {longest:,} tokens: "
                    "the tokenizer does not fit it, or max_length is too large"
                ) from error
            outputs.append(output[:, : self._model.truncate_dim])
            order.append(rows)
        vectors = np.empty((len(lengths), self.dim), dtype=np.float32)
        vectors[np.concatenate(order)] = torch.cat(outputs).float().cpu().numpy()
        return vectors

    def _padded_batches(
        self, features: "dict[str, Tensor]", lengths: NDArray[np.int64], batching: Batching
    ) -> "Iterator[Batch]":
        """Yield the batches of tokenised texts, each padded to its longest."""
        import torch

        pads_left = not bool(features["attention_mask"][lengths > 0][:, 0].all())
        features = {name: _moved(value, self._model.device) for name, value in features.items()}
        max_rows, padded = (1 if batching == "alone" else self._max_rows), batching != "of one length"
        for rows in token_batches(lengths, self._batch_tokens, max_rows, padded=padded):
            width = max(int(lengths[rows[0]]), 1)
            kept = slice(-width, None) if pads_left else slice(width)
            index = torch.from_numpy(rows).to(self._model.device)
            batch = {
                name: value[index][:, kept] if isinstance(value, torch.Tensor) else value
                for name, value in features.items()
            }
            yield rows, batch

    def _encode_by_library(self, texts: Sequence[str], role: Role) -> Vectors:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = encode(
            list(texts),
            prompt=self._prompts[role],
            batch_size=1 if self._batching == "alone" else 32,
            show_progress_bar=False,
            convert_to_tensor=True,
        )
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _identity(self) -> dict[str, Parameter]:
        # Where a graph stands in for the transformer, no weights may be left.
        dtype = next((short_dtype(weight.dtype) for weight in self._model.parameters()), "fp32")
        max_length = self._model.max_seq_length
        return {
            "pooling": pooling_of(self._model),
            "max_length": None if max_length is None or max_length > ENDLESS else int(max_length),
            "truncate_dim": self._model.truncate_dim,
            "dtype": dtype,
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
    lengths: NDArray[np.int64] = mask.sum(dim=1).numpy()
    # A text without tokens is padding from one end to the other.
    texts = mask[lengths > 0]
    return lengths if bool(texts[:, 0].all()) or bool(texts[:, -1].all()) else None


def _moved(value: "Tensor", device: "torch_device") -> "Tensor":
    """Return a feature on a device; a GPU fetches it while it computes what was asked of it before."""
    import torch

    if not isinstance(value, torch.Tensor) or device.type == "cpu":
        return value
    if device.type == "cuda":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)


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

    class Settings(PromptSettings):
        """Keys of `dense:`; what is not set comes from the checkpoint."""

        pooling: Pooling | None = Field(None, description="how token vectors become one (mean where none is saved)")
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
        registry: str = Field("true", description=REGISTRY_KEY)

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> DenseEncoder:
        """Load the checkpoint.

        Raises `MissingExtra` without torch, transformers and sentence-transformers or what the backend or an adapter
        needs, and `RetrieverError` where the checkpoint cannot be found, is of another kind, incomplete, pickled,
        broken or not finite, and where the backend cannot compute it.
        """
        assert isinstance(settings, Dense.Settings)
        require_torch()
        check_backend(settings.backend, settings.dtype, runtime, exports=settings.graph is None)
        backend = settings.backend if "backend" in settings.model_fields_set else None
        folder, graph = find_with_graph(
            locator, settings.revision, settings.graph, backend, allow_pickle=runtime.allow_pickle
        )
        check_kind(folder, locator, "dense")
        if graph is not None:
            return _open_graph(graph, locator, settings, runtime)
        check_checkpoint(folder, allow_pickle=runtime.allow_pickle)
        files, digest = read_files(folder)
        registered = apply_registry(settings, locator, folder)
        settings = registered.settings
        options = _load_options(settings, runtime)
        warnings: list[str] = []
        model = load(folder, options, pooling=settings.pooling, max_length=settings.max_length, warnings=warnings)
        known = registered.limit(model)
        digest = digest_loaded(digest, model)
        loaded: dict[str, Parameter] = {}
        if locator in _INSTRUCTOR:
            model.set_pooling_include_prompt(False)
            loaded["include_prompt"] = False
            digest = sha256(f"{digest}\x1finclude_prompt=False".encode()).hexdigest()
        computed = use_backend(model, settings.backend, settings.dtype, digest)
        files.check()
        loaded |= {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
        origin = Origin(lambda: digest, files, folder)
        encoder = DenseEncoder(model, origin, _use(settings), loaded=loaded, computed=computed)
        if settings.pooling is None:
            warnings += _guessed_pooling(folder, locator, pooling_of(model))
        encoder.warnings = (*encoder.warnings, *warnings)
        encoder.registry = known
        return encoder

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
        late = settings.model_fields_set - {*PromptSettings.model_fields, "similarity", "batch_tokens"}
        if late:
            raise RetrieverError(
                f"a model in memory is taken as it is: set {', '.join(sorted(late))} where it is built"
            )
        return DenseEncoder(built, Origin(lambda: digest_model(built)), _use(settings))


def _open_graph(graph: GraphFile, locator: str, settings: Dense.Settings, runtime: Runtime) -> DenseEncoder:
    """Return the encoder of a checkpoint whose transformer is a graph; raises as `Dense.open` does."""
    check_backend(graph.backend, settings.dtype, runtime, exports=False)
    found = graph_checkpoint_files(graph)
    files, digest = WatchedFiles(found.values()), digest_files(found)
    registered = apply_registry(settings, locator, graph.folder)
    settings = registered.settings
    options = LoadOptions.under(runtime, settings.dtype, truncate_dim=settings.truncate_dim)
    warnings: list[str] = []
    model = load_graph(graph, options, pooling=settings.pooling, max_length=settings.max_length, warnings=warnings)
    known = registered.limit(model)
    digest = digest_loaded(digest, model)
    files.check()
    loaded = {"allow_pickle": runtime.allow_pickle, "trust_remote_code": runtime.trust_remote_code}
    computed = {**graph.computed, "dtype": settings.dtype}
    origin = Origin(lambda: digest, files, graph.folder)
    encoder = DenseEncoder(model, origin, _use(settings), loaded=loaded, computed=computed)
    if settings.graph is None:
        warnings.append(f"no weights for torch: {graph.name} is computed by {graph.backend}")
    if settings.pooling is None:
        warnings += _guessed_pooling(graph.folder, locator, pooling_of(model))
    encoder.warnings = (*encoder.warnings, *warnings)
    encoder.registry = known
    return encoder


def _guessed_pooling(folder: Path, locator: str, pooling: str | None) -> list[str]:
    """Say how token vectors are pooled where a checkpoint saves no modules, and what may have been meant."""
    folder = described_by(folder)
    if pooling is None or (folder / "modules.json").is_file():
        return []
    saved = read_json(folder / "1_Pooling" / "config.json")
    if saved:
        modes = {str(saved.get("pooling_mode"))} | {key for key, value in saved.items() if value is True}
        named = ", ".join(sorted(mode.removeprefix("pooling_mode_") for mode in modes - {"None", "include_prompt"}))
        return [
            f"modules.json is missing, so that 1_Pooling ({named}) and all other modules are left out, and tokens are "
            f"pooled by {pooling}: copy modules.json into the folder, or choose with --set pooling="
        ]
    why = "a language model that reads from left to right" if pooling == "lasttoken" else "a network without modules"
    told = f"the checkpoint saves no pooling: tokens are pooled by {pooling}, as of {why}; choose with --set pooling="
    splade = "splade" in f"{locator} {read_json(folder / 'config.json').get('_name_or_path')}".lower()
    return [f"{told}; a SPLADE model is opened as sparse:{locator}" if splade else told]


def require_torch() -> None:
    """Raise `MissingExtra` where a library of dense encoders is not installed; imports none of them."""
    # Spinning threads of OpenMP made torch 8 times slower beside another process; it reads this once, when imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if any(find_spec(library) is None for library in Dense.libraries):
        raise MissingExtra("dense encoders", Dense.extra)


def _use(settings: Dense.Settings) -> EncodingOptions:
    return EncodingOptions(settings, settings.similarity, settings.batch_tokens)


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
