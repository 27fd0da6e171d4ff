"""The manifest in a checkpoint's folder: what made the checkpoint, for people and for the results of its runs."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from mlbench.atomic import write_whole
from mlbench.environment import code_commit, describe_environment
from mlbench.errors import DataError
from mlbench.provenance import MANIFEST, SCHEMA_VERSION, Contamination, Provenance, TrainedOn
from mlbench.strict_json import parse
from mlbench.training.contamination import Findings
from mlbench.training.data import Part, TrainingData
from mlbench.training.index import ABSENT, RowIndex
from mlbench.training.recipe import Recipe
from mlbench.training.settings import DataSet
from mlbench.training.tally import Tally
from mlbench.training.trained import Losses, Outcome, training_fingerprint
from mlbench.version import __version__

Manifest = dict[str, JsonValue]

# A manifest may have 1 MiB.
_MOST_LOSSES = 500


def describe(
    recipe: Recipe,
    data: TrainingData,
    trained: Outcome,
    counted: Tally,
    *,
    command: str | None,
    seconds: float,
) -> tuple[Provenance, Manifest]:
    """Return what a result keeps of a training, and the whole manifest, which says it as well.

    `seconds` is how long this process took; one that was resumed took longer.
    """
    findings = data.contamination
    provenance = Provenance(
        recipe=recipe.model_dump(mode="json"),
        recipe_fingerprint=recipe.fingerprint(),
        data=tuple(
            TrainedOn(name=rows.name, fingerprint=rows.content, rows=len(rows.index)) for rows in data.training.rows
        ),
        code_version=__version__,
        code_commit=code_commit(),
        seed=recipe.seed,
        steps=trained.steps,
        contamination=None if findings is None else _found(findings),
    )
    environment = describe_environment(command)
    manifest: Manifest = {
        "schema_version": SCHEMA_VERSION,
        **provenance.model_dump(mode="json"),
        **describe_data(recipe, data),
        "training_fingerprint": training_fingerprint(recipe, data),
        "batches": trained.batches,
        "best_step": trained.best_step,
        "stopped_early": trained.stopped_early,
        "losses": _thinned(trained.losses),
        "held_out_losses": _thinned(trained.held_out_losses),
        "tally": _tally(counted, recipe),
        "epochs": _epochs(counted),
        "rows_digest": counted.rows_digest,
        "views": {"overlap": recipe.overlap},
        "environment": environment.model_dump(mode="json"),
        "device": trained.device,
        "threads": trained.threads,
        "seconds": round(seconds, 1),
    }
    return provenance, manifest


def describe_data(recipe: Recipe, data: TrainingData) -> Manifest:
    """Return what a manifest says of the rows that are trained on and held out, and of evaluation texts in them."""
    validation = recipe.validation.datasets if recipe.validation else ()
    findings = data.contamination
    return {
        "data": _data(recipe.datasets, data.training),
        "held_out": _data(validation or recipe.datasets, data.held_out),
        "contamination": None if findings is None else _contamination(findings, recipe),
    }


def write_manifest(manifest: Mapping[str, JsonValue], folder: Path) -> None:
    """Write the manifest into `folder`, whole or not at all; raises `OSError`."""
    content = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    write_whole(folder / MANIFEST, content.encode())


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, None where there is none; raises `DataError` for one that cannot be read."""
    try:
        manifest = parse((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise DataError(f"{folder / MANIFEST} is no manifest of training")
    return manifest


def _found(findings: Findings) -> Contamination:
    return Contamination(
        tasks=_tasks(findings),
        texts=sum(findings.scanned.values()),
        hits=len(findings.hits),
        rows={name: len(numbers) for name, numbers in findings.rows().items()},
    )


def _contamination(findings: Findings, recipe: Recipe) -> JsonValue:
    found: Manifest = json.loads(json.dumps(findings.as_json()))
    return {"tasks": list(_tasks(findings)), "action": recipe.contamination.action, **found}


def _tasks(findings: Findings) -> tuple[str, ...]:
    return tuple(sorted({task for task, _ in findings.evaluated}))


def _data(declared: tuple[DataSet, ...], part: Part | None) -> JsonValue:
    """Return what is told of each data set of a part; `rows` are those it has, `used_rows` those of the part."""
    if part is None:
        return []
    return [
        {
            "name": rows.name,
            "fingerprint": rows.content,
            "rows": len(rows.index),
            "used_rows": _used(index),
            "languages": list(rows.languages),
            "licence": each.licence,
            "homepage": each.homepage,
            "citation": each.citation,
        }
        for each, rows, index in zip(declared, part.rows, part.indexes, strict=True)
    ]


def _used(index: RowIndex) -> int:
    usable = (index.query_places != ABSENT).any(axis=1) & (index.document_places != ABSENT).any(axis=1)
    return int(usable[index.pattern].sum())


def _tally(counted: Tally, recipe: Recipe) -> JsonValue:
    drawn = {kind: zip(recipe.corpora, numbers.tolist(), strict=True) for kind, numbers in counted.drawn.items()}
    return {
        "kinds": dict(counted.kinds),
        "languages": {kind: {tag: n for tag, n in numbers if n} for kind, numbers in drawn.items()},
        "examples": counted.examples,
        "shortened": counted.shortened,
        "missing": counted.missing,
        "refused": counted.refused,
    }


def _epochs(counted: Tally) -> JsonValue:
    return [
        {
            "dataset": use.dataset,
            "language": use.language,
            "queries": use.queries,
            "documents": use.documents,
            "texts": use.texts,
            "epochs": round(use.epochs, 4),
        }
        for use in counted.uses
    ]


def _thinned(losses: Losses) -> JsonValue:
    """Return at most some hundred (step, loss): means over stretches where there are more."""
    if not losses:
        return []
    stretches = np.array_split(np.array(losses), min(len(losses), _MOST_LOSSES))
    return [[int(stretch[-1, 0]), float(stretch[:, 1].mean())] for stretch in stretches]
