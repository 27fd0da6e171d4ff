import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.training.ngrams import fold, has_blanks, squeeze


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("", ""),
        (" \n—…!? ", ""),
        ("The cat’s  re-entry:\n(2nd)", "the cat s re entry 2nd"),
        ("Straße, ﬁn, Ｗｉｄｅ, x²", "strasse fin wide x2"),
        ("ΟΔΥΣΣΕΎΣ Οδυσσεύς", "οδυσσεύσ οδυσσεύσ"),
        ("İstanbul IŞIK ışık", "istanbul işik ışık"),
        ("Росси\u0301я и ёлка", "россия и ёлка"),
        ("مُدَرِّسٌ، كتـــاب؟", "مدرس كتاب"),
        ("हिन्दी में क़िताब।", "हिन्दी में क\u093cिताब"),
        ("क्\u200dष", "क्ष"),
        ("ที่นี่ มีน้ำ", "ที่นี่ มีน\u0e49\u0e4d\u0e32"),
        ("《战国无双３》（2009年）。", "战国无双3 2009年"),
        ("Tiê\u0301ng Việt", "tiếng việt"),
        ("soft\u00adhyphen \ufeffmark ❤\ufe0f", "softhyphen mark"),
        ("half \ud800 pair", "half pair"),
    ],
)
def test_table(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert squeeze(fold(text)) == folded.replace(" ", "")


@pytest.mark.parametrize(("one", "other"), [("ปี", "ปู"), ("मिल", "मील"), ("मल", "मेल"), ("कल", "कल्"), ("ไม่", "ไม้")])
def test_marks_that_spell_a_word_tell_words_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_ways_to_write_a_text_give_one_fold(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)
    assert fold(f"«{text}…»\n") == fold(text)


@given(st.text(), st.text())
def test_parts_fold_as_the_whole(one: str, other: str) -> None:
    assert fold(f"{one}. {other}").split() == fold(one).split() + fold(other).split()


@pytest.mark.parametrize(
    ("text", "blanks"),
    [
        ("", True),
        ("Where is the sea?", True),
        ("أين البحر؟", True),
        ("समुद्र कहाँ है", True),
        ("ทะเลอยู่ที่ไหน", False),
        ("海在哪里", False),
        ("海はどこですか", False),
        ("2009年由光荣公司 and Koei 开发的战国无双系列的续作", False),
        ("The word 海 is Chinese", True),
    ],
)
def test_scripts_with_blanks_between_words(text: str, blanks: bool) -> None:
    assert has_blanks(fold(text)) == blanks
