"""The head of a README.md: what it says, and what people write there."""

import sys
from pathlib import Path

import pytest

from mlbench.errors import MissingExtra
from mlbench.tasks.data_card import features_of, read_card, told_languages
from mlbench.tasks.readers.beir import reader


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("---\nlanguage: [en]\nlicense: mit\n---\n# A\n", {"language": ["en"], "license": "mit"}),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n", {"license": "mit"}),
        ("# no head\n---\nlicense: mit\n---\n", {}),
        ("---\n- a list\n---\n", {}),
        ("---\nlicense: [unclosed\n---\n", {}),
        ("---\nreleased: 2021-13-45\n---\n", {}),
        (f"---\nlicense: {'[' * 500}\n---\n", {}),
        ("", {}),
    ],
)
def test_the_head_is_read(tmp_path: Path, text: str, card: dict[str, object]) -> None:
    (tmp_path / "README.md").write_text(text, "utf-8", newline="")
    assert read_card(tmp_path / "README.md") == card


def test_facts_of_another_form_than_the_hub_asks_for_are_none() -> None:
    for about in (5, "text", {"features": 5}, [{"features": {"name": "image"}}], [None]):
        assert list(features_of({"dataset_info": about})) == []
    assert told_languages({"language": False}) == ["no"]
    assert told_languages({}) == []


def test_no_object_is_made_of_what_a_card_says(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\na: !!python/object/apply:os.system ['true']\n---\n", "utf-8")
    assert read_card(tmp_path / "README.md") == {}


def test_without_the_library_only_a_card_that_lists_files_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: mit\n---\n", "utf-8")
    assert read_card(readme) == {}
    readme.write_text("---\nconfigs:\n- config_name: corpus\n---\n", "utf-8")
    with pytest.raises(MissingExtra, match=r"data cards that list files need: pip install 'mlbench\[hf\]'"):
        read_card(readme)
    assert not reader.recognises(tmp_path)
