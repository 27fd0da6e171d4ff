"""What of the registry of models is used: the user's keys first, then the checkpoint's, then the registry's."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from mlbench.errors import UnknownName
from mlbench.provenance import MANIFEST
from mlbench.retrievers.registered import Registered, apply_registry, saved_keys

REGISTRY = """
[sources]
card = "https://example.org/card"

[[models]]
name = "our/model"
pooling = "cls"
query_prompt = "q: "
document_prompt = "d: "
max_length = 100
similarity = "dot"
trained_on = { squad = "yes", xquad = "no" }
sources = { card = ["pooling", "query_prompt", "document_prompt", "max_length", "similarity", "trained_on"] }

[[models]]
name = "our/doubtful"
pooling = "cls"
query_prompt = "q: "
sources = { card = ["pooling"] }
unconfirmed = ["query_prompt"]

[[models]]
name = "our/pretrained"
pretrained = true
pooling = "max"
sources = { card = ["pooling"] }
"""
ALL = {"pooling": "cls", "query_prompt": "q: ", "document_prompt": "d: ", "similarity": "dot"}
IS = {"README.md": "---\nmodel-index:\n- name: Model\n---\n# A card\n"}
MADE_FROM = {"README.md": "---\nbase_model: our/model\n---\n"}
SAVED = "config_sentence_transformers.json"


class Settings(BaseModel, extra="forbid", frozen=True):
    pooling: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    query_prompt_name: str | None = None
    max_length: int | None = None
    similarity: str | None = None
    registry: str = "true"


class Promptless(BaseModel, extra="forbid", frozen=True):
    query_prompt: str | None = None
    registry: str = "true"


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.toml").write_text(REGISTRY, encoding="utf-8")
    return str(tmp_path / "own.toml")


def saved(folder: Path, files: Mapping[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def used(folder: Path, registry: str, **keys: str | int) -> tuple[dict[str, object], Registered[Settings]]:
    """Return the keys that are set in the end, and what the registry says."""
    settings = Settings.model_validate({"registry": registry, **keys})
    registered = apply_registry(settings, str(folder), folder)
    shown = registered.settings.model_dump(exclude_none=True, exclude={"registry", "query_prompt_name"})
    return shown, registered


@pytest.mark.parametrize(
    ("files", "keys", "expected"),
    [
        ({}, {}, ALL),
        # What the user sets comes first, an empty text too.
        ({}, {"pooling": "mean"}, {**ALL, "pooling": "mean"}),
        ({}, {"query_prompt": ""}, {**ALL, "query_prompt": ""}),
        # Then what the checkpoint saves; one prompt is all of them, none of them is none.
        ({"modules.json": [{"path": ""}]}, {}, {key: ALL[key] for key in ALL if key != "pooling"}),
        ({SAVED: {"prompts": {"query": "x: "}}}, {}, {"pooling": "cls", "similarity": "dot"}),
        ({SAVED: {"prompts": {"query": "", "document": ""}}}, {}, ALL),
        ({SAVED: {"prompts": {"sts": "x: "}}}, {}, ALL),
        ({SAVED: {"prompts": {"sts": "x: "}, "default_prompt_name": "sts"}}, {}, ALL),
        ({SAVED: {"prompts": {"passage": "x: "}}}, {}, {"pooling": "cls", "similarity": "dot"}),
        ({}, {"query_prompt_name": "sts"}, {key: ALL[key] for key in ALL if key != "query_prompt"}),
        ({SAVED: {"similarity_fn_name": "cosine"}}, {}, {key: ALL[key] for key in ALL if key != "similarity"}),
        ({SAVED: {"similarity_fn_name": None, "prompts": {}}}, {}, ALL),
    ],
)
def test_precedence(
    tmp_path: Path, own: str, files: dict[str, object], keys: dict[str, str | int], expected: dict[str, object]
) -> None:
    folder = saved(tmp_path / "checkpoint", {**IS, **files})
    found, registered = used(folder, own, **keys)
    assert found == expected
    assert registered.info is not None
    assert registered.info.applied == {key: value for key, value in expected.items() if key not in keys}


@pytest.mark.parametrize(
    ("files", "keys", "length"),
    [
        ({}, {}, 100),
        ({}, {"max_length": 7}, None),
        ({"sentence_bert_config.json": {"max_seq_length": 64}}, {}, None),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, {}, 100),
    ],
)
def test_the_longest_input_follows_the_same_order(
    tmp_path: Path, own: str, files: dict[str, object], keys: dict[str, str | int], length: int | None
) -> None:
    _, registered = used(saved(tmp_path / "checkpoint", {**IS, **files}), own, **keys)
    assert registered.max_length == length


class Model:
    def __init__(self, max_seq_length: int | None) -> None:
        self.max_seq_length = max_seq_length


@pytest.mark.parametrize(("takes", "cut", "applied"), [(512, 100, True), (64, 64, False), (None, 100, True)])
def test_the_longest_input_is_never_more_than_the_checkpoint_takes(
    tmp_path: Path, own: str, takes: int | None, cut: int, applied: bool
) -> None:
    model = Model(takes)
    _, registered = used(saved(tmp_path / "checkpoint", IS), own)
    info = registered.limit(model)
    assert info is not None
    assert model.max_seq_length == cut
    assert ("max_length" in info.applied) is applied


def recipe(checkpoint: str) -> dict[str, object]:
    return {"schema_version": 1, "recipe": {"transformer": {"checkpoint": checkpoint}}}


@pytest.mark.parametrize(
    ("files", "made_from"),
    [
        (IS, False),
        ({"README.md": "---\nmodel_name: our/model\n---\n"}, False),
        (MADE_FROM, True),
        ({"README.md": "---\nlanguage: en\nbase_model:\n- nobody/nothing\n- our/model\nlicense: mit\n---\n"}, True),
        ({"README.md": "---\nbase_model: ['our/model']\n---\n"}, True),
        ({"README.md": '---\r\nbase_model: "our/model"\r\n---\r\n'}, True),
        ({"config.json": {"_name_or_path": "our/model"}}, True),
        ({"adapter_config.json": {"base_model_name_or_path": "our/model"}}, True),
        ({MANIFEST: recipe("our/model")}, True),
        # The text of a card is no metadata, and damage names nothing.
        ({"README.md": "---\nlanguage: en\n---\nbase_model: our/model\n"}, None),
        ({"README.md": "base_model: our/model\n"}, None),
        ({MANIFEST: "{"}, None),
        ({"config.json": "{", "modules.json": "[3]", "adapter_config.json": "[", "README.md": "---\n"}, None),
        ({"config.json": {"_name_or_path": "somewhere/else/our/model"}}, None),
        # What is trained from a pre-trained model is another retriever.
        ({"config.json": {"_name_or_path": "our/pretrained"}}, None),
        ({"README.md": "---\nbase_model: our/pretrained\n---\n"}, None),
        ({"README.md": "---\nmodel_name: pretrained\n---\n"}, None),
        ({}, None),
    ],
)
def test_a_folder_says_what_it_is(tmp_path: Path, own: str, files: dict[str, object], made_from: bool | None) -> None:
    _, registered = used(saved(tmp_path / "checkpoint", files), own)
    assert (registered.info.made_from if registered.info else None) is made_from


def test_an_adapter_is_made_from_what_the_folder_of_its_base_is(tmp_path: Path, own: str) -> None:
    base = saved(tmp_path / "base", IS)
    adapter = saved(tmp_path / "adapter", {"adapter_config.json": {"base_model_name_or_path": str(base)}})
    found, registered = used(adapter, own)
    assert found == ALL
    assert registered.info is not None
    assert registered.info.made_from


def test_a_hub_id_a_snapshot_of_it_and_a_copy_are_the_same(tmp_path: Path, own: str) -> None:
    snapshot = saved(tmp_path / "hub" / "models--our--model" / "snapshots" / "1a2b", {})
    by_id = apply_registry(Settings(registry=own), "our/model", snapshot)
    assert by_id == apply_registry(Settings(registry=own), str(snapshot), snapshot)
    copy = saved(tmp_path / "copy", IS)
    assert by_id == apply_registry(Settings(registry=own), str(copy), copy)
    assert by_id.info is not None


def test_a_snapshot_of_a_pretrained_model_is_that_model(tmp_path: Path, own: str) -> None:
    snapshot = saved(tmp_path / "models--our--pretrained" / "snapshots" / "1a2b", {})
    found, _ = used(snapshot, own)
    assert found == {"pooling": "max"}


def test_training_data_carry_over_but_not_their_absence(tmp_path: Path, own: str) -> None:
    _, model = used(saved(tmp_path / "is", IS), own)
    _, further = used(saved(tmp_path / "made", MADE_FROM), own)
    assert model.info is not None
    assert further.info is not None
    assert model.info.trained_on == {"squad": "yes", "xquad": "no"}
    assert further.info.trained_on == {"squad": "yes", "xquad": "unknown"}
    on_xquad = model.info.on_task(["xquad", "squad"])
    assert (on_xquad.seen, on_xquad.seen_names) == (("squad",), "SQuAD")
    assert (model.info.on_task(["mlqa", "xquad"]).seen, model.info.seen_names) == ((), "")


def test_a_training_of_our_own_says_how_it_is_used(tmp_path: Path, own: str) -> None:
    found, registered = used(saved(tmp_path / "trained", {MANIFEST: recipe("our/model")}), own)
    assert found == {}
    assert registered.info is not None
    assert (registered.info.applied, registered.max_length) == ({}, None)
    assert registered.info.trained_on["squad"] == "yes"


def test_it_can_be_switched_off_or_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "checkpoint", {"README.md": "---\nbase_model: intfloat/multilingual-e5-small\n---\n"})
    for off in ("false", "False"):
        found, registered = used(folder, off)
        assert (found, registered.info) == ({}, None)
    found, registered = used(folder, "intfloat/multilingual-e5-large-instruct")
    assert registered.info is not None
    assert registered.info.name == "intfloat/multilingual-e5-large-instruct"
    assert str(found["query_prompt"]).startswith("Instruct: ")
    with pytest.raises(UnknownName, match="did you mean intfloat/multilingual-e5-base"):
        used(folder, "intfloat/multilingual-e5-bas")


def test_what_nobody_confirmed_is_said(tmp_path: Path, own: str) -> None:
    _, registered = used(saved(tmp_path / "checkpoint", {"README.md": "---\nmodel_name: our/doubtful\n---\n"}), own)
    assert registered.info is not None
    assert registered.info.applied == {"pooling": "cls", "query_prompt": "q: "}
    assert registered.info.unconfirmed == ("query_prompt",)


def test_only_keys_that_the_scheme_takes_are_set(tmp_path: Path, own: str) -> None:
    folder = saved(tmp_path / "checkpoint", IS)
    registered = apply_registry(Promptless(registry=own), str(folder), folder)
    assert registered.settings.query_prompt == "q: "
    assert registered.info is not None
    assert registered.info.applied == {"query_prompt": "q: "}
    assert registered.max_length is None


def test_a_folder_that_saves_nothing_saves_nothing(tmp_path: Path) -> None:
    assert saved_keys(tmp_path) == set()
