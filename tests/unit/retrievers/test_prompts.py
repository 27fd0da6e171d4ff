"""Which prompts are taken, and what is told of them; against the library's own choice where it makes one."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.tiny import TEXTS, save_bert, save_tokenizer

from mlbench.errors import RetrieverError
from mlbench.open_model import open_model
from mlbench.protocols import Encoder, Runtime, Silence
from mlbench.retrievers.late_interaction import LateLists
from mlbench.retrievers.prompts import PromptSettings, choose_prompts
from mlbench.retrievers.sparse import SparseLists
from mlbench.retrievers.static import StaticEncoder

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
E5 = {"query": "query: ", "passage": "passage: "}
INSTRUCT = {"query": "Instruct: find it\nQuery: ", "document": ""}
OTHERS = {"retrieval.query": "a ", "s2p_query": "b ", "search_query": "c "}


class Notes(Silence):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def choose(saved: Mapping[str, str], default: str | None = None, **asked: str) -> tuple[str, str, tuple[str, ...]]:
    found = choose_prompts(saved, default, PromptSettings.model_validate(asked))
    return found.texts["query"], found.texts["document"], found.warnings


@pytest.mark.parametrize(
    ("saved", "asked", "expected"),
    [
        ({}, {}, ("", "")),
        (E5, {}, ("query: ", "passage: ")),
        (E5 | {"document": ""}, {}, ("query: ", "passage: ")),
        (E5 | {"document": "d: "}, {}, ("query: ", "d: ")),
        ({"corpus": "c: "}, {}, ("", "c: ")),
        (E5, {"query_prompt": "", "document_prompt": "x"}, ("", "x")),
        (OTHERS, {"query_prompt_name": "s2p_query"}, ("b ", "")),
        (OTHERS, {"query_prompt_name": "s2p_query", "document_prompt_name": "search_query"}, ("b ", "c ")),
        # Twice the same name is a symmetric model.
        (E5, {"document_prompt_name": "query"}, ("query: ", "query: ")),
        (INSTRUCT, {}, ("Instruct: find it\nQuery: ", "")),
        (OTHERS, {"query_prompt": "Instruct: {}\nQuery: "}, ("Instruct: {}\nQuery: ", "")),
    ],
)
def test_which_prompts_are_taken(saved: dict[str, str], asked: dict[str, str], expected: tuple[str, str]) -> None:
    assert choose(saved, **asked)[:2] == expected


@pytest.mark.parametrize(
    ("saved", "asked", "message"),
    [
        (OTHERS, {"query_prompt_name": "query"}, "under retrieval.query, s2p_query, search_query"),
        (E5 | {"document": ""}, {"document_prompt_name": "doc"}, "document_prompt_name=doc: .* under passage, query"),
        ({"query": "q"}, {"query_prompt_name": "q"}, "saves a prompt under query"),
        ({"query": "", "document": ""}, {"query_prompt_name": "q"}, "saves no prompts"),
        (E5, {"query_prompt_name": "query", "query_prompt": "q"}, "set query_prompt or query_prompt_name, not both"),
    ],
)
def test_wrong_names_are_told_with_those_that_are_saved(
    saved: dict[str, str], asked: dict[str, str], message: str
) -> None:
    with pytest.raises(RetrieverError, match=message) as caught:
        choose(saved, **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("saved", "default", "asked", "told"),
    [
        ({}, None, {}, []),
        ({"query": "", "document": ""}, None, {}, []),
        ({"query": "q: ", "document": "d: ", "Clustering": "c: "}, None, {}, []),
        (INSTRUCT, None, {}, []),
        (INSTRUCT, "query", {}, []),
        (OTHERS, None, {}, ["queries and documents get no prompt: .* under retrieval.query, s2p_query, search_query,"]),
        (OTHERS, None, {"query_prompt": "", "document_prompt": ""}, []),
        (OTHERS, None, {"query_prompt_name": "s2p_query"}, ["documents get no prompt: .*--set document_prompt_name="]),
        (INSTRUCT | {"sts": "x"}, None, {}, ["documents get no prompt: .* saves a prompt under sts"]),
        ({"sts": "x", "b": "y"}, "sts", {}, ["its default prompt 'sts' is for encode alone.* under b, sts;"]),
        (E5, None, {}, ["documents get the prompt that is saved as 'passage'; encode_document .* gives them none"]),
        (E5, None, {"document_prompt_name": "passage"}, []),
        ({"query": "Q: {text}"}, None, {}, [r"the prompt of queries holds \{text\}, .* as it stands"]),
        ({}, None, {"document_prompt": r"a\nb"}, ["the prompt of documents holds a backslash and an n"]),
        ({}, None, {"document_prompt": "a\nb"}, []),
    ],
)
def test_what_a_user_is_told(
    saved: dict[str, str], default: str | None, asked: dict[str, str], told: list[str]
) -> None:
    _, _, warnings = choose(saved, default, **asked)
    assert len(warnings) == len(told)
    for warning, pattern in zip(warnings, told, strict=True):
        assert "\n" not in warning
        assert re.search(pattern, warning), warning


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("plain"), "BertModel")


@pytest.mark.parametrize(
    ("prompts", "default"),
    [
        (None, None),
        ({"query": "the ", "document": "a mat "}, None),
        ({"query": "the ", "document": "a mat "}, "document"),
        ({"sts": "cat "}, "sts"),
        ({"query": "the cat\nsat: "}, "query"),
    ],
)
def test_a_dense_model_gets_the_prompts_that_the_library_gives_it(
    plain: Path, tmp_path: Path, prompts: dict[str, str] | None, default: str | None
) -> None:
    model = sentence_transformers.SentenceTransformer(
        str(plain), device="cpu", prompts=prompts, default_prompt_name=default
    )
    model.save(str(tmp_path))
    for given in (model, str(tmp_path)):
        encoder = open_model(given, {}, RUNTIME, Silence()).retriever
        assert isinstance(encoder, Encoder)
        np.testing.assert_allclose(encoder.encode(TEXTS, "query"), model.encode_query(TEXTS), atol=1e-5)
        np.testing.assert_allclose(encoder.encode(TEXTS, "document"), model.encode_document(TEXTS), atol=1e-5)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_dense_model_gets_the_prompt_of_a_name(plain: Path, tmp_path: Path, in_memory: bool) -> None:
    prompts = {"web_search_query": "find the\ncat: ", "passage": "a mat "}
    model = sentence_transformers.SentenceTransformer(str(plain), device="cpu", prompts=prompts)
    model.save(str(tmp_path))
    notes = Notes()
    settings = {"query_prompt_name": "web_search_query", "document_prompt_name": "passage"}
    encoder = open_model(model if in_memory else str(tmp_path), settings, RUNTIME, notes).retriever
    assert isinstance(encoder, Encoder)
    expected = model.encode(TEXTS, prompt_name="web_search_query")
    np.testing.assert_allclose(encoder.encode(TEXTS, "query"), expected, atol=1e-5)
    assert encoder.parameters["query_prompt"] == "find the\ncat: "
    assert notes.lines == []


def test_prompts_left_out_of_the_pooling_stay_out_of_it(plain: Path, tmp_path: Path) -> None:
    for include in (True, False):
        model = sentence_transformers.SentenceTransformer(str(plain), device="cpu", prompts={"web": "find the cat: "})
        model.set_pooling_include_prompt(include)
        model.save(str(tmp_path / str(include)))
    found = {}
    for name in ("True", "False"):
        encoder = open_model(str(tmp_path / name), {"query_prompt_name": "web"}, RUNTIME, Silence()).retriever
        assert isinstance(encoder, Encoder)
        library = sentence_transformers.SentenceTransformer(str(tmp_path / name), device="cpu")
        found[name] = encoder.encode(TEXTS, "query")
        np.testing.assert_allclose(found[name], library.encode(TEXTS, prompt_name="web"), atol=1e-5)
    assert np.abs(found["True"] - found["False"]).max() > 0.01


def test_instructor_models_of_the_hub_pool_without_the_prompt(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence_transformers.SentenceTransformer(str(plain), device="cpu").save(str(tmp_path))
    monkeypatch.setattr("mlbench.retrievers.checkpoint_folder._fetch", lambda *_, **__: tmp_path)
    encoders = [
        open_model(f"dense:{name}", {"query_prompt": "find the cat: "}, RUNTIME, Silence()).retriever
        for name in ("hkunlp/instructor-base", "other/instructor-base")
    ]
    library = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    library.set_pooling_include_prompt(False)
    expected = library.encode(TEXTS, prompt="find the cat: ")
    instructor, other = encoders
    assert isinstance(instructor, Encoder)
    assert isinstance(other, Encoder)
    np.testing.assert_allclose(instructor.encode(TEXTS, "query"), expected, atol=1e-5)
    assert np.abs(other.encode(TEXTS, "query") - expected).max() > 0.01
    assert instructor.fingerprint("query") != other.fingerprint("query")
    assert instructor.parameters["include_prompt"] is False


def test_other_kinds_take_names_too(tmp_path: Path) -> None:
    network = save_bert(tmp_path / "network", "BertForMaskedLM")
    prompts = {"web": "the ", "doc": "a mat "}
    sparse = sentence_transformers.SparseEncoder(str(network), device="cpu", prompts=prompts)
    sparse.save(str(tmp_path / "sparse"))
    late = sentence_transformers.MultiVectorEncoder(
        str(save_bert(tmp_path / "plain", "BertModel")), device="cpu", prompts=prompts
    )
    late.save(str(tmp_path / "late"))
    static = tmp_path / "static"
    save_static(static, prompts)
    settings = {"query_prompt_name": "web", "document_prompt_name": "doc"}
    for spec, kind in ((f"sparse:{tmp_path / 'sparse'}", SparseLists), (f"late:{tmp_path / 'late'}", LateLists)):
        opened = open_model(spec, settings, RUNTIME, Silence()).retriever
        assert isinstance(opened, kind)
        assert (opened.parameters["query_prompt"], opened.parameters["document_prompt"]) == ("the ", "a mat ")
    notes = Notes()
    by_name = open_model(f"static:{static}", settings, RUNTIME, notes).retriever
    given = open_model(f"static:{static}", {"query_prompt": "the "}, RUNTIME, notes).retriever
    assert isinstance(by_name, StaticEncoder)
    assert isinstance(given, StaticEncoder)
    np.testing.assert_array_equal(by_name.encode(TEXTS, "query"), given.encode(TEXTS, "query"))
    [told] = notes.lines
    assert told.startswith("warning: ")
    assert "documents get no prompt: the checkpoint saves a prompt under doc," in told


def save_static(folder: Path, prompts: dict[str, str]) -> None:
    from tokenizers import Tokenizer

    save_tokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    module = sentence_transformers.sentence_transformer.modules.StaticEmbedding(tokenizer, embedding_dim=16)
    sentence_transformers.SentenceTransformer(modules=[module], device="cpu", prompts=prompts).save(str(folder))


def test_prompts_of_parts_keep_their_line_breaks_and_tell_their_place(plain: Path, tmp_path: Path) -> None:
    model = sentence_transformers.SentenceTransformer(str(plain), device="cpu", prompts=OTHERS)
    model.save(str(tmp_path / "model"))
    prompt = "Instruct: find the cat\nQuery: "
    (tmp_path / "system.toml").write_text(
        'kind = "fusion"\n'
        f'[[systems]]\nmodel = "./model"\nset.query_prompt = {json.dumps(prompt)}\n'
        '[[systems]]\nmodel = "hashing"\n'
    )
    notes = Notes()
    opened = open_model(str(tmp_path / "system.toml"), {}, RUNTIME, notes).retriever
    assert opened.parameters["systems[0].query_prompt"] == prompt
    [told] = notes.lines
    assert "systems[0]" in told
    assert "documents get no prompt" in told
