"""Who computes the transformer of a dense encoder: torch, or ONNX Runtime or OpenVINO from a graph made of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers.graph_export import EXPORTERS, Run, check_graph, export_graph, stand_in, watch_call
from mlbench.retrievers.graph_libraries import onnx_dtypes, open_onnx, open_openvino, openvino_dtypes
from mlbench.retrievers.kept_graphs import kept_graph
from mlbench.retrievers.loading import DType

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Backend = Literal["torch", "onnx", "openvino"]

# How far states may lie from those of torch in fp32, in units of the largest: rounding stays far below it.
_TOLERANCE: dict[DType, float] = {"fp32": 1e-3, "bf16": 0.2, "fp16": 0.05}


@dataclass(frozen=True, slots=True)
class _Library:
    """A library that computes graphs: its import, what its absence is called, its precisions, and how it opens one."""

    module: str
    name: str
    dtypes: Callable[[], list[DType]]
    open: Callable[[Path, DType, int], Run]


_LIBRARIES: dict[Backend, _Library] = {
    "onnx": _Library("onnxruntime", "ONNX graphs", onnx_dtypes, open_onnx),
    "openvino": _Library("openvino", "OpenVINO graphs", openvino_dtypes, open_openvino),
}


def check_backend(backend: Backend, dtype: DType, runtime: Runtime) -> None:
    """Raise `MissingExtra` or `RetrieverError` where the backend cannot do what is asked; torch can do everything."""
    if backend == "torch":
        return
    library = _LIBRARIES[backend]
    if any(find_spec(module) is None for module in (library.module, *EXPORTERS)):
        raise MissingExtra(library.name, backend)
    if runtime.device not in (None, "cpu"):
        raise RetrieverError(
            f"backend={backend} computes on the processor: leave --device {runtime.device} or the key out"
        )
    able = library.dtypes()
    if dtype not in able:
        raise RetrieverError(
            f"dtype={dtype}: backend={backend} computes in {' or '.join(able)} on this processor: "
            "choose another dtype or backend"
        )


def use_backend(model: "SentenceTransformer", backend: Backend, dtype: DType, digest: str) -> dict[str, Parameter]:
    """Let the backend compute the model's transformer; return what it adds to the parameters, nothing for torch.

    `model` has weights of float32 on the processor, `digest` tells its checkpoint from others. The graph is made here
    or comes from the cache folder; whatever graph files the checkpoint has are left alone, as its weights decide.
    Raises `RetrieverError` where no graph can be made, or where it does not compute what torch does.
    """
    import torch

    if backend == "torch":
        return {}
    library = _LIBRARIES[backend]
    versions = {name: version(name).partition("+")[0] for name in (*EXPORTERS, library.module)}
    made_by = {"checkpoint": digest, **{name: versions[name] for name in EXPORTERS}}
    key = sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()
    try:
        call = watch_call(model)
        name = f"{model[0].config.model_type}-{key[:16]}"
        with kept_graph(name, lambda path: export_graph(model, call, path)) as path:
            run = _opened(library, path, dtype, torch.get_num_threads())
        check_graph(model, call, run, _TOLERANCE[dtype])
    except RetrieverError as error:
        raise RetrieverError(f"backend={backend}: {error}: leave backend out, or take another") from error
    stand_in(model, call, run)
    shown = ", ".join(f"{name} {versions[name]}" for name in (library.module, *EXPORTERS))
    return {"backend": backend, "dtype": dtype, "backend_versions": shown}


def _opened(library: _Library, path: Path, dtype: DType, threads: int) -> Run:
    try:
        return library.open(path, dtype, threads)
    except Exception as error:
        # What such libraries raise has no common class.
        raise RetrieverError(f"{library.module} refuses the graph ({str(error).strip().splitlines()[0]})") from error
