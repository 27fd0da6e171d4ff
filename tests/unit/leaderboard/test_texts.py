"""What texts in a submission may hold."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.leaderboard.check_files import (
    DEEPEST,
    LONGEST,
    MOST_VALUES,
    document_fault,
    place_of,
    text_fault,
    texts_fault,
)

HARMLESS = (
    "",
    "XLM-R, hybrid batches",
    "intfloat/multilingual-e5-base",
    "dense:sentence-transformers/LaBSE",
    "./hybrid",
    "mlbench -q run --model ./hybrid --task xquad-r --set query_prompt='query: '",
    "train/ntrex-11way/ntrex_11way.jsonl.gz",
    "https://github.com/facebookresearch/flores, https://huggingface.co/a/b?c=d#e",
    "see https://example.org/~someone/../model",
    "CC BY-SA 4.0 (NTREX-128, FLORES-200), CC BY-NC 4.0 (XNLI)",
    "Artetxe & Schwenk 2019; 95 % of 1/2",
    "and/or, km/h, 1. .5, ...",
    "größer als 你好, ภาษาไทย, Tiếng Việt, हिन्दी, العربية, ελληνικά",
    "a: b, 5 ~ 6, x = y",
    "Linux x86_64",
    "0.1.0+cpu",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_pass(text: str) -> None:
    assert text_fault(text) == ""
    assert texts_fault([text, text]) == ""


HARMFUL = {
    "markup": (
        "<script>alert(1)</script>",
        "a < b",
        "a > b",
        "<img src=x onerror=alert(1)>",
        "&lt;b&gt;",
        "&#60;",
        "&#x3c;b",
        "[here](x)",
        "![](x)",
        "`rm`",
    ),
    "cannot be seen": (
        "a\x00b",
        "a\x1b[2J",
        "a\nb",
        "a\tb",
        "a\u202egnp.exe",
        "a\u2066b",
        "a\u200bb",
        "a\u200db",
        "\ufeffa",
        "a\u00adb",
        "a\u2028b",
        "a\u00a0b",
        "a\u3164b",
        "a\u2800b",
        "a\U000e0041b",
        "a\ue000b",
        "a\ud800b",
    ),
    "put together in another way": ("e\u0301", "a" + "\u0335" * 9, "\u2126"),
    "an absolute path": (
        "/etc/passwd",
        "dense:/etc/passwd",
        "--out=/etc",
        "run --model '/a b/c'",
        "(/etc)",
        "C:\\Users\\me",
        "c:/users",
        "\\\\server\\share",
        "a\\b",
        "//host/share",
        "ftp://example.org/a",
        "cd /",
    ),
    "a home path": ("~/model", "dense:~/model", "~someone/model", "~"),
    "a path that leaves its folder": ("..", "../model", "a/../../b", "dense:..", "a/.."),
    "an address that is not https": ("file:a", "FILE:a", "javascript:alert(1)", "data:text/html,x", "vbscript:x"),
    "longer than": ("a" * (LONGEST + 1),),
}


@pytest.mark.parametrize(("said", "text"), [(said, text) for said, texts in HARMFUL.items() for text in texts])
def test_harmful_texts_are_named(said: str, text: str) -> None:
    fault = text_fault(text)
    assert said in fault
    assert fault.isprintable()
    assert len(fault) < 120


def test_prompts_may_have_lines() -> None:
    assert text_fault("Instruct: find\nQuery: ", lines=True) == ""
    assert text_fault("Instruct: find\nQuery: ") != ""
    assert text_fault("a\r\nb", lines=True) != ""
    document = {"parameters": {"query_prompt": "Instruct: find\nQuery: "}, "command": "a"}
    assert document_fault(document) == ""
    assert document_fault({**document, "command": "a\nb"}).startswith("command has characters")


@given(st.text(string.ascii_letters + string.digits + " .,-_+()'\"=%#;?!@*$|{}^", max_size=80))
def test_plain_letters_and_signs_are_harmless(text: str) -> None:
    assert text_fault(text.replace("..", ".")) == ""


@given(st.text(max_size=40))
def test_what_passes_can_be_shown_and_saved(text: str) -> None:
    if not text_fault(text):
        assert text.isprintable()
        assert not set("<>`\\") & set(text)
        assert text.encode().decode() == text


def test_every_text_and_key_of_a_document_is_looked_at() -> None:
    document = {"a": [{"b": "fine", "c": ["<b>"]}]}
    assert document_fault(document) == "a[0].c[0] has markup: '<'"
    assert document_fault({"a": {"<b>": 1}}) == "a key of a has markup: '<'"
    assert document_fault({"<b>": 1}) == "a key of it has markup: '<'"
    assert document_fault({"a": [1, None, True, 0.5, "fine"]}) == ""


def test_documents_are_bounded() -> None:
    deep: object = "fine"
    for _ in range(DEEPEST):
        deep = [deep]
    assert document_fault(deep) == ""
    assert "nested more than" in document_fault([deep])
    assert document_fault([0] * (MOST_VALUES - 1)) == ""
    assert "more than 100,000 values" in document_fault([0] * MOST_VALUES)
    assert "more than 100,000 values" in document_fault([[0] * 1000] * 101)


def test_places_fit_into_a_line() -> None:
    assert place_of(("settings", 3, "kind")) == "settings[3].kind"
    assert place_of(("a\nb", "\x1b")).isprintable()
    assert len(place_of(("a" * 5000,))) == 100
    assert place_of(()) == ""


def test_a_document_of_a_run_is_harmless() -> None:
    document = json.loads(
        '{"spec": "dense:a/b", "training": {"recipe": {"files": [{"path": "train/a.gz", "url": null}]}}}'
    )
    assert document_fault(document) == ""
