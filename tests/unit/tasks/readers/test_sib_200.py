from pathlib import Path

import pytest

from mlbench.errors import DataError
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers.sib_200 import reader
from mlbench.tasks.task import load_task

HEADER = "index_id\tcategory\ttext\n"


def request(folder: Path, *files: tuple[str, str], **options: Parameter) -> ReadRequest:
    sources = []
    for number, (language, content) in enumerate(files):
        path = folder / f"{number}.tsv"
        path.write_text(content, encoding="utf-8", newline="")
        sources.append(SourceFile(path, language))
    return ReadRequest("own", ("de", "en"), tuple(sources), options=options)


def test_the_index_joins_languages_and_splits(tmp_path: Path) -> None:
    collection = reader(
        request(
            tmp_path,
            ("de", f"{HEADER}7\ttravel\tSieben.\n"),
            ("de", f"{HEADER}12\thealth\tZwölf  ist mehr.\n"),
            ("en", f"{HEADER}12\thealth\tTwelve is more.\r\n7\ttravel\tSeven.\n"),
            collection="flores",
        )
    )
    assert {tag: [tuple(query) for query in rows] for tag, rows in collection.queries.items()} == {
        "de": [("flores-7", "Sieben."), ("flores-12", "Zwölf ist mehr.")],
        "en": [("flores-7", "Seven."), ("flores-12", "Twelve is more.")],
    }
    assert collection.cluster_unit == "topic"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("plain", "plain"),
        ('He said "yes" to it.', 'He said "yes" to it.'),
        ('"He said ""yes"", twice."', 'He said "yes", twice.'),
        ('"""Yes, he said."""', '"Yes, he said."'),
        ('"""Yes,"" he said."', '"Yes," he said.'),
        ('"""He said """"yes"""" to it."""', 'He said "yes" to it.'),
        ('"""Outer ""inner"" quotes."""', '"Outer "inner" quotes."'),
        ('"open', '"open'),
    ],
)
def test_quotes_of_the_table_are_taken_away_however_often_they_were_put(tmp_path: Path, field: str, text: str) -> None:
    collection = reader(request(tmp_path, ("de", f"{HEADER}1\tx\t{field}\n"), ("en", f"{HEADER}1\tx\ta\n")))
    assert [query.text for query in collection.queries["de"]] == [text]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0.tsv: the file is empty"),
        ("index\ttext\n", "0.tsv line 1: the columns must be index_id, category, text, not 'index"),
        (f"{HEADER}1\tx\n", "0.tsv line 2: must be 'number TAB category TAB text'"),
        (f"{HEADER}1\tx\t \n", "0.tsv line 2: must be 'number TAB category TAB text'"),
        (f"{HEADER}1\tx\ta\n1\tx\tb\n", "0.tsv line 3: index_id 1 is there twice"),
        (HEADER, "own: no file for language 'de'"),
    ],
)
def test_faults(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        reader(request(tmp_path, ("de", content), ("en", f"{HEADER}1\tx\ta\n")))


@pytest.mark.data
def test_flores_and_a_part_of_its_200_varieties(data_dir: Path) -> None:
    whole = load_collection(load_task("flores"), data_dir=data_dir)
    assert len(whole.judgments) == len(set(whole.clusters.values())) == 1_004
    assert {len(rows) for rows in whole.judgments.values()} == {11}
    # That of version 1 as it was measured from one repackaged file, so numbers are comparable.
    assert whole.fingerprint() == "9e36805fec3e9444a205d00bae2919c935f957707adc50abbfda83c6f12c5b17"
    texts = {query.topic_id: query.text for query in whole.queries["de"]}
    # Quoted twice in the published file.
    assert texts["flores-40"].startswith("John Grant von WNED Buffalo")
    assert 'sagte: "Reading Rainbow hat Kindern' in texts["flores-40"]
    part = load_collection(load_task("flores-200"), languages=["arb_Arab", "arb_Latn", "tha_Thai"], data_dir=data_dir)
    assert part.languages == ("ar", "ar-latn", "th")
    assert part.restrict(("ar", "th")) == whole.restrict(("ar", "th"))
