"""Computes the towers of an image-text model with ONNX Runtime or OpenVINO, from graphs that are made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter
from mlbench.retrievers.backends import (
    TOLERANCE,
    Backend,
    Graph,
    graph_name,
    kept_graph,
    open_graph,
    quiet_exporter,
    versions_of,
)
from mlbench.retrievers.image_text.towers import Features, Towers
from mlbench.retrievers.load_checkpoint import DType

if TYPE_CHECKING:
    from torch import Tensor

# Of different lengths, as the shapes of an example mean nothing to a graph unless they are equal or 1.
_TEXTS = ("1984", "a cat sat on the mat", "a cat sat on the mat and saw another cat on a mat")
_COLOURS = ("grey", "red", "blue")


def use_graphs(towers: Towers, backend: Backend, dtype: DType, digest: str) -> tuple[Towers, Mapping[str, Parameter]]:
    """Return the towers as the backend computes them, and what that adds to the parameters; torch changes nothing.

    The towers have weights of float32 on the processor, `digest` tells their checkpoint from others. Graphs are made
    here or come from the cache folder. Raises `RetrieverError` where none can be made, or where one gives other vectors
    than torch.
    """
    if backend == "torch":
        return towers, {}
    from PIL import Image

    images = [Image.new("RGB", (64, 48), colour) for colour in _COLOURS]
    axes = 1 if towers.text.fixed_width else 2
    sides = (
        _Side("text", towers.text.embed, towers.text.tokenise(_TEXTS), axes),
        _Side("image", towers.image.embed, towers.image.prepare(images), 1),
    )
    try:
        text, image = (_computed(side, backend, dtype, digest) for side in sides)
    except RetrieverError as error:
        raise RetrieverError(f"backend={backend}: {error}: leave backend out, or take another") from error
    made = replace(towers, text=replace(towers.text, embed=text), image=replace(towers.image, embed=image))
    return made, {"backend": backend, "dtype": dtype, "backend_versions": versions_of(backend)}


@dataclass(frozen=True)
class _Side:
    """A tower of texts or images, and an example of what it takes, of which the first `axes` may have any size."""

    name: Literal["text", "image"]
    embed: "Callable[[Features], Tensor]"
    example: Features
    axes: int

    def export(self, path: Path) -> None:
        """Write the tower to `path` as an ONNX graph; raises `RetrieverError` where it cannot be turned into one."""
        try:
            self._export(path)
        except OSError:
            raise
        except Exception as error:
            # The exporter may fail in any way.
            raise RetrieverError(
                f"the {self.name} tower cannot be turned into a graph ({type(error).__name__})"
            ) from error

    def _export(self, path: Path) -> None:
        import torch

        names, embed = list(self.example), self.embed

        class Network(torch.nn.Module):  # type: ignore[misc]
            def forward(self, *inputs: "Tensor") -> "Tensor":
                return embed(dict(zip(names, inputs, strict=True)))

        any_size = dict.fromkeys(range(self.axes), torch.export.Dim.DYNAMIC)
        with torch.no_grad(), quiet_exporter():
            torch.onnx.export(
                Network().eval(),
                tuple(self.example.values()),
                dynamic_shapes=((any_size,) * len(names),),
                input_names=names,
                output_names=["vectors"],
                dynamo=True,
                verbose=False,
            ).save(str(path))

    def check(self, graph: Graph, tolerance: float) -> None:
        """Raise `RetrieverError` where a graph gives other vectors than torch."""
        import torch

        features = {name: value[:2] for name, value in self.example.items()}
        with torch.inference_mode():
            wanted = self.embed(features).numpy()
        found = graph(_arrays(features))
        apart = float(np.abs(found - wanted).max() / np.abs(wanted).max()) if found.shape == wanted.shape else np.inf
        if not apart <= tolerance:
            raise RetrieverError(
                f"the graph made of the {self.name} tower gives other vectors than torch ({apart:.1g} apart)"
            )


def _computed(side: _Side, backend: Backend, dtype: DType, digest: str) -> "Callable[[Features], Tensor]":
    """Return what computes a tower from a graph."""
    import torch

    with kept_graph(graph_name(side.name, f"{digest} {side.name}"), side.export) as path:
        graph = open_graph(backend, path, dtype, torch.get_num_threads())
    side.check(graph, TOLERANCE[dtype])
    return lambda features: torch.from_numpy(graph(_arrays(features)))


def _arrays(features: Features) -> dict[str, NDArray[np.generic]]:
    return {name: value.numpy() for name, value in features.items()}
