import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document
from mlbench.errors import DataError
from mlbench.evaluation.options import Options
from mlbench.protocols import Parameter, Silence
from mlbench.provenance import MANIFEST, Contamination, Provenance, TrainedOn, read_provenance
from mlbench.results import RetrieverInfo
from mlbench.retrievers.checkpoint_folder import read_files

Manifest = dict[str, Any]


def manifest() -> Manifest:
    """What a trainer writes: more than a result keeps."""
    return {
        "schema_version": 1,
        "recipe": {"name": "static-hybrid", "seed": 7, "batches": {"alpha": 0.5, "languages": ["ar", None, True]}},
        "recipe_fingerprint": "a" * 64,
        "data": [{"name": "ntrex", "fingerprint": "b" * 64, "rows": 1997, "licence": "CC BY-SA 4.0"}],
        "code_version": "0.1.0",
        "code_commit": None,
        "steps": 4000,
        "updates": 4000,
        "contamination": {
            "threshold": {"characters": 15},
            "evaluation": [{"task": "mlqa-r", "kind": kind, "texts": 9} for kind in ("question", "sentence")],
            "texts": 1997,
            "hits": 3,
            "rows": {"ntrex": 2},
            "examples": [{"id": "t1"}],
        },
        "epochs": [{"dataset": "ntrex", "language": "de", "epochs": 512.3}],
    }


def write(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def test_keeps_what_a_result_needs(tmp_path: Path) -> None:
    found = read_provenance(write(tmp_path, manifest()))
    assert found == Provenance(
        recipe=manifest()["recipe"],
        recipe_fingerprint="a" * 64,
        data=(TrainedOn(name="ntrex", fingerprint="b" * 64, rows=1997),),
        code_version="0.1.0",
        seed=7,
        steps=4000,
        contamination=Contamination(tasks=("mlqa-r",), texts=1997, hits=3, rows={"ntrex": 2}),
    )
    assert found.name == "static-hybrid"
    assert found.model_copy(update={"recipe": {"name": 3}}).name == ""


def test_nothing_is_known_without_a_manifest(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) is None
    (tmp_path / MANIFEST).mkdir()
    assert read_provenance(tmp_path) is None


@pytest.mark.parametrize("absent", [None, {}])
def test_contamination_may_not_have_been_looked_for(absent: object, tmp_path: Path) -> None:
    found = read_provenance(write(tmp_path, {**manifest(), "contamination": absent, "seed": 1}))
    assert found is not None
    assert (found.contamination, found.seed) == (None, 1)


def without(key: str) -> Manifest:
    return {name: value for name, value in manifest().items() if name != key}


def nested(depth: int) -> str:
    return json.dumps(manifest()).replace('"static-hybrid"', "[" * depth + "]" * depth)


FAULTS: dict[str, tuple[object, str]] = {
    "empty": ("", "is not JSON that can be used"),
    "cut": ('{"schema_version": 1, "rec', "is not JSON that can be used"),
    "no object": ([manifest()], "is no manifest of training"),
    "somebody else's": ({"epochs": 3}, "is no manifest of training"),
    "a version in words": ({**manifest(), "schema_version": "1"}, "is no manifest of training"),
    "newer": ({**manifest(), "schema_version": 2}, "schema 2 of a newer mlbench, this one reads 1: upgrade"),
    "no recipe": (without("recipe"), "'recipe': Field required"),
    "no data": (without("data"), "'data': Field required"),
    "data of another form": ({**manifest(), "data": {"ntrex": 3}}, "'data': Input should be"),
    "data without a name": ({**manifest(), "data": [{"fingerprint": "b"}]}, r"'data\.0\.name': Field required"),
    "data that is none": ({**manifest(), "data": ["ntrex"]}, r"'data\.0': Input should be"),
    "a recipe in TOML": ({**manifest(), "recipe": "name = 'a'"}, "'recipe': Input should be"),
    "steps in words": ({**manifest(), "steps": "many"}, "'steps': Input should be"),
    "another contamination": ({**manifest(), "contamination": {"hits": -1}}, r"'contamination\.texts'"),
    "a task that is none": (
        {**manifest(), "contamination": {"evaluation": [{}], "texts": 1, "hits": 0}},
        r"'contamination\.tasks\.0'",
    ),
    "NaN": (json.dumps(manifest()).replace("0.5", "NaN"), "NaN is not a number"),
    "infinite": (json.dumps(manifest()).replace("0.5", "1e999"), "not JSON|no manifest"),
    "endless": (json.dumps(manifest()).replace("0.5", "9" * 20), "too large a number"),
    "half a character": ({**manifest(), "code_version": "\ud800"}, "surrogates not allowed"),
    "a key twice": ('{"schema_version": 1, "schema_version": 1}', "a key stands twice"),
    "deep": (nested(300), "no manifest|not JSON"),
    "deeper": (nested(100_000), "not JSON that can be used"),
    "large": ({**manifest(), "epochs": ["x" * 2**20]}, "is larger than 1 MiB"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    content, message = FAULTS[name]
    with pytest.raises(DataError, match=message) as raised:
        read_provenance(write(tmp_path, content))
    assert MANIFEST in str(raised.value)
    assert "\n" not in str(raised.value)


class Noted(Silence):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Trained:
    """A ranker that was trained in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parameters: dict[str, Parameter] = {}

    @property
    def provenance(self) -> Provenance | None:
        return read_provenance(self.folder)

    def fingerprint(self) -> str:
        return "f" * 64

    def search(self, setting: Setting, queries: object, documents: Sequence[Document], depth: int) -> list[list[str]]:
        raise NotImplementedError


class Module(Trained):
    """One that calls something else its provenance."""

    provenance = True  # type: ignore[assignment]


def test_a_result_says_how_its_retriever_was_trained(tmp_path: Path) -> None:
    info = Options().open_model(Trained(write(tmp_path, manifest()))).info()
    assert info.training == read_provenance(tmp_path)
    assert RetrieverInfo.model_validate(json.loads(info.model_dump_json())) == info


def test_a_damaged_manifest_is_a_warning(tmp_path: Path) -> None:
    noted = Noted()
    opened = Options(progress=noted).open_model(Trained(write(tmp_path, "{")))
    assert opened.info().training is None
    (note,) = noted.notes
    assert re.fullmatch(r"warning: .*mlbench-training\.json is not JSON .*; the result does not say how .*", note)


def test_what_else_is_called_provenance_is_ignored(tmp_path: Path) -> None:
    noted = Noted()
    assert Options(progress=noted).open_model(Module(tmp_path)).info().training is None
    assert noted.notes == []


def test_is_no_part_of_a_checkpoints_digest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = read_files(tmp_path)[1]
    assert read_files(write(tmp_path, manifest()))[1] == before
    (tmp_path / "config.json").write_text("{ }")
    assert read_files(tmp_path)[1] != before
