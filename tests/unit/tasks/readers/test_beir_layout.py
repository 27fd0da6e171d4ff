"""Names of files and data cards tell what is a corpus, queries or judgments, and in which languages and splits."""

import pytest

from mlbench.errors import DataError
from mlbench.tasks.readers.beir_layout import Part, declare, is_layout, languages_of, parts_of

BEIR = ("corpus.jsonl", "queries.jsonl", "qrels/dev.tsv", "qrels/test.tsv")


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("corpus.jsonl", ("corpus", "", "")),
        ("corpus.jsonl.gz", ("corpus", "", "")),
        ("queries.jsonl", ("queries", "", "")),
        ("qrels/test.tsv", ("qrels", "", "test")),
        ("qrels/dev.tsv", ("qrels", "", "dev")),
        ("qrels/validation.jsonl", ("qrels", "", "validation")),
        ("qrels.tsv", ("qrels", "", "")),
        ("de/corpus.jsonl", ("corpus", "de", "")),
        ("de/qrels/test.tsv", ("qrels", "de", "test")),
        ("qrels/de/test.tsv", ("qrels", "de", "test")),
        ("de-en/queries.jsonl", ("queries", "de-en", "")),
        ("queries/de.jsonl", ("queries", "de", "")),
        ("queries.de.jsonl", ("queries", "de", "")),
        ("corpus_de.jsonl", ("corpus", "de", "")),
        ("corpus/test-00000-of-00001.parquet", ("corpus", "", "test")),
        ("corpus/corpus-00001-of-00002.parquet", ("corpus", "", "")),
        ("corpus/part-0.parquet", ("corpus", "", "")),
        ("data/test-00000-of-00001.parquet", None),
        ("default/test-00000-of-00001.parquet", ("qrels", "", "test")),
        ("de-corpus/test-00000-of-00001.parquet", ("corpus", "de", "test")),
        ("de-qrels/test/0000.parquet", ("qrels", "de", "test")),
        ("default/corpus.jsonl", ("corpus", "", "")),
        ("top_ranked/test-00000-of-00001.parquet", None),
        ("README.md", None),
        ("dataset_infos.json", None),
    ],
)
def test_a_path_tells_what_a_file_is(path: str, part: tuple[str, str, str] | None) -> None:
    found = parts_of([path], {})
    assert found == (() if part is None else (Part(path, *part),))


def test_a_data_card_tells_where_the_files_of_each_configuration_are() -> None:
    card = {
        "configs": [
            {"config_name": "default", "data_files": [{"split": "test", "path": "judged.jsonl"}]},
            {"config_name": "corpus", "data_files": [{"split": "corpus", "path": "c/*.parquet"}]},
            {"config_name": "queries", "data_files": "q.jsonl"},
            {"config_name": "de-queries", "data_files": {"test": ["x/q-*.jsonl"]}},
            {"config_name": "top_ranked", "data_files": "c/*.parquet"},
        ]
    }
    paths = ["judged.jsonl", "c/1.parquet", "c/2.parquet", "q.jsonl", "x/q-de.jsonl", "other.jsonl"]
    assert parts_of(paths, card) == (
        Part("judged.jsonl", "qrels", "", "test"),
        Part("c/1.parquet", "corpus", "", "corpus"),
        Part("c/2.parquet", "corpus", "", "corpus"),
        Part("q.jsonl", "queries"),
        Part("x/q-de.jsonl", "queries", "de", "test"),
    )


def test_judgments_called_default_go_before_those_called_qrels() -> None:
    card = {
        "configs": [
            {"config_name": "qrels", "data_files": "old.tsv"},
            {"config_name": "default", "data_files": "new.tsv"},
            {"config_name": "corpus", "data_files": "corpus.jsonl"},
            {"config_name": "queries", "data_files": "queries.jsonl"},
        ]
    }
    found = parts_of(["old.tsv", "new.tsv", "corpus.jsonl", "queries.jsonl"], card)
    assert [part.path for part in found if part.kind == "qrels"] == ["new.tsv"]


def test_a_card_that_lists_other_things_leaves_names_to_tell() -> None:
    assert is_layout(parts_of(BEIR, {"configs": [{"config_name": "default", "data_files": "x.csv"}]}))
    assert not is_layout(parts_of(BEIR[:2], {}))


@pytest.mark.parametrize(
    ("subset", "languages"),
    [
        ("th", ("th", "th")),
        ("de-en", ("de", "en")),
        ("ar-ar", ("ar", "ar")),
        ("pt-br", ("pt-br", "pt-br")),
        ("zh-CN", ("zh-cn", "zh-cn")),
        ("es-419", ("es-419", "es-419")),
        ("zho_Hans", ("zh-hans", "zh-hans")),
        ("deu-eng", ("de", "en")),
        ("deu_Latn-eng_Latn", ("de-latn", "en-latn")),
        ("wmt19.de.fr", None),
        ("nothing", None),
    ],
)
def test_the_name_of_a_subset_tells_its_languages(subset: str, languages: tuple[str, str] | None) -> None:
    assert languages_of(subset) == languages


def declared(*paths: str, languages: tuple[str, ...] | None = None, told: tuple[str, ...] = ()) -> dict[str, object]:
    return declare(parts_of(paths, {}), languages, told)


def languages_and_roles(table: dict[str, object]) -> list[tuple[str | None, str]]:
    files = table["files"]
    assert isinstance(files, list)
    return [(entry.get("language"), entry["role"]) for entry in files]


def test_a_folder_without_a_language_needs_one() -> None:
    assert declared(*BEIR)["languages"] is None
    for table in (declared(*BEIR, languages=("en",)), declared(*BEIR, told=("en",)), declared(*BEIR, told=("en", "x"))):
        assert table["languages"] == ["en"]
        assert table["settings"] == ["monolingual"]
    assert declared(*BEIR, told=("en", "de"))["languages"] is None


def test_folders_of_languages_are_monolingual_and_not_parallel() -> None:
    table = declared(*(f"{tag}/{path}" for tag in ("de", "th") for path in BEIR))
    assert table["languages"] == ["de", "th"]
    assert table["parallel"] is False
    assert table["settings"] == ["monolingual"]
    assert languages_and_roles(table)[:4] == [
        ("de", "corpus"),
        ("de", "qrels/dev"),
        ("de", "qrels/test"),
        ("de", "queries"),
    ]


def test_folders_of_pairs_are_queries_of_one_language_against_documents_of_another() -> None:
    table = declared(*(f"{tag}/{path}" for tag in ("en-fa", "en-ru") for path in BEIR))
    assert table["languages"] == ["en", "fa", "ru"]
    assert table["settings"] == ["cross_lingual", "multilingual"]
    roles = languages_and_roles(table)
    assert roles[:4] == [("fa", "corpus"), ("fa", "qrels:en/dev"), ("fa", "qrels:en/test"), ("en", "queries")]


def test_queries_of_several_languages_share_a_corpus_and_judgments() -> None:
    table = declared("corpus.en.jsonl", "queries/de.jsonl", "queries/en.jsonl", "qrels/test.tsv")
    assert table["languages"] == ["de", "en"]
    assert table["settings"] == ["monolingual", "cross_lingual"]
    assert languages_and_roles(table) == [("en", "corpus"), ("en", "qrels/test"), ("de", "queries"), ("en", "queries")]
    with pytest.raises(
        DataError, match=r"language of the documents that several languages share: .* --languages de,th,TAG"
    ):
        declared("corpus.jsonl", "queries/de.jsonl", "queries/th.jsonl", "qrels/test.tsv")
    table = declared(
        "corpus.jsonl", "queries/de.jsonl", "queries/th.jsonl", "qrels/test.tsv", languages=("de", "th", "en")
    )
    assert table["languages"] == ["de", "en", "th"]
    assert table["parallel"] is True
    assert table["settings"] == ["cross_lingual"]
    assert languages_and_roles(table) == [("en", "corpus"), ("en", "qrels/test"), ("de", "queries"), ("th", "queries")]


def test_judgments_that_all_languages_share_make_topics_parallel() -> None:
    table = declared("de/corpus.jsonl", "de/queries.jsonl", "en/corpus.jsonl", "en/queries.jsonl", "qrels/test.tsv")
    assert table["parallel"] is True
    assert table["settings"] == ["monolingual", "cross_lingual", "multilingual"]
    assert (None, "qrels/test") in languages_and_roles(table)


def test_an_unnamed_set_beside_languages_is_left_out() -> None:
    table = declared(*BEIR, *(f"{tag}/{path}" for tag in ("de", "th") for path in BEIR))
    assert table["languages"] == ["de", "th"]
    assert len(languages_and_roles(table)) == 8


def test_what_lies_beside_a_whole_set_and_is_no_language_is_left_out() -> None:
    table = declared(*BEIR, "corpus_old.jsonl", "gen-queries.jsonl", "gen-qrels/train.tsv", languages=("en",))
    assert [entry["path"] for entry in table["files"]] == sorted(BEIR)  # type: ignore[attr-defined]


def test_folders_that_are_no_languages_are_told() -> None:
    with pytest.raises(DataError, match=r"'arguana' is no language, nor two as in 'de-en'"):
        declared(*(f"{name}/{path}" for name in ("arguana", "scifact") for path in BEIR))
