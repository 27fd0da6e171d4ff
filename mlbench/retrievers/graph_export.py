"""Turns the transformer of a Sentence Transformers model into an ONNX graph, and lets a graph stand in for it."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Module

States = NDArray[np.float32]
Run = Callable[[Mapping[str, NDArray[np.int64]]], States]
"""What computes a graph: its inputs by name, each (texts, tokens), to the states of all tokens (texts, tokens, dim)."""

EXPORTERS = ("torch", "transformers", "onnx", "onnxscript")
"""The libraries that decide what a graph looks like."""

# The shapes of an example mean nothing to a graph, as long as no two are equal or 1.
_EXAMPLE = (3, 8)


@dataclass(frozen=True, slots=True)
class Call:
    """How a model calls its transformer: the names of the inputs, and that of the output it takes."""

    inputs: tuple[str, ...]
    output: str


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
    model[0].model = _module(model[0].model.config, partial(_states, call=call, run=run))


def _states(passed: Mapping[str, object], call: Call, run: Run) -> "dict[str, Tensor]":
    import torch

    inputs = {name: passed[name] for name in call.inputs}
    arrays = {name: value.numpy() for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    return {call.output: torch.from_numpy(run(arrays))}


def _recorded(model: "SentenceTransformer") -> dict[str, object]:
    """Return by name what the model passes to its transformer for two texts."""
    import torch

    transformer = model[0].model
    seen: dict[str, object] = {}

    def record(passed: Mapping[str, object]) -> object:
        seen.update(passed)
        return transformer(**passed)

    model[0].model = _module(transformer.config, record)
    try:
        with torch.inference_mode():
            model[0](dict(model.preprocess(["a cat", "a cat sat on the mat"])))
    finally:
        model[0].model = transformer
    return seen


def _module(config: object, call: Callable[[Mapping[str, object]], object]) -> "Module":
    """Return a module for the place of a transformer, which hands what it is passed to `call`."""
    import torch

    class Hand(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.config = config

        def forward(self, **passed: object) -> object:
            return call(passed)

    return Hand()


def _export(transformer: "Module", call: Call, path: Path) -> None:
    import torch

    class Transformer(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformer

        def forward(self, *inputs: "Tensor") -> object:
            return self.inner(**dict(zip(call.inputs, inputs, strict=True)), return_dict=True)[call.output]

    any_size = dict.fromkeys(range(len(_EXAMPLE)), torch.export.Dim.DYNAMIC)
    with torch.no_grad(), _quiet():
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
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own work off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
