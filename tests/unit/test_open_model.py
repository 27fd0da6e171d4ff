import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from mlbench import entry_points
from mlbench.errors import RetrieverError, UnknownName
from mlbench.open_model import describe, open_model, open_retriever, parse
from mlbench.protocols import SILENCE, Encoder, Ranker, Runtime

RUNTIME = Runtime()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("jinaai/jina-colbert-v2", ("late", "jinaai/jina-colbert-v2")),
        ("minishlab/potion-multilingual-128M", ("static", "minishlab/potion-multilingual-128M")),
        ("dense:jinaai/jina-colbert-v2", ("dense", "jinaai/jina-colbert-v2")),
        ("hashing:", ("hashing", "")),
        ("hashing", ("hashing", "")),
        ("vectors:./folder", ("vectors", "./folder")),
        ("dense:intfloat/e5:x", ("dense", "intfloat/e5:x")),
        ("intfloat/multilingual-e5-base", ("dense", "intfloat/multilingual-e5-base")),
        ("./no/such:folder", ("dense", "./no/such:folder")),
        (r"C:\models\mine", ("dense", r"C:\models\mine")),
        ("c:/models/mine", ("dense", "c:/models/mine")),
        ("run:C:/runs", ("run", "C:/runs")),
        ("bert-base-uncased", ("dense", "bert-base-uncased")),
    ],
)
def test_parse(spec: str, expected: tuple[str, str]) -> None:
    assert parse(spec) == expected


@pytest.mark.parametrize("name", ["run:7", "hashing", "e5:small"])
def test_existing_folder_wins(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse(name) == ("dense", name)


def test_a_folder_belongs_to_the_scheme_that_recognises_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    modules = [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    for name in ("run:7", "static"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "modules.json").write_text(json.dumps(modules))
        assert parse(name) == ("static", name)
        assert [describe(spec) for spec in (name, f"static:{name}", f"dense:{name}", f"vectors:{name}")] == [
            name,
            name,
            f"dense:{name}",
            f"vectors:{name}",
        ]
    (tmp_path / "file").touch()
    assert parse("file") == ("dense", "file")
    assert describe("dense:file") == "file"


def test_a_plugin_that_cannot_be_imported_hides_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = entry_points.installed
    broken = EntryPoint("a_broken_one", "no_such_module:Nothing", entry_points.RETRIEVERS)
    monkeypatch.setattr(entry_points, "installed", lambda group: [*genuine(group), broken])
    assert parse(str(tmp_path)) == ("dense", str(tmp_path))


@pytest.mark.parametrize("spec", ["", "  "])
def test_empty_spec(spec: str) -> None:
    with pytest.raises(RetrieverError, match="give a folder, a hub id or SCHEME:PATH_OR_ID"):
        parse(spec)


def test_unknown_scheme_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown retriever 'hashin': did you mean hashing"):
        open_retriever("hashin:", {}, RUNTIME)


def test_settings_are_read_from_text() -> None:
    opened = open_retriever("hashing:", {"dim": "64", "n_max": "3"}, RUNTIME)
    assert isinstance(opened, Encoder)
    assert opened.parameters == {"dim": 64, "n_min": 1, "n_max": 3}


def test_all_faults_of_the_settings_in_one_line() -> None:
    with pytest.raises(RetrieverError) as caught:
        open_retriever("hashing:", {"dime": "64", "dim": "many", "n_max": "9"}, RUNTIME)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "unknown key 'dime': did you mean dim?",
        "dim: input should be a valid integer",
        "not 'many'",
        "n_max",
    ):
        assert part in message


def test_scheme_without_keys_says_so(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="unknown key 'depth': it takes no keys"):
        open_retriever(f"run:{tmp_path}", {"depth": "3"}, RUNTIME)


class Nothing:
    class Settings(BaseModel):
        pass

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> object:
        return {"locator": locator}


class NoScheme:
    pass


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(name: str) -> None:
        point = EntryPoint("mine", f"{__name__}:{name}", entry_points.RETRIEVERS)
        monkeypatch.setattr(entry_points, "installed", lambda group: [point])
        monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[name])

    return install


def test_opened_object_must_be_a_retriever(installed: Callable[[str], None]) -> None:
    installed("Nothing")
    with pytest.raises(RetrieverError, match=r"no encoder \(it lacks dim, encode.*no ranker \(it lacks.*search"):
        open_retriever("mine:", {}, RUNTIME)


def test_plugin_must_be_a_scheme(installed: Callable[[str], None]) -> None:
    installed("NoScheme")
    with pytest.raises(RetrieverError, match="needs Settings"):
        open_retriever("mine:", {}, RUNTIME)


def test_ranker_opens(tmp_path: Path) -> None:
    (tmp_path / "en-en.trec").touch()
    assert isinstance(open_retriever(f"run:{tmp_path}", {}, RUNTIME), Ranker)


def test_another_process_opens_the_same_from_its_own_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/en-en.trec").write_text("t1 Q0 d1 1 1.0 x\n")
    for spec, told in (("run:runs", f"run:{tmp_path / 'runs'}"), ("hashing", "hashing")):
        source = open_model(spec, {}, RUNTIME, SILENCE).source
        assert source is not None
        assert source.spec == told


def test_of_two_plugins_of_one_name_our_own_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        SimpleNamespace(name="hashing", value=f"{name}:Hashing", dist=dist and SimpleNamespace(name=dist))
        for name, dist in (("another", "another"), ("mlbench", "mlbench"), ("built_in", None))
    ]
    for there in (points, points[::-1]):
        monkeypatch.setattr(entry_points, "installed", lambda group, there=there: there)
        assert entry_points.origin(entry_points.RETRIEVERS, "hashing") == "mlbench"
