"""Numbers that others report, in files of mteb or in papers: without ranks they cannot be verified or tested."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from mlbench.collection.languages import Kind, check_language
from mlbench.errors import InvalidResult, UserError
from mlbench.io.document import DocumentPart
from mlbench.io.untrusted import parse

MODEL_META = "model_meta.json"
"""The file that mteb writes beside results: what it knows of the model."""
NAMES: Mapping[str, str] = {
    "ndcg": "nDCG",
    "map": "AP",
    "recall": "R",
    "precision": "P",
    "mrr": "RR",
    "hit_rate": "Success",
}
"""How mteb calls a measure before `_at_k`, and its name here."""
_LARGEST = 64 * 2**20
_REVISION = re.compile(r"[0-9a-f]{40}|no_revision_available|external")
_MEASURE = re.compile(rf"({'|'.join(NAMES)})_at_([1-9][0-9]{{0,8}})")


class ReportedSetting(DocumentPart):
    """What is reported of one subset in one split: measures by their names here, the languages as canonical tags."""

    split: str
    subset: str
    languages: tuple[str, ...]
    measures: dict[str, float]

    @property
    def kind(self) -> Kind:
        """The kind of settings by the number of languages: one, two, or more."""
        kinds: tuple[Kind, ...] = ("monolingual", "cross_lingual", "multilingual")
        return kinds[min(max(len(self.languages), 1), 3) - 1]


class ReportedResult(DocumentPart):
    """What is reported of one model on one task; `source` says by what, `data` which revision of the data."""

    source: str
    task: str
    model: str
    revision: str | None
    data: str
    settings: tuple[ReportedSetting, ...]

    def mean(self, measure: str, kind: Kind) -> float | None:
        """Return the mean of a measure over the settings of a kind that report it; None where none does."""
        found = [each.measures[measure] for each in self.settings if each.kind == kind and measure in each.measures]
        return sum(found) / len(found) if found else None


class ReportedMean(DocumentPart):
    """A macro mean over a kind of settings, or without a kind a bias score."""

    name: str
    kind: Kind | None
    value: float


class ReportedMeans(DocumentPart):
    """What a paper reports of one model on one task, which it may do without saying how many settings there are."""

    source: str
    task: str
    model: str
    values: tuple[ReportedMean, ...]


def is_reported(path: Path) -> bool:
    """Say whether a file looks like a result of mteb, of whatever version; False for what cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and ("mteb_dataset_name" in document or {"task_name", "scores"} <= set(document))


def reported_in(folder: Path) -> list[Path]:
    """Return the results of mteb in a folder, sorted by name."""
    return [path for path in sorted(folder.glob("*.json")) if is_reported(path)]


def read_reported(path: Path) -> ReportedResult:
    """Read a result file of mteb 1 or 2; raises `InvalidResult` in one line for one that is damaged.

    The model is the one that `model_meta.json` beside it names, or else that of the folders `MODEL/REVISION`, in which
    mteb keeps results, or else the name of the file.
    """
    document = _read(path)
    version = document.get("mteb_version")
    name, revision = _model(path)
    settings = tuple(_settings(path, document))
    if not settings:
        raise InvalidResult(f"{path} reports no measure of retrieval, such as ndcg_at_10")
    return ReportedResult(
        source=f"mteb {version}" if isinstance(version, str) else "mteb's format",
        task=str(document.get("task_name", document.get("mteb_dataset_name", path.stem))),
        model=name,
        revision=revision,
        data=str(document.get("dataset_revision") or ""),
        settings=settings,
    )


def _read(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidResult(f"{path} is larger than {_LARGEST >> 20} MiB: it is no result of mteb")
        # NaN stands where an abstention score is not defined; no measure of retrieval is.
        content = re.sub(rb"\bNaN\b", b"null", path.read_bytes())
        document = parse(content)
    except OSError as error:
        raise InvalidResult(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidResult(f"{path} is not JSON that can be used: {error}") from error
    if not isinstance(document, dict):
        raise InvalidResult(f"{path} is no result of mteb")
    return cast(dict[str, object], document)


def _model(path: Path) -> tuple[str, str | None]:
    try:
        meta = json.loads((path.parent / MODEL_META).read_bytes())
        name, revision = meta.get("name"), meta.get("revision")
        if isinstance(name, str) and name:
            return name, revision if isinstance(revision, str) else None
    except (OSError, ValueError, AttributeError, RecursionError):
        pass
    folder = path.absolute().parent
    if "__" in folder.parent.name or _REVISION.fullmatch(folder.name):
        return folder.parent.name.replace("__", "/"), folder.name
    return path.stem, None


def _settings(path: Path, document: Mapping[str, object]) -> Iterator[ReportedSetting]:
    scores = document.get("scores")
    # Until 1.11 the splits stood at the top, and a task of one language had no subsets.
    splits = scores if isinstance(scores, dict) else document
    for split, found in splits.items():
        if isinstance(found, list):
            rows = [(row.get("hf_subset", "default"), row) for row in found if isinstance(row, dict)]
        elif isinstance(found, dict):
            nested = {name: row for name, row in found.items() if isinstance(row, dict)}
            rows = list(nested.items()) if nested else [("default", found)]
        else:
            continue
        for subset, row in rows:
            measures = _measures(path, row)
            if measures:
                yield ReportedSetting(
                    split=str(split),
                    subset=str(subset),
                    languages=_languages(row.get("languages"), str(subset)),
                    measures=measures,
                )


def _measures(path: Path, row: Mapping[str, object]) -> dict[str, float]:
    found = {}
    for name, value in row.items():
        match = _MEASURE.fullmatch(str(name))
        if match is None or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidResult(f"{path}: {name} is {value!r:.40}, no number")
        if not 0 <= value <= 1:
            raise InvalidResult(f"{path}: {name} is {value:g}: mteb writes fractions, from 0 to 1")
        found[f"{NAMES[match[1]]}@{match[2]}"] = float(value)
    return found


def _languages(stated: object, subset: str) -> tuple[str, ...]:
    """Return the canonical tags of the languages that a file states, or else of those that its subset is called after.

    Old files do not state any: there `de` and `fra-fra` are one language, `en-de` two, and `default` is none.
    """
    if isinstance(stated, list):
        return tuple(sorted({_canonical(str(tag)) or str(tag) for tag in stated}))
    parts = subset.split("-") if re.fullmatch(r"[a-z]{2,3}-[a-z]{2,3}", subset) else [subset]
    found = [_canonical(part) for part in parts]
    return tuple(sorted({tag for tag in found if tag is not None}))


def _canonical(tag: str) -> str | None:
    try:
        return check_language(tag)
    except UserError:
        return None
