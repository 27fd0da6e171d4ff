import zipfile
from pathlib import Path

import pytest

from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.xnli import sentences

COLUMNS = ("language", "gold_label", "sentence1", "sentence2", "promptID", "pairID", "match")


def table(*rows: tuple[str, str, str, str, str]) -> str:
    lines = [COLUMNS, *((tag, "neutral", *rest, "True") for tag, *rest in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


DEV = table(
    ("ar", "مرحبا", "نعم", "1", "1"),
    ("en", "And he said,  Mama.", "He spoke.", "1", "1"),
    ("en", "And he said,  Mama.", "He was silent.", "1", "2"),
    ("en", "It rains.", "It is wet.", "2", "4"),
    ("de", "Und er sagte, Mama.", "Er sprach.", "1", "1"),
    ("de", "Und er sagte, Mama.", "Er schwieg.", "1", "2"),
    ("de", "Es regnet.", "Es ist nass.", "2", "4"),
)
TEST = table(("de", "Ja.", "Doch.", "1", "1"), ("en", "Yes.", "Indeed.", "1", "1"))


def request(folder: Path, **members: str) -> ReadRequest:
    path = folder / "XNLI-1.0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, text in members.items():
            archive.writestr(f"XNLI-1.0/xnli.{split}.tsv", text)
            archive.writestr(f"__MACOSX/XNLI-1.0/._xnli.{split}.tsv", "no table")
    return ReadRequest("xnli", ("de", "en"), (SourceFile(path),))


def test_a_premise_is_one_sentence_with_its_hypotheses(tmp_path: Path) -> None:
    collection = sentences(request(tmp_path, dev=DEV, test=TEST))
    assert [tuple(query) for query in collection.queries["en"]] == [
        ("xnli-dev-0-p", "And he said, Mama."),
        ("xnli-dev-0-h", "He spoke."),
        ("xnli-dev-1-h", "He was silent."),
        ("xnli-dev-2-p", "It rains."),
        ("xnli-dev-2-h", "It is wet."),
        ("xnli-test-0-p", "Yes."),
        ("xnli-test-0-h", "Indeed."),
    ]
    assert [query.text for query in collection.queries["de"]][2:5] == ["Er schwieg.", "Es regnet.", "Es ist nass."]
    assert list(collection.clusters.values()) == ["0", "0", "0", "1", "1", "2", "2"]
    assert (collection.cluster_unit, collection.queries_are_documents) == ("premise", True)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"dev": "language\tsentence1\n"}, r"xnli\.dev\.tsv: the first line names no column 'gold_label'"),
        ({"dev": f"{DEV}en\tx\n"}, r"xnli\.dev\.tsv line 9: 2 columns instead of 7"),
        ({"dev": DEV, "test": table(("en", "Yes.", "No.", "1", "1"))}, "the test table has 0 pairs in 'de'"),
        (
            {"dev": DEV, "test": table(("en", "Yes.", "No.", "1", "1"), ("de", "Ja.", "Nein.", "1", "2"))},
            "the test table has 1 pairs in 'en', and not those of 'de' in their order",
        ),
    ],
)
def test_faults(tmp_path: Path, members: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        sentences(request(tmp_path, **members))
