"""The registry of models: its form, and how an entry is found."""

from pathlib import Path
from typing import get_args

import pytest

from mlbench.errors import InvalidRegistry, UnknownName
from mlbench.provenance import QUESTION_SETS, QuestionSet
from mlbench.registry.entry import FACTS, Entry
from mlbench.registry.find import entries, find, look_up, read_entries, scheme_of, shipped
from mlbench.retrievers.load_checkpoint import Pooling

FILES = sorted((Path(__file__).parents[3] / "models" / "registry").glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_well_formed(path: Path) -> None:
    for entry in read_entries(path):
        # A fact without a source is unconfirmed; anything else the form refuses.
        assert "similarity" in entry.stated or entry.pretrained or entry.kind != "dense", entry.name
        assert all(source.startswith(("https://", "mteb ")) for source in entry.sources), entry.name
        assert not {"query_prompt", "pooling"} & {*entry.stated} or entry.kind in ("dense", "late", "sparse"), (
            entry.name
        )
        assert entry.name.partition("/")[0] not in ("", "."), entry.name


def test_names_and_aliases_are_there_once() -> None:
    every = [entry for path in FILES for entry in read_entries(path)]
    names = [name.lower() for entry in every for name in (entry.name, *entry.aliases)]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    assert list(shipped()) == sorted(entry.name for entry in every)


def test_poolings_are_those_of_dense_encoders() -> None:
    annotation = Entry.model_fields["pooling"].annotation
    assert {name for part in get_args(annotation) for name in get_args(part)} == set(get_args(Pooling))


def test_data_sets_have_names() -> None:
    assert set(QUESTION_SETS) == set(get_args(QuestionSet))


def test_prompts_of_instructed_models_follow_their_instruction() -> None:
    for entry in shipped().values():
        if entry.instruction is not None:
            start, _, end = entry.instruction.partition("{task}")
            assert entry.query_prompt is not None, entry.name
            assert entry.query_prompt.startswith(start), entry.name
            assert entry.query_prompt.endswith(end), entry.name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("intfloat/multilingual-e5-small", "intfloat/multilingual-e5-small"),
        ("Intfloat/Multilingual-E5-small", "intfloat/multilingual-e5-small"),
        ("LaBSE", "sentence-transformers/LaBSE"),
        ("xlm-roberta-base", "FacebookAI/xlm-roberta-base"),
        ("multilingual-e5-small", None),
        ("./multilingual-e5-small", None),
        ("", None),
    ],
)
def test_hub_ids_are_found_as_the_hub_finds_them(name: str, found: str | None) -> None:
    entry = find(name, shipped())
    assert (entry.name if entry else None) == found


def test_people_may_leave_out_the_owner() -> None:
    assert look_up("multilingual-e5-small", shipped()).name == "intfloat/multilingual-e5-small"
    with pytest.raises(UnknownName, match="did you mean intfloat/multilingual-e5-base"):
        look_up("intfloat/multilingual-e5-bas", shipped())


def test_the_kind_is_the_scheme() -> None:
    assert scheme_of("intfloat/multilingual-e5-small") == "dense"
    assert scheme_of("minishlab/potion-multilingual-128M") == "static"
    assert scheme_of("jinaai/jina-colbert-v2") == "late"
    assert scheme_of("nobody/nothing") is None


OWN = """
[sources]
card = "https://example.org/card"

[[models]]
name = "our/model"
query_prompt = "q: "
dim = 8
sources = { card = ["query_prompt"] }
unconfirmed = ["dim"]
"""


def test_own_entries_stand_beside_the_shipped_ones_and_take_their_place(tmp_path: Path) -> None:
    (own,) = read_entries(written(tmp_path, OWN))
    assert own.sources == {"https://example.org/card": ("query_prompt",)}
    assert own.use == {"query_prompt": "q: "}
    assert entries([own])["our/model"] is own
    other = own.model_copy(update={"name": "intfloat/multilingual-e5-small"})
    assert entries([other])["intfloat/multilingual-e5-small"] is other
    assert len(entries([other])) == len(shipped())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("dim = 8", "dim = 0"), "models[0].dim: input should be greater than or equal to 1"),
        (('"our/model"', '"model"'), "models[0].name: string should match pattern"),
        (("dim = 8", 'pool = "cls"'), "models[0].pool: unknown key: did you mean pooling?"),
        (("dim = 8", 'dim = 8\nlanguages = ["english!"]'), "'english!' is not a language tag"),
        (('unconfirmed = ["dim"]', ""), "'dim' has no source and is not in unconfirmed"),
        (('"query_prompt"]', '"query_prompt", "licence"]'), "'licence' has a source but no value"),
        (('["dim"]', '["dim", "pooling"]'), "'pooling' is unconfirmed but has no value"),
        (('card = ["query', 'paper = ["query'), "sources has no 'paper', which an entry names"),
        (("[[models]]", 'more = "https://example.org"\n[[models]]'), "sources.more: no entry names it"),
        (("dim = 8", 'dim = 8\ninstruction = "say: "'), "instruction needs {task}"),
        (("dim = 8", 'dim = 8\ntrained_on = { xquad = "maybe" }'), "unknown value 'maybe'"),
        (("dim = 8", 'dim = 8\ntrained_on = { nq = "yes" }'), "trained_on.nq"),
    ],
)
def test_faults_of_a_file_are_told_in_one_line(tmp_path: Path, change: tuple[str, str], fault: str) -> None:
    path = written(tmp_path, OWN.replace(*change))
    with pytest.raises(InvalidRegistry) as raised:
        read_entries(path)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_facts_are_fields() -> None:
    assert set(FACTS) <= set(Entry.model_fields)
