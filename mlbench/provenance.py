"""How a checkpoint was trained: what its manifest and the registry of models say, and what a result keeps of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, JsonValue, ValidationError

from mlbench.errors import DataError
from mlbench.io.document import DocumentPart
from mlbench.io.untrusted import parse

MANIFEST = "mlbench-training.json"
"""The file in the folder of a checkpoint that `mlbench train` writes."""
SCHEMA_VERSION = 1
_LARGEST = 2**20

QuestionSet = Literal["miracl", "mlqa", "squad", "xquad"]
QUESTION_SETS: Mapping[QuestionSet, str] = {"miracl": "MIRACL", "mlqa": "MLQA", "squad": "SQuAD", "xquad": "XQuAD"}
"""Data sets that tasks are built from, and that models are often trained on, with the names that people know."""
Answer = Literal["yes", "no", "unknown"]


class TrainedOn(DocumentPart):
    """A data set that was trained on; `fingerprint` is that of its rows."""

    name: str
    fingerprint: str
    rows: int | None = Field(default=None, ge=0)


class Contamination(DocumentPart):
    """What training texts were found to hold of the texts of `tasks`: `rows` counts rows with a hit by data set.

    What was done about it is in the recipe.
    """

    tasks: tuple[str, ...]
    texts: int = Field(ge=0)
    hits: int = Field(ge=0)
    rows: dict[str, int] = Field(default={})


class Provenance(DocumentPart):
    """What made a checkpoint: the recipe as a whole, the data, and the code; `steps` were taken of those it asks for.

    `contamination` is None where it was not looked for.
    """

    recipe: dict[str, JsonValue]
    recipe_fingerprint: str
    data: tuple[TrainedOn, ...]
    code_version: str
    code_commit: str | None = None
    seed: int | None = None
    steps: int = Field(ge=0)
    contamination: Contamination | None = None

    @property
    def name(self) -> str:
        """What the recipe is called; the empty text where it has no name."""
        name = self.recipe.get("name")
        return name if isinstance(name, str) else ""

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks and training sets that the recipe names as data to train on, as it names them."""
        sets = self.recipe.get("datasets")
        named = [data.get("tasks") for data in sets if isinstance(data, dict)] if isinstance(sets, list) else []
        return frozenset(str(task) for tasks in named if isinstance(tasks, list) for task in tasks)


class RegistryInfo(DocumentPart):
    """What the registry of models says of a retriever that is the model `name`, or is `made_from` it.

    `applied` are the keys that have their values from there, and `unconfirmed` those of them that nobody confirmed.
    `trained_on` says of data sets whether they are among the model's training data: `no` only where its authors list
    those. Of what is made from the model, `no` becomes `unknown`. `seen` are those that it was trained on and that the
    task of a result is built from, sorted: numbers there are not zero-shot.
    """

    name: str
    made_from: bool = False
    applied: dict[str, str | int] = Field(default={})
    unconfirmed: tuple[str, ...] = ()
    trained_on: dict[QuestionSet, Answer] = Field(default={})
    seen: tuple[QuestionSet, ...] = ()

    def on_task(self, built_from: Iterable[QuestionSet]) -> "RegistryInfo":
        """Return what a result says of it on a task that is built from some data sets."""
        seen = tuple(name for name in sorted(built_from) if self.trained_on.get(name) == "yes")
        return self.model_copy(update={"seen": seen})

    @property
    def seen_names(self) -> str:
        """The data sets of `seen` as people call them, joined by `and`; empty where there are none."""
        return " and ".join(QUESTION_SETS[name] for name in self.seen)


def read_manifest(folder: Path) -> dict[str, JsonValue] | None:
    """Return the manifest in a checkpoint's folder; None where there is none.

    Raises `DataError` in one line for one that is damaged, larger than 1 MiB, of a newer mlbench, or somebody else's.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path} is larger than {_LARGEST >> 20} MiB: it is no manifest of training")
        manifest = parse(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON that can be used: {error}") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if not isinstance(manifest, dict) or not isinstance(version, int):
        raise DataError(f"{path} is no manifest of training")
    if version > SCHEMA_VERSION:
        raise DataError(f"{path} has schema {version} of a newer mlbench, this one reads {SCHEMA_VERSION}: upgrade")
    return manifest


def read_provenance(folder: Path) -> Provenance | None:
    """Return what a result keeps of the manifest in a checkpoint's folder; raises as `read_manifest` does."""
    manifest = read_manifest(folder)
    try:
        return None if manifest is None else Provenance.model_validate(_provenance_keys(manifest))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{folder / MANIFEST} is no manifest of training: {place!r}: {first['msg']}") from error


def _provenance_keys(manifest: Mapping[str, object]) -> dict[str, object]:
    """Return what a result keeps of a manifest; anything in another form than expected is left to be refused."""
    kept = _known(Provenance, manifest)
    recipe, data, found = (manifest.get(key) for key in ("recipe", "data", "contamination"))
    if isinstance(recipe, dict):
        kept.setdefault("seed", recipe.get("seed"))
    if isinstance(data, list):
        kept["data"] = [_known(TrainedOn, each) if isinstance(each, dict) else each for each in data]
    if isinstance(found, dict):
        kept["contamination"] = {"tasks": _tasks(found), **_known(Contamination, found)} if found else None
    return kept


def _known(model: type[BaseModel], content: Mapping[str, object]) -> dict[str, object]:
    return {name: content[name] for name in model.model_fields if name in content}


def _tasks(found: Mapping[str, object]) -> list[object]:
    evaluation = found.get("evaluation")
    looked = [each.get("task") for each in evaluation if isinstance(each, dict)] if isinstance(evaluation, list) else []
    return list(dict.fromkeys(looked))
