import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mlbench import entry_points
from mlbench.cli.models import command
from mlbench.errors import UnknownName
from mlbench.retrievers import static


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_lists_every_scheme() -> None:
    rows = {row["scheme"]: row for row in json.loads(invoke("list", "--json").stdout)}
    assert set(rows) == set(entry_points.names(entry_points.RETRIEVERS))
    assert rows["hashing"]["summary"].startswith("Hashed character n-grams")
    assert rows["hashing"] | {"summary": ""} == {
        "scheme": "hashing",
        "summary": "",
        "package": "mlbench",
        "extra": None,
        "installed": True,
    }
    assert rows["dense"]["extra"] == "dense"


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_table(arguments: tuple[str, ...]) -> None:
    shown = invoke(*arguments).stdout
    for name in entry_points.names(entry_points.RETRIEVERS):
        assert f"\n{name} " in shown


def test_missing_extra_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.cli.models.find_spec", lambda library: None)
    rows = {row["scheme"]: row["installed"] for row in json.loads(invoke("list", "--json").stdout)}
    assert (rows["dense"], rows["hashing"]) == (False, True)
    assert "pip install 'mlbench[dense]'" in invoke("list").stdout


def test_broken_plugin_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    point = entry_points.EntryPoint("broken", "no_such_module:Nothing", entry_points.RETRIEVERS)
    genuine = entry_points.installed
    monkeypatch.setattr(entry_points, "installed", lambda group: [*genuine(group), point])
    rows = {row["scheme"]: row for row in json.loads(invoke("list", "--json").stdout)}
    assert "cannot be imported" in rows["broken"]["summary"]
    assert not rows["broken"]["installed"]
    assert rows["hashing"]["installed"]


def test_shows_the_keys_of_a_scheme() -> None:
    shown = json.loads(invoke("show", "dense", "--json").stdout)
    keys = {key["key"]: key for key in shown["keys"]}
    assert keys["dtype"] == {
        "key": "dtype",
        "type": "fp32|bf16|fp16",
        "default": "fp32",
        "required": False,
        "description": "precision: bf16 is fastest where the processor knows it",
    }
    assert keys["similarity"]["type"] == "cosine|dot"
    assert (keys["max_length"]["type"], keys["max_length"]["default"]) == ("int", None)
    assert all(key["description"] for key in shown["keys"])
    assert shown["example"].startswith("mlbench run --model dense:")


def test_says_what_the_default_model_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, pieces = np.ones((3, 8), dtype=np.float32), {"[UNK]": 0, "a": 1, "b": 2}
    folder = tmp_path / "default"
    folder.mkdir()
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    Tokenizer(WordLevel(pieces, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    (folder / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.StaticEmbedding"}]')
    monkeypatch.setattr(static, "package_files", lambda package: tmp_path)
    said = f"3 subwords, 8 dimensions, float32; licences and attributions are in {folder / 'README.md'}"
    assert json.loads(invoke("show", "static", "--json").stdout)["packaged"] == said
    assert f"\nWithout a path or hub id, the default model: {said}\n" in invoke("show", "static").stdout
    assert json.loads(invoke("show", "hashing", "--json").stdout)["packaged"] is None
    shutil.rmtree(folder)
    assert "the default model: no model comes with this mlbench: name one" in invoke("show", "static").stdout


@pytest.mark.parametrize("scheme", entry_points.names(entry_points.RETRIEVERS))
def test_every_scheme_is_explained(scheme: str) -> None:
    shown = invoke("show", scheme).stdout
    assert shown.startswith(f"{scheme}: ")
    # One that takes no path has keys to show.
    assert f"Example: mlbench run --model {scheme}:" in shown or f"--model {scheme} --set " in shown


def test_unknown_scheme() -> None:
    with pytest.raises(UnknownName, match="did you mean hashing"):
        invoke("show", "hashin")


def test_listing_imports_no_heavy_library() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom mlbench.cli.models import command\n"
        "assert CliRunner().invoke(command, ['list', '--json']).exit_code == 0\n"
        "assert CliRunner().invoke(command, ['show', 'dense', '--json']).exit_code == 0\n"
        "print({'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
