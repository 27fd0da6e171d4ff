"""The page on faster encoding, made from the figures that `python -m tests.bench.backends` wrote."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures" / "backends.json"

_INTRO = """\
# Encode faster

Encoding is nearly all the time that a run takes. Every text is encoded once, sorted by length, in batches of about as
many tokens each, on a processor without padding where the network allows it; below, that alone is {torch_ratio} times
as fast as sentence-transformers' own `encode`. Two keys of `dense` do more: `backend` says who computes the
transformer, `dtype` in which precision."""

_CHOICES = (
    (
        "a CPU with instructions for bf16 (`avx512_bf16` or `amx_bf16` in `/proc/cpuinfo`)",
        "`backend=openvino` with `dtype=bf16`; without that extra, `dtype=bf16`",
    ),
    ("another CPU, or fp32 is asked for", "`backend=openvino`, or `backend=onnx`"),
    ("a GPU", "torch with `dtype=bf16`, or `fp16` on an older one; the other backends compute on CPUs alone"),
)

_ALIKE = """\
No GPU was at hand when this was written, so nothing below was measured on one. Compare results of the same backend and
`dtype`: what separates two good encoders may be no more than what precision changes."""

_USE = """\
## Use a backend

<!-- not run: it is installed -->
```console
pip install 'mlbench[openvino]'
```

<!-- not run: a smaller run is below -->
```console
mlbench run --model ./checkpoint --task xquad-r --set backend=openvino --set dtype=bf16 --threads 2
```

The extra `onnx` brings ONNX Runtime in the same way. A quick look shows whether a model can be computed so:

```console
mlbench run -q --model ./checkpoint --limit 5 --set backend=onnx --out quick
mlbench cache list
```

At the first use, the transformer is turned into an ONNX graph, which both libraries compute. For the model below, that
took {first} seconds. The graph is kept in the cache folder, by the content of the checkpoint and the versions of the
exporting libraries, and later runs open in {again} seconds. A damaged graph is made again, with a warning. Whenever a
graph is opened, its states for a few texts are compared with those of torch, and a graph that computes something else
is refused. A checkpoint's own `onnx/model.onnx` is left alone: nothing says that it was made of the weights beside it.
`--set graph=onnx/model.onnx` computes it, as is done where
[there are no weights](own-model.md#graphs-in-place-of-weights).

Tokens, prompts, pooling and all that follows the transformer stay with sentence-transformers, and a graph in fp32 gives
the vectors of torch within about 1e-5. The backend, the precision and all versions that decide the bits are in the
`parameters` of the result and in its fingerprint, so vectors of two backends are never mixed.

`--threads` says how many threads a backend takes (unset: as many as torch would). None of them spin while they wait,
and none are tied to a processor, so that several workers can share a machine.

Refused in one line are a precision that the backend or the processor does not have (ONNX Runtime computes these graphs
in fp32 alone), a `--device` other than the CPU, a model that does not begin with a transformer over tokens, and one
that cannot be exported. BERT, XLM-R, mT5's encoder, MPNet, DistilBERT, DeBERTa, ModernBERT, Llama, GPT-2 and Qwen3 can
be; small ones with random weights were tried.

A program of your own that computes with OpenVINO must not fork afterwards, as the workers of torch's data loaders do:
here such processes ended with a segmentation fault. No command of mlbench does both.

OpenVINO's Python package reports its use to its maker. mlbench keeps it from doing so: nothing is ever sent."""

_MEASURED = """\
## What was measured

{model} on {texts:,} documents of XQuAD-R, spread evenly over {n_languages} languages, with {threads} thread of a
virtual {processor} with instructions for bf16, other work running beside it. The ways took turns, in {rounds} rounds;
shown are the median and, in brackets, the range of the ratios to sentence-transformers' `encode` as it is (fp32, 32
texts in a batch) in the same round. The last column compares processor time, which other work disturbs less."""

_COSTS = """\
What it costs is measured on XQuAD-R in {ranked}: mAP of torch fp32 and how far the others are from it, and the ranks
of the relevant documents in the pool of these languages, {relevant:,} in all; by how much, of those that changed."""

_READING = """\
{reading}

int8 is not offered: with this model its vectors were as far as a cosine of .80 from those of fp32. `torch.compile` was
slower on a CPU. sentence-transformers has backends of its own, which need optimum, and that does not go with
transformers 5 yet.

`python -m tests.bench.backends FIGURES.json` measures this on your machine."""

_KINDS = {"monolingual": "monolingual", "cross_lingual": "cross-lingual", "multilingual": "multilingual"}


def page() -> str:
    """Return the page."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    speeds, costs = figures["speeds"], figures["costs"]
    base = next(iter(costs))
    opened = [speed["opening_seconds"] for name, speed in speeds.items() if name.startswith(("onnx", "openvino"))]
    words = {
        **figures,
        "n_languages": len(figures["languages"]),
        "ranked": "{}, {} and {}".format(*figures["ranked_languages"]),
        "torch_ratio": f"{speeds[base]['processor_ratio']['median']:.1f}",
        "first": _span([first for first, _ in opened]),
        "again": _span([again for _, again in opened]),
        "relevant": costs[base]["relevant"],
        "reading": _reading(costs),
    }
    choices = _table(["machine", "choose"], _CHOICES)
    parts = [_INTRO, choices, _ALIKE, _USE, _MEASURED, _speed_table(speeds), _COSTS, _cost_table(costs, base), _READING]
    return "\n\n".join(part if part.startswith("|") else part.format(**words) for part in parts) + "\n"


def _speed_table(speeds: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{speed['texts_per_second']['median']:.0f}",
            _ranged(speed["ratio"]),
            _ranged(speed["processor_ratio"]),
        ]
        for name, speed in speeds.items()
    ]
    return _table(["way", "texts/s", "times as fast", "by processor time"], rows)


def _cost_table(costs: Mapping[str, Any], base: str) -> str:
    rows = []
    for name, cost in costs.items():
        maps = [cost["map"][kind] for kind in _KINDS]
        if name == base:
            shown = [f"{value:.4f}" for value in maps]
        else:
            shown = [f"{value - costs[base]['map'][kind]:+.5f}" for value, kind in zip(maps, _KINDS, strict=True)]
        changed = f"{100 * cost['changed_share']:.2f} %"
        rows.append([name, *shown, changed, f"{cost['median_change']:g}", f"{cost['largest_change']:,}"])
    return _table(["way", *_KINDS.values(), "ranks changed", "by (median)", "by (most)"], rows)


def _reading(costs: Mapping[str, Any]) -> str:
    """Return what the table of costs says in words, with its own numbers."""
    exact = [name for name in costs if name.endswith("fp32")][1:]
    half = [name for name in costs if name.endswith("bf16")]
    apart = max(_far(costs, name) for name in half)
    share = max(costs[name]["changed_share"] for name in exact)
    return (
        f"In fp32 a backend moves at most {100 * share:.2f} % of the ranks, those of near ties. bf16 moves many\n"
        f"ranks a little and no mean by more than {apart:.4f}: it serves to compare models in one precision, not one\n"
        "in bf16 with another in fp32. OpenVINO computes in bf16 and hands over float32, which keeps ranks closer\n"
        "than torch does, whose token states and vectors are in bf16 too."
    )


def _far(costs: Mapping[str, Any], name: str) -> float:
    base = next(iter(costs.values()))["map"]
    return max(abs(costs[name]["map"][kind] - base[kind]) for kind in _KINDS)


def _ranged(summary: Mapping[str, float]) -> str:
    return f"{summary['median']:.2f} [{summary['low']:.2f}, {summary['high']:.2f}]"


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:" if len(heads) > 2 else "---"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
