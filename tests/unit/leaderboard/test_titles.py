"""Which texts may be titles, and which titles look alike."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.leaderboard.titles import PRAISE, VERDICTS, skeletons, title_fault

FINE = (
    "e5-small v2",
    "BGE-M3",
    "Qwen3-0.6B",
    "Qwen 2.5, 22.7 M",
    "Llama 3.1 8B",
    "LaBSE, 471,000,000 weights, 1.5 GB",
    "multilingual-e5-small (4-bit weights)",
    "e5-small, 4 bit",
    "all-MiniLM-L6-v2",
    "mBERT, X-X-mono (LAReQA)",
    "LoRA, rank 16",
    "RankT5",
    "static 2026.11, mlbench 0.1.0",
    "BM25 (Lucene) + e5",
    "Top-k pooling",
    "CLIP ViT-B/32",
    "Σχολείο, ภาษาไทย, 模型",
    "A bestiary of laurels",
)
PRAISING = (
    "The best model",
    "BestModel",
    "Вest model",
    "SOTA",
    "ＳＯＴＡ",
    "state-of-the-art e5",
    "World-class",
    "champion",
)
SCORES = (
    *("e5 .985", "e5 (0.985)", "98.5, e5", "e5 at 98,5", "98 %", "98 per cent", "rank 1", "Rank-2", "#1", "No. 1"),
    *("1st", "top 3", "mAP 80", "R@1: 98", "nDCG=0.5", "AP .9", "e5 ٩٨٫٥ at .9"),
)
SYMBOLS = ("e5 ★", "e5 🏆", "🥇 e5", "*****", "e5 ✓", "e5 ™", "№ 1")
ALIKE = (
    ("BGE-M3", "bge m3"),
    ("BGE-M3", "ВGЕ-М3"),
    ("hello", "HELL0"),
    ("mini", "MINI"),
    ("mini", "rnini"),
    ("e5-small", "e5–small."),
    ("e5-small", "ｅ5 ѕmаll"),
    ("e5-small", "e5-smạll"),
    ("LaBSE-M", "LaBSE-rn"),
    ("Model I", "model l"),
    ("Ιωάννα", "lωάννα"),
    # Of Unicode Technical Standard 39 itself.
    ("paypal", "раураl"),
    ("scope", "ѕсоре"),
    ("ǉeto", "ljeto"),
)
UNLIKE = (("e5-small", "e5-large"), ("e5-small v1", "e5-small v2"), ("XLM-R, X-Y", "LaBSE, X-Y"), ("C", "C++"))


@pytest.mark.parametrize("title", FINE)
def test_what_names_a_model_is_fine(title: str) -> None:
    assert title_fault(title) == ""


@pytest.mark.parametrize("title", PRAISING)
def test_praise_is_found_in_any_letters(title: str) -> None:
    assert title_fault(title).startswith("praises: ")


@pytest.mark.parametrize("word", [*PRAISE, *VERDICTS])
def test_no_word_of_the_lists_passes(word: str) -> None:
    assert repr(word) in title_fault(f"Our {word} model")
    assert repr(word) in title_fault(word.upper())


@pytest.mark.parametrize("title", SCORES)
def test_numbers_that_look_like_scores_or_ranks(title: str) -> None:
    assert title_fault(title).startswith("has a number that looks like a score or a rank: ")


@pytest.mark.parametrize("title", SYMBOLS)
def test_symbols(title: str) -> None:
    assert title_fault(title).startswith("has a symbol: ")


def test_a_title_of_punctuation_is_none() -> None:
    assert title_fault("...") == "has no letter or digit"


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_looks_alike_has_a_skeleton_in_common(one: str, other: str) -> None:
    assert skeletons(one) & skeletons(other)


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_what_looks_different_has_none(one: str, other: str) -> None:
    assert not skeletons(one) & skeletons(other)


def test_the_titles_of_the_board_are_fine_and_unlike() -> None:
    met: set[str] = set()
    for path in sorted(Path("leaderboard/entries").glob("*/entry.json")):
        title = json.loads(path.read_text(encoding="utf-8"))["title"]
        assert title_fault(title) == "", title
        assert not met & skeletons(title), title
        met |= skeletons(title)


@given(st.text(min_size=1))
def test_any_text_looks_like_itself_in_capitals_and_in_parts(text: str) -> None:
    assert skeletons(text) & skeletons(" ".join(text))
    assert skeletons(text) & skeletons(f"({text})")
