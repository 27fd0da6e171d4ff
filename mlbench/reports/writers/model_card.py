"""Metadata for the card of a model on the Hugging Face hub."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mlbench.collection.languages import KINDS
from mlbench.reports.formatting import heading, n_settings, pool_kind, spoken, task_label, visible
from mlbench.reports.provenance import trained
from mlbench.reports.report import Report
from mlbench.results import Aggregate, CaptionScores, Result, told_apart
from mlbench.statistics.captions import CAPTION_SCORES

_DIGITS = 6
# How the hub's cards call a measure before its cutoff, where it is not the name in small letters.
_TYPES = {"AP": "map", "RR": "mrr", "R": "recall", "P": "precision"}
Scalars = Mapping[str, str | float]
_TEXTS: Scalars = {"type": "text-retrieval", "name": "Text Retrieval"}
_IMAGES: Scalars = {"type": "image-text-retrieval", "name": "Image-Text Retrieval"}


def write_model_card(report: Report) -> str:
    """Return the `model-index` of results in YAML, to be pasted between the `---` lines of a model's README.md.

    The fields are those of the hub (huggingface/hub-docs, modelcard.md): for each result an entry for each kind of
    settings, with the macro mean of every measure, and one for the bias scores; `revision` is the fingerprint of the
    data. How a model was trained, where that is known, is a comment. Absent values are left out. Scalars are written as
    JSON, so that no name can change the structure.
    """
    results = told_apart([document for document in report.documents if isinstance(document, Result)])
    models: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        models.setdefault((result.retriever.label, result.retriever.fingerprint), []).append(result)
    lines = ["model-index:"]
    for (label, _), found in models.items():
        training = found[0].retriever.training
        lines += [f"# {visible(trained(training))}"] if training else []
        lines += [f"- name: {_scalar(label)}", "  results:"]
        for result in found:
            for config, metrics in _entries(result):
                lines += _entry(result, config, metrics)
    return "\n".join(lines) + "\n"


def _entries(result: Result) -> Iterator[tuple[str, list[Scalars]]]:
    """Yield the configuration and the metrics of each entry that has any."""
    for kind in KINDS:
        row = result.aggregate(kind)
        if row is not None and (metrics := _means(result, row)):
            yield kind, metrics
    scores = result.bias.scores if result.bias else ()
    found: list[Scalars] = [
        {"type": score.name, "value": round(score.value, _DIGITS), "name": spoken(score.name)}
        for score in scores
        if score.value is not None
    ]
    if found:
        yield pool_kind(result), found
    if result.image_text and (metrics := _caption_scores(result.image_text.mean)):
        yield "image_text", metrics


def _caption_scores(mean: CaptionScores) -> list[Scalars]:
    scores = {name: getattr(mean, name) for name in CAPTION_SCORES}
    return [
        {"type": name, "value": round(value, _DIGITS), "name": f"{spoken(name)}, mean over caption languages"}
        for name, value in scores.items()
        if value is not None
    ]


def _means(result: Result, row: Aggregate) -> list[Scalars]:
    over = f"macro mean over {n_settings(result, row.kind)} {spoken(row.kind)} settings"
    return [
        {"type": _type(name), "value": round(value, _DIGITS), "name": f"{heading(name)}, {over}"}
        for name, value in row.measures.items()
        if value is not None
    ]


def _type(measure: str) -> str:
    name, at, cutoff = measure.partition("@")
    kind = _TYPES.get(name, name.lower())
    return f"{kind}_at_{cutoff}" if at else kind


def _entry(result: Result, config: str, metrics: Sequence[Scalars]) -> list[str]:
    task = result.task
    dataset = {
        "type": task.name,
        "name": f"{task_label(result)}, {spoken(config)}",
        "config": config,
        "split": "test",
        "revision": task.fingerprint,
    }
    return [
        "  - task:",
        *_fields(_TEXTS if result.image_text is None else _IMAGES, "      "),
        "    dataset:",
        *_fields(dataset, "      "),
        "    metrics:",
        *(line for metric in metrics for line in _item(metric, "    ")),
    ]


def _fields(fields: Scalars, indent: str) -> list[str]:
    return [f"{indent}{key}: {_scalar(value)}" for key, value in fields.items()]


def _item(fields: Scalars, indent: str) -> list[str]:
    first, *rest = _fields(fields, f"{indent}  ")
    return [f"{indent}- {first.lstrip()}", *rest]


def _scalar(value: str | float) -> str:
    # Never `1e-05`, which YAML 1.1 reads as a text.
    return json.dumps(visible(value), ensure_ascii=False) if isinstance(value, str) else f"{value:.{_DIGITS}f}"
