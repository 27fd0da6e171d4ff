import pytest

from mlbench.collection.languages import (
    IMAGE,
    IMAGE_KINDS,
    TEXT_KINDS,
    Kind,
    Setting,
    check_language,
    settings_of,
    whole_pool,
)
from mlbench.errors import UserError


@pytest.mark.parametrize(
    ("query", "documents", "kind"),
    [
        ("en", ("en",), "monolingual"),
        ("en", ("th",), "cross_lingual"),
        ("en", ("th", "en"), "multilingual"),
        ("en", ("ar", "th"), "multilingual"),
        ("en", ("en", "en"), "monolingual"),
        ("en", (IMAGE,), "text_to_image"),
        (IMAGE, ("en",), "image_to_text"),
        (IMAGE, ("en", "th"), "image_to_pool"),
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
    ("kinds", "languages", "counts"),
    [
        (TEXT_KINDS, 0, (0, 0, 0)),
        (TEXT_KINDS, 1, (1, 0, 0)),
        (TEXT_KINDS, 2, (2, 2, 2)),
        (TEXT_KINDS, 7, (7, 42, 7)),
        (TEXT_KINDS, 11, (11, 110, 11)),
        (IMAGE_KINDS, 0, (0, 0, 0)),
        (IMAGE_KINDS, 1, (1, 1, 0)),
        (IMAGE_KINDS, 11, (11, 11, 1)),
    ],
)
def test_settings_are_counted_by_kind(kinds: tuple[Kind, ...], languages: int, counts: tuple[int, ...]) -> None:
    tags = [f"l{chr(97 + number)}" for number in range(languages)]
    settings = settings_of(tags, kinds)
    assert tuple(sum(setting.kind == kind for setting in settings) for kind in kinds) == counts
    assert len(set(settings)) == sum(counts)
    assert settings_of([*tags, IMAGE], kinds) == settings
    for kind, count in zip(kinds, counts, strict=True):
        assert len(settings_of(tags, [kind])) == count


def test_settings_have_a_fixed_order() -> None:
    assert settings_of(["th", "en", "ar", "en"]) == settings_of(["ar", "en", "th"])
    assert settings_of(["th", "en"], ["multilingual", "monolingual"]) == (
        Setting("en", ("en",)),
        Setting("th", ("th",)),
        Setting("en", ("en", "th")),
        Setting("th", ("en", "th")),
    )


def test_images_stand_against_all_captions_and_captions_against_images() -> None:
    assert whole_pool("en", ["th", "en"]) == ("en", "th")
    assert whole_pool("en", ["en", IMAGE, "th"]) == (IMAGE,)
    assert whole_pool(IMAGE, ["th", IMAGE, "en"]) == ("en", "th")
