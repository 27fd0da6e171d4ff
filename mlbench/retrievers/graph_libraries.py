"""The libraries that compute a graph: ONNX Runtime and OpenVINO, on the processor, with a given number of threads."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.retrievers.graph_export import Run, States
from mlbench.retrievers.loading import DType

if TYPE_CHECKING:
    import openvino

_OPENVINO_TYPES: dict[DType, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_REPORTER = "openvino_telemetry"


def onnx_dtypes() -> list[DType]:
    """Return the precisions that ONNX Runtime computes a graph of float32 in."""
    return ["fp32"]


def open_onnx(path: Path, dtype: DType, threads: int) -> Run:
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

    def run(inputs: Mapping[str, NDArray[np.int64]]) -> States:
        states: States = session.run(None, dict(inputs))[0]
        return states

    return run


def openvino_dtypes() -> list[DType]:
    """Return the precisions that OpenVINO has instructions for on this processor, fp32 first."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["fp32", *(dtype for dtype in ("bf16", "fp16") if dtype.upper() in able)]


def open_openvino(path: Path, dtype: DType, threads: int) -> Run:
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
    request = core.compile_model(core.read_model(str(path)), "CPU", options).create_infer_request()

    def run(inputs: Mapping[str, NDArray[np.int64]]) -> States:
        states: States = request.infer(dict(inputs), share_inputs=True)[0]
        return states

    return run


def _core() -> "openvino.Core":
    """Return OpenVINO's entry, imported without what reports its use.

    OpenVINO reports each import and conversion to its maker, unless its reporter cannot be imported: then it takes a
    stub of its own. Where somebody has imported it before, the reporter is left as it is: from here on nothing is
    reported, because reading, compiling and computing a graph is not.
    """
    sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()
