"""What is known of languages, held against what anybody can look up."""

from importlib.resources import files

import pytest

from mlbench.collection.language_info import GROUPINGS, LEVELS, UNKNOWN, LanguageInfo, language_info
from mlbench.collection.languages import IMAGE, check_language
from mlbench.tasks.task import load_task, task_names


@pytest.mark.parametrize(
    ("tag", "name", "own_name", "resources", "script", "family"),
    [
        ("en", "English", "English", "high", "Latin", "Indo-European"),
        ("th", "Thai", "ไทย", "high", "Thai", "Tai-Kadai"),
        ("eu", "Basque", "euskara", "medium", "Latin", "Basque"),
        ("zh-hant", "Chinese (Traditional)", "中文（繁體）", "high", "Han", "Sino-Tibetan"),
        ("ks-deva", "Kashmiri (Devanagari)", "कॉशुर (देवनागरी)", "low", "Devanagari", "Indo-European"),
        ("ar", "Arabic", "العربية", "high", "Arabic", "Afro-Asiatic"),
        ("sw", "Swahili", "Kiswahili", "medium", "Latin", "Atlantic-Congo"),
        ("mg", "Malagasy", "Malagasy", "medium", "Latin", "Austronesian"),
    ],
)
def test_tells_names_and_groups(tag: str, name: str, own_name: str, resources: str, script: str, family: str) -> None:
    info = language_info(tag)
    assert info == LanguageInfo(tag, name, own_name, script, family, resources)
    assert [info.group(grouping) for grouping in GROUPINGS] == [resources, script, family]


@pytest.mark.parametrize("tag", [IMAGE, "not a tag", "</script>", "cb"])
def test_of_what_is_no_registered_language_it_knows_nothing(tag: str) -> None:
    assert language_info(tag) == LanguageInfo(tag, tag, tag)


def test_knows_script_and_family_of_every_language_of_every_task() -> None:
    languages = {language for name in task_names() for language in load_task(name).languages}
    assert len(languages) > 250
    unknown = [tag for tag in sorted(languages) if UNKNOWN in (language_info(tag).family, language_info(tag).resources)]
    assert unknown == []


def test_the_table_says_nothing_twice() -> None:
    text = files("mlbench.collection").joinpath("language_groups.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    for kind in ("family", "words"):
        tags = [tag for each, _, members in rows if each == kind for tag in members.split()]
        assert len(tags) == len(set(tags))
        canonical = [tag for tag in tags if len(tag) != 2 and check_language(tag) != tag]
        assert canonical == []
    assert [name for kind, name, _ in rows if kind == "words"] == ["1e9", "1e7"]
    assert len(LEVELS) == 3
