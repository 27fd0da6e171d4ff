from pathlib import Path

import pytest

from mlbench.collection.records import Collection
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers.parallel_lines import reader
from mlbench.tasks.task import load_task

GERMAN = b"Guten  Tag.\r\nJa.\r\n"
ENGLISH = b"\xef\xbb\xbf Good\xc2\xa0day.\nYes.\n"


def request(
    folder: Path, *files: tuple[str | None, str, bytes], languages: tuple[str, ...] = ("de", "en"), **options: Parameter
) -> ReadRequest:
    sources = []
    for number, (language, role, content) in enumerate(files):
        path = folder / f"{number}.txt"
        path.write_bytes(content)
        sources.append(SourceFile(path, language, role))
    return ReadRequest("own", languages, tuple(sources), options=options)


def texts(collection: Collection) -> dict[str, list[tuple[str, str]]]:
    return {tag: [(query.topic_id, query.text) for query in rows] for tag, rows in collection.queries.items()}


def test_equal_lines_are_translations(tmp_path: Path) -> None:
    collection = reader(request(tmp_path, ("de", "data", GERMAN), ("en", "data", ENGLISH), ("fr", "data", b"Bonjour.")))
    assert texts(collection) == {
        "de": [("own-0", "Guten Tag."), ("own-1", "Ja.")],
        "en": [("own-0", "Good day."), ("own-1", "Yes.")],
    }
    assert {topic: [row.language for row in rows] for topic, rows in collection.judgments.items()} == {
        "own-0": ["de", "en"],
        "own-1": ["de", "en"],
    }
    assert collection.itself("en", "own-0") == (collection.documents["en"][0].doc_id,)
    assert (collection.clusters, collection.cluster_unit) == ({"own-0": "own-0", "own-1": "own-1"}, "topic")


def test_a_file_of_clusters_and_the_name_of_the_collection(tmp_path: Path) -> None:
    files = (("de", "data", GERMAN), (None, "clusters", b"bbc.1\r\nbbc.1\r\n"), ("en", "data", ENGLISH))
    collection = reader(request(tmp_path, *files, cluster_unit="document", collection="news"))
    assert (collection.clusters, collection.cluster_unit) == ({"news-0": "bbc.1", "news-1": "bbc.1"}, "document")
    assert collection.documents["de"][0].doc_id.endswith("news-0")


def test_each_role_is_a_set_of_its_own(tmp_path: Path) -> None:
    files = (
        ("de", "data/de", GERMAN),
        ("en", "data/de", ENGLISH),
        ("en", "data/th", b"One.\n"),
        ("th", "data/th", "หนึ่ง".encode()),
    )
    collection = reader(request(tmp_path, *files, languages=("de", "en", "th")))
    assert texts(collection) == {
        "de": [("own-de-0", "Guten Tag."), ("own-de-1", "Ja.")],
        "en": [("own-de-0", "Good day."), ("own-de-1", "Yes."), ("own-th-0", "One.")],
        "th": [("own-th-0", "หนึ่ง")],
    }
    assert [row.language for row in collection.judgments["own-th-0"]] == ["en", "th"]
    part = reader(request(tmp_path, *files[:3], languages=("de", "en")))
    assert part == collection.restrict(("de", "en"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("de", "data", b""), ("en", "data", b"a")], "0.txt: the file is empty"),
        ([("de", "data", b"a\n\nb\n"), ("en", "data", b"a\n")], "0.txt line 2: there is no sentence"),
        ([("de", "data", b"a\n\xff\n"), ("en", "data", b"a\n")], "0.txt line 2: not valid UTF-8 at byte 1"),
        ([("de", "data", b"a\nb\n"), ("en", "data", b"a\n")], "1.txt has 1 lines, 0.txt has 2: equal lines"),
        ([("de", "data", b"a\n")], "own: no file for language 'en'"),
        ([("de", "data", b"a"), ("de", "data", b"a"), ("en", "data", b"a")], "'de' has two files with the role 'data'"),
        ([("de", "data", b"a"), ("en", "data", b"a"), (None, "clusters", b"x\ny")], "2.txt has 2 lines, the files of"),
        ([("de", "data", b"a"), ("en", "data", b"a"), (None, "clusters", b" \n")], "2.txt line 1: there is no name"),
    ],
)
def test_faults(tmp_path: Path, files: list[tuple[str | None, str, bytes]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        reader(request(tmp_path, *files))


def test_an_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean cluster_unit"):
        reader(request(tmp_path, ("de", "data", b"a"), ("en", "data", b"a"), cluster_units="x"))


def test_only_the_files_of_the_languages_asked_for_are_touched(tmp_path: Path) -> None:
    for tag in ("de", "en"):
        (tmp_path / f"{tag}.txt").write_text("a\nb\n")
    files = "".join(f'[[files]]\npath = "{tag}.txt"\nlanguage = "{tag}"\n' for tag in ("deu", "en", "th", "zh-CN"))
    (tmp_path / "deu.txt").write_text("a\nb\n")
    (tmp_path / "own.toml").write_text(
        f'name = "own"\nreader = "parallel_lines"\nlanguages = ["de", "eng", "th", "zh"]\n{files}'
        '[expected.queries]\n"*" = 2\nth = 7\n'
    )
    task = load_task(str(tmp_path / "own.toml"))
    assert task.expected.queries == {"de": 2, "en": 2, "th": 7, "zh": 2}
    assert load_collection(task, languages=["deu_Latn", "en"]).languages == ("de", "en")
    with pytest.raises(DataError, match=r"th\.txt is missing"):
        load_collection(task)


@pytest.mark.data
@pytest.mark.slow
def test_ntrex_and_a_part_of_its_128_languages(data_dir: Path) -> None:
    whole = load_collection(load_task("ntrex"), data_dir=data_dir)
    assert len(whole.judgments) == 1_997
    assert len(set(whole.clusters.values())) == 123
    assert {len(rows) for rows in whole.judgments.values()} == {11}
    assert whole.clusters["ntrex-0"] == "bbc.381790"
    # That of version 1 as it was measured from one repackaged file, so numbers are comparable.
    assert whole.fingerprint() == "d45c3f2fe7ba9b9fccd2885a4bc2b55eedf1138e890b596384c62640e65de643"
    part = load_collection(load_task("ntrex-128"), languages=["eng", "zho-CN", "en-US"], data_dir=data_dir)
    assert part.languages == ("en", "en-us", "zh")
    assert part.restrict(("en", "zh")) == whole.restrict(("en", "zh"))
