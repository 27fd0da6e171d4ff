import pytest

from mlbench.errors import UserError
from mlbench.languages import KINDS, Setting, check_language, settings_of


@pytest.mark.parametrize(
    ("query", "documents", "kind"),
    [
        ("en", ("en",), "monolingual"),
        ("en", ("th",), "cross_lingual"),
        ("en", ("th", "en"), "multilingual"),
        ("en", ("ar", "th"), "multilingual"),
        ("en", ("en", "en"), "monolingual"),
    ],
)
def test_a_setting_knows_its_kind(query: str, documents: tuple[str, ...], kind: str) -> None:
    assert Setting(query, documents).kind == kind


def test_the_order_and_repetition_of_document_languages_do_not_matter() -> None:
    setting = Setting("en", ("th", "ar", "th"))
    assert setting.document_languages == ("ar", "th")
    assert setting == Setting("en", ("ar", "th"))
    assert len({setting, Setting("en", ("ar", "th", "ar"))}) == 1


def test_a_setting_needs_documents() -> None:
    with pytest.raises(UserError, match="at least one"):
        Setting("en", ())


@pytest.mark.parametrize("tag", ["en", "th", "fil", "zh-hant", "sr-latn-rs", "es-419"])
def test_language_tags(tag: str) -> None:
    assert check_language(tag) == tag


@pytest.mark.parametrize(
    "tag", ["", "e", "EN", "en_US", "en-US", "english", "en+th", "en ", "en\n", "../en", "e1", "-en"]
)
def test_what_is_no_language_tag(tag: str) -> None:
    with pytest.raises(UserError, match="not a language tag"):
        check_language(tag)


@pytest.mark.parametrize(
    ("languages", "counts"),
    [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (2, 2, 2)), (7, (7, 42, 7)), (11, (11, 110, 11))],
)
def test_settings_are_counted_by_kind(languages: int, counts: tuple[int, ...]) -> None:
    tags = [f"l{chr(97 + number)}" for number in range(languages)]
    settings = settings_of(tags)
    assert tuple(sum(setting.kind == kind for setting in settings) for kind in KINDS) == counts
    assert len(set(settings)) == sum(counts)
    for kind, count in zip(KINDS, counts, strict=True):
        assert len(settings_of(tags, [kind])) == count


def test_settings_have_a_fixed_order() -> None:
    assert settings_of(["th", "en", "ar", "en"]) == settings_of(["ar", "en", "th"])
    assert settings_of(["th", "en"], ["multilingual", "monolingual"]) == (
        Setting("en", ("en",)),
        Setting("th", ("th",)),
        Setting("en", ("en", "th")),
        Setting("th", ("en", "th")),
    )
