"""Computes the transformer of a dense encoder with torch, or with ONNX Runtime or OpenVINO from a graph made of it."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.atomic import remove_leftovers, whole_folder
from mlbench.io.cache import GRAPHS, cache_dir
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers.load_checkpoint import DType, first_line

if TYPE_CHECKING:
    import openvino
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Module

States = NDArray[np.float32]
Run = Callable[[Mapping[str, NDArray[np.generic]]], States]
"""What computes a graph: its inputs by name, each (texts, tokens), to the states of all tokens (texts, tokens, dim)."""
Backend = Literal["torch", "onnx", "openvino"]
EXPORTERS = ("torch", "transformers", "onnx", "onnxscript")
"""The libraries that decide what a graph looks like."""
# The shapes of an example mean nothing to a graph, as long as no two are equal or 1.
_EXAMPLE = (3, 8)
# How far states may lie from those of torch in fp32, in units of the largest: rounding stays far below it.
TOLERANCE: dict[DType, float] = {"fp32": 1e-3, "bf16": 0.2, "fp16": 0.05}
_GRAPH = "model.onnx"
_SUMS = "sums.json"
# Among the sums: what the folder was called when the graph was made.
_OWNER = "made as"
_OPENVINO_TYPES: dict[DType, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_REPORTER = "openvino_telemetry"


@dataclass(frozen=True, slots=True)
class Call:
    """How a model calls its transformer: the names of the inputs, and that of the output it takes."""

    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph that a library has opened: the dtypes of its inputs and the numbers of axes of its outputs, by name.

    Called with its inputs it returns one of its outputs as float32, the first one unless `output` names another.
    """

    inputs: Mapping[str, np.dtype[np.generic]]
    outputs: Mapping[str, int]
    compute: Callable[[Mapping[str, NDArray[np.generic]], str], NDArray[np.generic]]

    def __call__(self, inputs: Mapping[str, NDArray[np.generic]], output: str | None = None) -> States:
        """Compute `output` of those `inputs` that it has, each (texts, tokens); errors of the library go through."""
        typed = {name: inputs[name].astype(kind, copy=False) for name, kind in self.inputs.items() if name in inputs}
        return np.asarray(self.compute(typed, output or next(iter(self.outputs))), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Library:
    """A library that computes graphs: its import, what its absence is called, its precisions, and how it opens one."""

    module: str
    name: str
    dtypes: Callable[[], list[DType]]
    open: Callable[[Path, DType, int], Graph]


def check_backend(backend: Backend, dtype: DType, runtime: Runtime, *, exports: bool = True) -> None:
    """Raise `MissingExtra` or `RetrieverError` where the backend cannot do what is asked; torch can do everything.

    `exports` says whether the graph is still to be made.
    """
    if backend == "torch":
        return
    library = _LIBRARIES[backend]
    if any(find_spec(module) is None for module in (library.module, *(EXPORTERS if exports else ()))):
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
    try:
        call = watch_call(model)
        with kept_graph(
            graph_name(model[0].config.model_type, digest), lambda path: export_graph(model, call, path)
        ) as path:
            run = open_graph(backend, path, dtype, torch.get_num_threads())
        check_graph(model, call, run, TOLERANCE[dtype])
    except RetrieverError as error:
        raise RetrieverError(f"backend={backend}: {error}: leave backend out, or take another") from error
    stand_in(model, call, run)
    return {"backend": backend, "dtype": dtype, "backend_versions": versions_of(backend)}


def graph_name(kind: str, digest: str) -> str:
    """Return what the graph is called that is made here of a network, which `digest` tells from others."""
    made_by = {"checkpoint": digest, **{name: _version(name) for name in EXPORTERS}}
    key = sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()
    return f"{kind}-{key[:16]}"


def versions_of(backend: Backend) -> str:
    """Return the names and versions of the library that computes graphs for a backend, and of those that make them."""
    return ", ".join((backend_version(backend), *(f"{name} {_version(name)}" for name in EXPORTERS)))


def _version(library: str) -> str:
    return version(library).partition("+")[0]


def open_graph(backend: Backend, path: Path, dtype: DType, threads: int) -> Graph:
    """Return the graph at `path`, computed by `backend`; raises `RetrieverError` where that refuses it."""
    library = _LIBRARIES[backend]
    try:
        return library.open(path, dtype, threads)
    except Exception as error:
        # What such libraries raise has no common class.
        raise RetrieverError(f"{library.module} refuses the graph ({first_line(error)})") from error


def backend_version(backend: Backend) -> str:
    """Return the name and version of the library that computes graphs for a backend."""
    module = _LIBRARIES[backend].module
    return f"{module} {_version(module)}"


def is_installed(backend: Backend) -> bool:
    """Say whether the library that computes graphs for a backend is there; it is not imported."""
    return find_spec(_LIBRARIES[backend].module) is not None


def watch_call(model: "SentenceTransformer") -> Call:
    """Return how the model calls its transformer.

    Raises `RetrieverError` where it has none, or not one that turns rows of tokens into their states and nothing else.
    """
    import torch

    text = getattr(model[0], "modality_config", {}).get("text", {})
    output = text.get("method_output_name")
    output = output[0] if isinstance(output, list | tuple) and len(output) == 1 else output
    if text.get("method") != "forward" or not isinstance(output, str) or model[0].config.output_hidden_states:
        raise RetrieverError("the checkpoint does not begin with a transformer that gives the last states of tokens")
    passed = _recorded(model)
    tensors = {name: value for name, value in passed.items() if isinstance(value, torch.Tensor)}
    beside = sorted(passed.keys() - tensors.keys() - {"return_dict"})
    if beside or any(value.ndim != 2 or value.is_floating_point() for value in tensors.values()):
        raise RetrieverError(f"the transformer takes more than tokens: {', '.join(beside or sorted(tensors))}")
    return Call(tuple(tensors), output)


def _recorded(model: "SentenceTransformer") -> dict[str, object]:
    """Return by name what the model passes to its transformer for two texts."""
    import torch

    transformer = model[0].model
    seen: dict[str, object] = {}

    def record(passed: Mapping[str, object]) -> object:
        seen.update(passed)
        return transformer(**passed)

    model[0].model = network(transformer.config, record)
    try:
        with torch.inference_mode():
            model[0](dict(model.preprocess(["a cat", "a cat sat on the mat"])))
    finally:
        model[0].model = transformer
    return seen


def export_graph(model: "SentenceTransformer", call: Call, path: Path) -> None:
    """Write the model's transformer to `path` as an ONNX graph for any number of texts and tokens.

    Raises `RetrieverError` where it cannot be turned into one.
    """
    transformer = model[0].model
    attention = transformer.config._attn_implementation
    try:
        _export(transformer, call, path)
    except Exception as error:
        # The exporter may fail in any way. What it cannot do with torch's fused attention of some models (mT5) it can
        # do with the plain one.
        try:
            transformer.set_attn_implementation("eager")
            _export(transformer, call, path)
        except OSError:
            raise
        except Exception:
            raise RetrieverError(
                f"{type(transformer).__name__} cannot be turned into a graph ({type(error).__name__})"
            ) from error
        finally:
            transformer.set_attn_implementation(attention)


def _export(transformer: "Module", call: Call, path: Path) -> None:
    import torch

    class Transformer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformer

        def forward(self, *inputs: "Tensor") -> object:
            return self.inner(**dict(zip(call.inputs, inputs, strict=True)), return_dict=True)[call.output]

    any_size = dict.fromkeys(range(len(_EXAMPLE)), torch.export.Dim.DYNAMIC)
    with torch.no_grad(), quiet_exporter():
        torch.onnx.export(
            Transformer().eval(),
            tuple(torch.ones(_EXAMPLE, dtype=torch.int64) for _ in call.inputs),
            dynamic_shapes=((any_size,) * len(call.inputs),),
            input_names=list(call.inputs),
            output_names=[call.output],
            dynamo=True,
            verbose=False,
        ).save(str(path))


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep what the exporter says of its own work off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def check_graph(model: "SentenceTransformer", call: Call, run: Run, tolerance: float) -> None:
    """Raise `RetrieverError` where a graph gives other states than the model's transformer does.

    The largest difference is compared with `tolerance` times the largest state.
    """
    import torch

    for texts in (["1984"], ["a", "a cat sat on the mat", "a cat " * 30]):
        features = model.preprocess(texts)
        inputs = {name: features[name] for name in call.inputs}
        with torch.inference_mode():
            wanted = model[0].model(**inputs)[call.output].numpy()
        found = run({name: value.numpy() for name, value in inputs.items()})
        if found.shape != wanted.shape or not np.isfinite(found).all():
            raise RetrieverError("the graph made of the transformer gives no usable states")
        real = features["attention_mask"].numpy().astype(bool)
        apart = float(np.abs(found - wanted)[real].max() / np.abs(wanted[real]).max())
        if apart > tolerance:
            raise RetrieverError(f"the graph made of the transformer gives other states than torch ({apart:.1g} apart)")


def stand_in(model: "SentenceTransformer", call: Call, run: Run) -> None:
    """Let a graph take the place of the model's transformer, whose weights are given up."""
    model[0].model = network(model[0].model.config, partial(_states, call=call, run=run))


def network(config: object, call: Callable[[Mapping[str, object]], object]) -> "Module":
    """Return a module for the place of a transformer, which hands what it is passed to `call`."""
    import torch

    class Hand(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.config = config

        def forward(self, **passed: object) -> object:
            return call(passed)

    return Hand()


def _states(passed: Mapping[str, object], call: Call, run: Run) -> "dict[str, Tensor]":
    import torch

    inputs = {name: passed[name] for name in call.inputs}
    arrays = {name: value.numpy() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    return {call.output: torch.from_numpy(run(arrays))}


@contextmanager
def kept_graph(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the file of the graph `name`, which `make` writes where it is not kept yet or is damaged.

    A large graph has its weights in files beside it. Warns of a damaged one, and of a cache folder that cannot be
    written: the graph then lasts as long as the context. What `make` raises goes through, but for `OSError`.
    """
    folder = cache_dir() / GRAPHS / name
    fault = _fault(folder)
    if fault:
        warnings.warn(f"{folder} {fault}: the graph is made again", stacklevel=3)
    try:
        _provide(folder, make, anew=fault != "")
    except OSError as error:
        warnings.warn(
            f"the graph is not kept for later runs: {error}; set MLBENCH_CACHE to a usable folder", stacklevel=3
        )
        with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            make(Path(temporary) / _GRAPH)
            yield Path(temporary) / _GRAPH
        return
    yield folder / _GRAPH


def _provide(folder: Path, make: Callable[[Path], None], *, anew: bool) -> None:
    """Make the graph unless it is there; raises `OSError`."""
    if anew:
        # Without its sums a folder is replaced.
        (folder / _SUMS).unlink(missing_ok=True)
    if (folder / _SUMS).is_file():
        with suppress(OSError):
            os.utime(folder / _SUMS)
        return
    remove_leftovers(folder.parent)
    with whole_folder(folder, _SUMS) as unfinished:
        make(unfinished / _GRAPH)
        sums = {path.name: _sum(path) for path in unfinished.iterdir()} | {_OWNER: folder.name}
        (unfinished / _SUMS).write_text(json.dumps(sums), encoding="utf-8")


def _fault(folder: Path) -> str:
    """Say what is wrong with a kept graph; an empty text where it is whole, or not there."""
    try:
        sums = json.loads((folder / _SUMS).read_bytes())
        owner = sums.pop(_OWNER)
        damaged = [name for name in {_GRAPH, *sums} if _sum(folder / name) != sums[name]]
    except NotADirectoryError:
        return ""
    except FileNotFoundError as error:
        return "" if error.filename == str(folder / _SUMS) else f"lacks {Path(error.filename).name}"
    except (OSError, ValueError, TypeError, KeyError):
        return "cannot be read"
    if owner != folder.name:
        return f"holds {owner}"
    return f"is damaged ({damaged[0]})" if damaged else ""


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


_ONNX_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


def onnx_dtypes() -> list[DType]:
    """Return the precisions that ONNX Runtime computes a graph of float32 in."""
    return ["fp32"]


def open_onnx(path: Path, dtype: DType, threads: int) -> Graph:
    """Return what computes the graph at `path` with ONNX Runtime; its errors go through."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while they wait take the processor from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def compute(inputs: Mapping[str, NDArray[np.generic]], output: str) -> NDArray[np.generic]:
        found: NDArray[np.generic] = session.run([output], dict(inputs))[0]
        return found

    return Graph(
        {each.name: np.dtype(_ONNX_TYPES.get(each.type, np.float32)) for each in session.get_inputs()},
        {each.name: len(each.shape) for each in session.get_outputs()},
        compute,
    )


def openvino_dtypes() -> list[DType]:
    """Return the precisions that OpenVINO has instructions for on this processor, fp32 first."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["fp32", *(dtype for dtype in ("bf16", "fp16") if dtype.upper() in able)]


def open_openvino(path: Path, dtype: DType, threads: int) -> Graph:
    """Return what computes the graph at `path` with OpenVINO; its errors go through."""
    core = _core()
    # Left alone, it computes in bf16 wherever the processor can, and ties its threads to processors that other
    # processes may be tied to as well.
    options = {
        "INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[dtype],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    request = compiled.create_infer_request()

    def compute(inputs: Mapping[str, NDArray[np.generic]], output: str) -> NDArray[np.generic]:
        found: NDArray[np.generic] = request.infer(dict(inputs), share_inputs=True)[output]
        return found

    return Graph(
        {port.get_any_name(): port.get_element_type().to_dtype() for port in compiled.inputs},
        {name: len(port.get_partial_shape()) for port in compiled.outputs for name in sorted(port.get_names())},
        compute,
    )


def _core() -> "openvino.Core":
    """Return OpenVINO's entry, imported without what reports its use.

    OpenVINO reports each import and conversion to its maker, unless its reporter cannot be imported: then it takes a
    stub of its own. Where somebody has imported it before, the reporter is left as it is: from here on nothing is
    reported, because reading, compiling and computing a graph is not.
    """
    sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()


_LIBRARIES: dict[Backend, _Library] = {
    "onnx": _Library("onnxruntime", "ONNX graphs", onnx_dtypes, open_onnx),
    "openvino": _Library("openvino", "OpenVINO graphs", openvino_dtypes, open_openvino),
}
