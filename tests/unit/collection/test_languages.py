import pytest

from mlbench.collection.languages import (
    IMAGE,
    IMAGE_KINDS,
    TEXT_KINDS,
    Kind,
    Setting,
    canonical_languages,
    check_language,
    count_settings,
    find_language,
    match_languages,
    settings_of,
    whole_pool,
    written_language,
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


FORMS = {
    # What collections here already have stays as it is.
    "ar": "ar", "en": "en", "fil": "fil", "he": "he", "id": "id", "ku": "ku", "mi": "mi", "nb": "nb", "no": "no",
    "quz": "quz", "th": "th", "yue": "yue", "zh": "zh", "zh-hant": "zh-hant",
    # Upper case, underscores, ISO 639-2 (both kinds) and 639-3, and codes that were replaced.
    "EN": "en", "eng": "en", "en_US": "en", "en-US": "en", "ger": "de", "deu": "de", "fre": "fr", "per": "fa",
    "iw": "he", "in": "id", "ji": "yi", "tl": "fil", "tgl": "fil", "sh": "sr-latn", "zh-min-nan": "nan",
    # The standard language stands for its macrolanguage.
    "cmn": "zh", "arb": "ar", "zsm": "ms", "swh": "sw", "pes": "fa", "prs": "fa-af", "lvs": "lv", "khk": "mn",
    # Chinese.
    "zho": "zh", "chi": "zh", "zh-CN": "zh", "zh_CN": "zh", "zh-Hans": "zh", "zho_Hans": "zh", "zh-Hans-CN": "zh",
    "cmn-Hans": "zh", "zho_Hant": "zh-hant", "zh-TW": "zh-hant", "zh-HK": "zh-hk", "zh-Hant-HK": "zh-hk",
    # FLORES-200.
    "eng_Latn": "en", "arb_Arab": "ar", "arb_Latn": "ar-latn", "jpn_Jpan": "ja", "kor_Hang": "ko", "als_Latn": "sq",
    "knc_Arab": "kr-arab", "knc_Latn": "kr", "quy_Latn": "quy", "twi_Latn": "tw", "aka_Latn": "ak", "dik_Latn": "dik",
    # NTREX-128, and regions.
    "fra-CA": "fr-ca", "srp-Latn": "sr-latn", "srp-Cyrl": "sr", "aze-Latn": "az", "por-BR": "pt", "pt-PT": "pt-pt",
    "eng-IN": "en-in", "es-419": "es-419", "gsw-ZH": "gsw-zh", "nb-NO": "nb", "hi-IN": "hi", "sw-KE": "sw-ke",
    # Undetermined, for private use, and what nobody has registered.
    "und": "und", "qaa": "qaa", "xx": "xx", "bb": "bb",
}  # fmt: skip


@pytest.mark.parametrize("tag", FORMS)
def test_any_common_form_gives_the_canonical_one(tag: str) -> None:
    assert check_language(tag) == FORMS[tag]
    assert check_language(FORMS[tag]) == FORMS[tag]
    assert find_language(tag, ("xh", FORMS[tag])) == FORMS[tag]


def test_the_script_follows_from_the_region() -> None:
    tags = ("zh", "zh-TW", "zh-HK", "zh-SG", "en-GB", "sr-Latn", "pt-BR", "acm_Arab", "fa-AF")
    assert [written_language(tag) for tag in tags] == [
        *("zh", "zh-hant", "zh-hant", "zh", "en", "sr-latn", "pt", "acm-arab", "fa"),
    ]


def test_the_varieties_of_one_collection_are_told_apart() -> None:
    assert canonical_languages(["eng", "eng-US", "por", "por-BR", "fra", "fra-CA"]) == (
        *("en", "en-us", "pt", "pt-br", "fr", "fr-ca"),
    )
    assert canonical_languages(["zho_Hans", "zho_Hant", "arb_Latn", "arb_Arab"]) == ("zh", "zh-hant", "ar-latn", "ar")
    assert canonical_languages(["zh", "zho_Hans"]) == ("zh", "zh-hans")
    assert canonical_languages(["zh", "cmn"]) == ("zh", "zh")
    assert canonical_languages([]) == ()


@pytest.mark.parametrize(
    ("tag", "among", "found"),
    [
        ("en-US", ("en", "en-us"), "en-us"),
        ("en_US", ("de", "en"), "en"),
        ("eng", ("en", "en-us"), "en"),
        ("por-BR", ("pt", "pt-br"), "pt-br"),
        ("zh", ("zh-hans", "zh-hant"), "zh-hans"),
        ("zho_Hans", ("zh", "zh-hant"), "zh"),
        ("acm", ("acm-arab", "ar"), "acm-arab"),
        ("zh", ("en", "zh-hant"), "zh-hant"),
        ("zh-TW", ("en", "zh"), None),
        ("en-GB", ("en", "fr"), None),
        ("pt", ("pt-ao", "pt-pt"), None),
        ("de", (), None),
    ],
)
def test_a_language_is_found_in_whatever_form_it_is_written(
    tag: str, among: tuple[str, ...], found: str | None
) -> None:
    assert find_language(tag, among) == found


def test_no_two_tags_of_a_collection_mean_one_language() -> None:
    tags = ("en", "en-us", "zh-hans", "fr-ca", "not a tag")
    assert match_languages(("en", "fr", "zh"), tags) == {"en": "en", "zh-hans": "zh", "fr-ca": "fr"}
    assert match_languages(("en",), ("en-us", "en-gb")) == {"en-us": "en"}
    assert match_languages((), tags) == match_languages(("en",), ()) == {}


@pytest.mark.parametrize(
    ("tag", "nearest"),
    [("jp", "ja"), ("cz", "cs"), ("gr", "el"), ("ua", "uk"), ("german", "de"), ("zh-hent", "zh-hant")],
)
def test_a_wrong_tag_is_refused_with_the_nearest(tag: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"^'{tag}' is not a language tag: did you mean {nearest}"):
        check_language(tag)


@pytest.mark.parametrize("tag", ["", "e", "english", "en+th", "en ", "en\n", "../en", "e1", "-en", "image", "en-x-own"])
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
        assert len(settings_of(tags, [kind])) == count_settings(languages, kind) == count


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
