import gzip
from pathlib import Path

import pytest
from folder_images import request
from pictures import save

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Image
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Reader, ReadRequest, SourceFile
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers import image_captions
from mlbench.tasks.task import load_task

NAMES = "1.jpg\n2.jpg\n3.jpg\n"


def asked(root: Path, names: bytes | None = None, **captions: bytes) -> ReadRequest:
    (root / "names.txt").write_bytes(NAMES.encode() if names is None else names)
    sources = [SourceFile(root / "names.txt", None, "images")]
    for key, content in captions.items():
        language = key[:2]
        path = root / f"{key}.gz" if key.endswith("packed") else root / f"{key}.txt"
        path.write_bytes(gzip.compress(content) if key.endswith("packed") else content)
        sources.append(SourceFile(path, language, "captions"))
    for number in (1, 2, 3):
        save(root / "images" / f"{number}.jpg", number)
    return request(root, sorted({key[:2] for key in captions}), sources)


@pytest.mark.parametrize("read", [image_captions.read_multi30k, image_captions.read_xtd10])
def test_line_n_is_about_image_n(tmp_path: Path, read: Reader) -> None:
    collection = read(asked(tmp_path, de=b"eins\r\nzwei\r\ndrei", en=b"one\n two \nthree\n"))
    assert collection.languages == ("de", "en", IMAGE)
    assert [tuple(row) for row in collection.queries["de"]] == [
        ("1.jpg#1", "eins"),
        ("2.jpg#1", "zwei"),
        ("3.jpg#1", "drei"),
    ]
    assert [row.text for row in collection.documents["en"]] == ["one", "two", "three"]
    images = [row.text for row in collection.documents[IMAGE]]
    assert [image.path.name for image in images if isinstance(image, Image)] == ["1.jpg", "2.jpg", "3.jpg"]


def test_several_files_of_a_language_are_further_captions(tmp_path: Path) -> None:
    collection = image_captions.read_multi30k(asked(tmp_path, de1=b"a\nb\nc\n", de2packed=b"d\ne\nf\n", fr=b"x\ny\nz"))
    assert [row.topic_id for row in collection.queries["de"]] == [
        f"{name}#{number}" for number in (1, 2) for name in ("1.jpg", "2.jpg", "3.jpg")
    ]
    assert [row.text for row in collection.queries["de"]] == list("abcdef")
    assert len(collection.judgments["1.jpg"]) == 3


@pytest.mark.parametrize(
    ("names", "captions", "fault"),
    [
        (b"1.jpg\n2.jpg\n", b"a\nb\nc\n", "de.txt has 3 lines, but names.txt has 2"),
        (NAMES.encode(), b"a\n\nc\n", "de.txt line 2: is empty, so later lines would belong to other images"),
        (NAMES.encode(), b"a\nb\nc\n\n", "de.txt line 4: is empty"),
        (NAMES.encode(), b"", "de.txt line 1: is empty"),
        (NAMES.encode(), b"a\n\xff\nc", "de.txt line 2: not valid UTF-8"),
        (b"1.jpg\n2.jpg\n1.jpg", b"a\nb\nc", "names.txt: image '1.jpg' is there twice"),
    ],
)
def test_what_is_not_aligned_is_refused(tmp_path: Path, names: bytes, captions: bytes, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        image_captions.read_xtd10(asked(tmp_path, names, de=captions))
    assert str(caught.value).startswith(fault)


def test_a_damaged_archive_and_missing_files(tmp_path: Path) -> None:
    whole = asked(tmp_path, depacked=b"a\nb\nc\n")
    path = tmp_path / "depacked.gz"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"depacked\.gz is damaged"):
        image_captions.read_xtd10(whole)
    path.unlink()
    with pytest.raises(DataError, match=r"depacked\.gz cannot be read"):
        image_captions.read_xtd10(whole)
    with pytest.raises(DataError, match=r"one file of image names \(role images\), not 0"):
        image_captions.read_xtd10(request(tmp_path, ("de",), whole.files[1:]))
    with pytest.raises(UnknownName, match="option of the reader own"):
        image_captions.read_xtd10(request(tmp_path, ("de",), whole.files, options={"x": 1}))


@pytest.mark.data
def test_real_captions_with_stand_in_images(data_dir: Path, tmp_path: Path) -> None:
    task = load_task("xtd10")
    names = (data_dir / "xtd10/XTD10/test_image_names.txt").read_text().split()
    for number, name in enumerate(names):
        folder = "" if number % 3 else ("train2014" if "train" in name else "val2014")
        save(tmp_path / "xtd10/images" / folder / name, number, (8, 8))
    collection = load_collection(task, data_dir=tmp_path)
    assert {language: len(rows) for language, rows in collection.queries.items()} == dict.fromkeys(task.corpora, 1000)
    assert collection.clusters == {topic: topic.partition("#")[0] for topic in collection.judgments}
    english = {query.topic_id: query.text for query in collection.queries["en"]}
    german = {query.topic_id: query.text for query in collection.queries["de"]}
    assert english[f"{names[1]}#1"].startswith("a cat with its paws on a computer mouse")
    assert "Katze" in german[f"{names[1]}#1"]
