"""Checkpoints whose transformer is saved as a graph, for ONNX Runtime or OpenVINO, in place of weights for torch."""

import json
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError, UserError
from mlbench.protocols import Parameter
from mlbench.retrievers.backends import Backend, Graph, States, backend_version, is_installed, network, open_graph
from mlbench.retrievers.checkpoint_folder import (
    checkpoint_files,
    find_checkpoint,
    has_tokenizer,
    module_folders,
    read_json,
)
from mlbench.retrievers.fit_tokenizer import fit_tokenizer
from mlbench.retrievers.kinds import check_code
from mlbench.retrievers.load_checkpoint import (
    LoadOptions,
    Pooling,
    check_finite,
    first_line,
    hold_tensors,
    quiet,
    set_max_length,
    set_pooling,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from torch import Tensor
    from torch.nn import Module
    from transformers import PretrainedConfig


# For each backend: the folders where exporters write, and what they call their files.
_FOLDERS = {"onnx": ("onnx", "."), "openvino": ("openvino", ".")}
_PATTERNS = {"onnx": "*.onnx", "openvino": "openvino_model*.xml"}
_USUAL = ("model.onnx", "openvino_model.xml")
_USUAL_FILES = ("onnx/model.onnx*", "model.onnx*", "openvino/openvino_model.*", "openvino_model.*")
_ENDINGS = (".onnx", ".xml")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model*.bin")
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
# What the library's own modules are called.
_LIBRARY = "sentence_transformers."
_STATES = ("last_hidden_state", "token_embeddings")
_POOLED = "sentence_embedding"
# Operations that scale the numbers of all texts of a batch together begin so.
_SCALES_BATCHES = b"DynamicQuantize"


@dataclass(frozen=True, slots=True)
class GraphFile:
    """A graph in the folder of a checkpoint and what computes it; `name` is its path in the folder."""

    folder: Path
    name: str
    backend: Backend

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.name

    @property
    def computed(self) -> dict[str, Parameter]:
        """What a result says of it."""
        return {"backend": self.backend, "graph": self.name, "backend_versions": backend_version(self.backend)}


def find_with_graph(
    locator: str, revision: str | None, graph: str | None, backend: Backend | None, *, allow_pickle: bool
) -> tuple[Path, GraphFile | None]:
    """Return the folder of a checkpoint, as `find_checkpoint` does, and its graph, as `find_graph` does.

    Of a hub repository only that graph is fetched, and only where it has no weights or the graph is named.
    """
    named = () if graph is None else (graph, f"{graph}_*", f"{graph}.*", str(PurePosixPath(graph).with_suffix(".bin")))
    find = partial(find_checkpoint, locator, revision, allow_pickle=allow_pickle)
    folder = find(more=named)
    found = find_graph(folder, graph, backend)
    if found is None and backend != "torch" and not has_weights(folder):
        folder = find(more=_USUAL_FILES)
        found = find_graph(folder, graph, backend)
    return folder, found


def find_graph(folder: Path, graph: str | None, backend: Backend | None) -> GraphFile | None:
    """Return the graph that is computed: the one named `graph`, else that of a folder without weights for torch.

    None where weights are loaded, or where there is neither. `backend` is the one that is asked for. Raises
    `RetrieverError` for a graph that is not there or that the backend does not compute, and where there are several and
    none has the usual name.
    """
    if graph is not None:
        return _named(folder, graph, backend)
    if backend == "torch" or has_weights(folder):
        return None
    backends: Sequence[Backend] = ("onnx", "openvino") if backend is None else (backend,)
    found = {each: _graphs(folder, each) for each in backends}
    if backend == "openvino":
        # It reads the graphs of ONNX as well.
        found[backend] = found[backend] or _graphs(folder, "onnx")
    usable = [each for each in backends if found[each]]
    if not usable:
        return None
    chosen = next((each for each in usable if is_installed(each)), usable[0])
    names = found[chosen]
    usual = [name for name in names if PurePosixPath(name).name in _USUAL]
    if not usual and len(names) > 1:
        raise RetrieverError(f"{folder}: several graphs ({', '.join(names)}): choose with --set graph={names[0]}")
    return GraphFile(folder, (usual or names)[0], chosen)


def has_weights(folder: Path) -> bool:
    """Say whether a checkpoint's folder has weights of its transformer that torch reads, or an adapter."""
    return any(True for pattern in _WEIGHTS for _ in module_folders(folder)[0].glob(pattern))


def _graphs(folder: Path, backend: Backend) -> list[str]:
    places = (folder / each for each in _FOLDERS[backend])
    return [path.relative_to(folder).as_posix() for place in places for path in sorted(place.glob(_PATTERNS[backend]))]


def _named(folder: Path, graph: str, backend: Backend | None) -> GraphFile:
    path = PurePosixPath(graph)
    if path.suffix not in _ENDINGS or path.is_absolute() or ".." in path.parts or not (folder / path).is_file():
        known = [*_graphs(folder, "onnx"), *_graphs(folder, "openvino")]
        raise RetrieverError(f"graph={graph}: no such graph in {folder}; it has {', '.join(known) or 'none'}")
    computes: Sequence[Backend] = ("onnx", "openvino") if path.suffix == ".onnx" else ("openvino",)
    if backend is not None and backend not in computes:
        raise RetrieverError(f"graph={graph}: backend={backend} does not compute it: leave backend out")
    return GraphFile(folder, path.as_posix(), backend or computes[0])


def graph_checkpoint_files(graph: GraphFile) -> dict[str, Path]:
    """Return the files that decide what is computed from the graph's folder, by name, without weights for torch."""
    place, beside = module_folders(graph.folder)[0], graph.path.parent
    unread = {path for pattern in _WEIGHTS for path in place.glob(pattern)}
    files = {name: path for name, path in checkpoint_files(graph.folder).items() if path not in unread}
    # Large tensors lie in files beside a graph, whose names only the graph knows: those of other graphs are left out.
    others = [path for path in beside.iterdir() if path.suffix in _ENDINGS and path != graph.path]
    foreign = {path for other in others for path in (*beside.glob(f"{other.name}*"), other.with_suffix(".bin"))}
    near = {path for path in beside.iterdir() if path.is_file()} - foreign
    return files | {path.relative_to(graph.folder).as_posix(): path for path in near}


def load_graph(
    graph: GraphFile,
    options: LoadOptions,
    *,
    pooling: Pooling | None,
    max_length: int | None,
    warnings: list[str],
) -> "SentenceTransformer":
    """Return the model of a folder whose transformer is a graph, on the processor and in evaluation mode.

    What follows the transformer is what the folder's `modules.json` says. Without it a graph that gives the vectors of
    texts is used as it is, and any other is pooled as sentence-transformers would; `pooling` and `max_length` take the
    place of that. What a user should know is added to `warnings`. Raises `RetrieverError` where the graph or the folder
    cannot be used.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    _check_folder(graph)
    check_code(graph.folder, trusted=options.trust_remote_code, network=False)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    opened = open_graph(graph.backend, graph.path, options.dtype, torch.get_num_threads())
    listed = _listed(graph.folder)
    output = _output(graph, opened, pools=not listed and pooling is None)
    compute = partial(_compute, opened=opened, output=output, alone=_scales_batches(graph.path))
    saved = read_json(graph.folder / "config_sentence_transformers.json") if listed else {}
    try:
        with quiet():
            first = _transformer(graph.folder, listed, options, compute)
            if output == _POOLED:
                first.module_output_name, further = _POOLED, []
            elif listed:
                further = [_module(graph.folder, *each) for each in listed[1:]]
            else:
                further = [_pooling(first)]
            model = SentenceTransformer(
                modules=[first, *further],
                device="cpu",
                truncate_dim=options.truncate_dim or saved.get("truncate_dim"),
                **{name: saved.get(name) for name in ("prompts", "default_prompt_name", "similarity_fn_name")},
            )
            hold_tensors(model)
    except UserError:
        raise
    except Exception as error:
        # Any of three libraries may fail here in any way.
        raise RetrieverError(f"{graph.folder}: cannot be loaded: {first_line(error)}") from error
    check_finite(model, str(graph.folder))
    warnings += fit_tokenizer(model, graph.folder)
    model.eval()
    if pooling is not None:
        set_pooling(model, pooling)
    if max_length is not None:
        set_max_length(model, max_length)
    return model


def _check_folder(graph: GraphFile) -> None:
    place = module_folders(graph.folder)[0]
    if not (place / "config.json").is_file():
        raise RetrieverError(f"{place}: no config.json, which the graph {graph.name} needs; save the configuration too")
    if not has_tokenizer(graph.folder):
        raise RetrieverError(
            f"{graph.folder}: no tokenizer (such as tokenizer.json); save the tokenizer in this folder too"
        )


def _listed(folder: Path) -> list[tuple[str, str]]:
    """Return the class and the path of each module that the folder lists; none where it lists none."""
    module_folders(folder)
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [(str(module.get("type")), str(module["path"])) for module in modules]


def _output(graph: GraphFile, opened: Graph, *, pools: bool) -> str:
    """Return the name of the output that is used; `pools` says whether it may be the vectors of texts."""
    beyond = sorted(opened.inputs.keys() - _INPUTS)
    if beyond:
        raise RetrieverError(f"{graph.path}: the graph takes more than tokens: {', '.join(beyond)}")
    if pools and _POOLED in opened.outputs:
        return _POOLED
    # The logits of a language model have as many axes as the states of its tokens.
    sole = [
        name for name, axes in opened.outputs.items() if len(opened.outputs) == 1 and axes == 3 and name != "logits"
    ]
    for name in (*_STATES, _POOLED, *sole):
        if name in opened.outputs:
            return name
    raise RetrieverError(
        f"{graph.path}: the graph gives {', '.join(opened.outputs)}, neither states of tokens (last_hidden_state) nor "
        "vectors of texts (sentence_embedding)"
    )


def _transformer(
    folder: Path,
    listed: Sequence[tuple[str, str]],
    options: LoadOptions,
    compute: "partial[dict[str, Tensor]]",
) -> "Transformer":
    """Return the library's module of a transformer with the graph in its place; no weights are read."""
    from sentence_transformers.base.modules import Transformer

    class GraphTransformer(Transformer):  # type: ignore[misc]
        def _load_model(
            self, name: str, task: str, config: "PretrainedConfig", backend: str, is_peft: bool, **options: object
        ) -> "Module":
            return network(config, compute)

    hub = {"trust_remote_code": options.trust_remote_code, "local_files_only": True}
    if not listed:
        built: Transformer = GraphTransformer(str(folder), config_kwargs=hub, processor_kwargs=hub)
        return built
    kind, path = listed[0]
    if not (kind.startswith(_LIBRARY) and kind.endswith(".Transformer")):
        raise RetrieverError(f"{folder}: it begins with a {kind}, not with a transformer that a graph could stand for")
    loaded: Transformer = GraphTransformer.load(str(folder), subfolder=path, **hub)
    return loaded


def _module(folder: Path, kind: str, path: str) -> "Module":
    """Return a module after the transformer, loaded by its class; code of the checkpoint's own is not run."""
    from sentence_transformers.util import import_from_string

    if not kind.startswith(_LIBRARY):
        raise RetrieverError(f"{folder}: its module {kind} is code of its own, which is not run beside a graph")
    module: Module = import_from_string(kind).load(str(folder), subfolder=path, local_files_only=True)
    return module


def _pooling(transformer: "Transformer") -> "Module":
    """Return the pooling that sentence-transformers gives a model that saves none."""
    from sentence_transformers.sentence_transformer.modules import Pooling as Layer

    config = transformer.config
    causal = str((config.architectures or [""])[0]).endswith("ForCausalLM") and getattr(config, "is_causal", True)
    return Layer(transformer.get_embedding_dimension(), "lasttoken" if causal else "mean")


def _scales_batches(path: Path) -> bool:
    """Say whether a graph rounds the numbers of a text by those of the other texts in its batch."""
    if path.suffix != ".onnx":
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_SCALES_BATCHES) >= 0


def _compute(passed: Mapping[str, object], opened: Graph, output: str, *, alone: bool) -> "dict[str, Tensor]":
    """Return under the name of a transformer's states what the graph makes of padded rows of tokens.

    With `alone` each row is computed by itself, without its padding.
    """
    import torch

    rows = {name: value.numpy() for name, value in passed.items() if isinstance(value, torch.Tensor)}
    mask = rows["attention_mask"]
    rows.setdefault("token_type_ids", np.zeros_like(mask))
    rows.setdefault("position_ids", np.maximum(mask.cumsum(axis=1) - 1, 0))
    found = _one_by_one(rows, mask.astype(bool), opened, output) if alone else opened(rows, output)
    return {"last_hidden_state": torch.from_numpy(found)}


def _one_by_one(rows: Mapping[str, NDArray[np.int64]], real: NDArray[np.bool_], opened: Graph, output: str) -> States:
    found = [opened({name: row[n : n + 1, real[n]] for name, row in rows.items()}, output)[0] for n in range(len(real))]
    if found[0].ndim == 1:
        return np.stack(found)
    states = np.zeros((*real.shape, found[0].shape[1]), dtype=np.float32)
    for n, row in enumerate(found):
        states[n, real[n]] = row
    return states
