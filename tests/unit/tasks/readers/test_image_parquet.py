"""Hub data sets of images, written by hand in the layouts of mteb/xm3600, mteb/xflickrco and mteb's Any2Any tasks."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folder_images import Notes
from hub_server import serving_hub
from pictures import noise

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Image
from mlbench.errors import DataError, InvalidTask, UserError
from mlbench.io import parquet
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

Rows = Sequence[dict[str, object]]
IMAGES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    noise(seed).save(stream, "JPEG")
    return stream.getvalue()


def image(seed: int) -> dict[str, object]:
    return {"bytes": picture(seed), "path": None}


def table(path: Path, rows: Rows, images: pa.DataType = IMAGES, group: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = pa.Table.from_pylist(list(rows))
    if "image" in found.column_names:
        place = found.column_names.index("image")
        found = found.set_column(place, "image", pa.array([row.get("image") for row in rows], images))
    pq.write_table(found, path, row_group_size=group)
    return path


def xm3600(root: Path) -> Path:
    """Write what mteb/xm3600 has: a split for each language, with all images in each."""
    for tag, texts in {"en": (["one", "uno"], ["two"]), "fil": (["isa"], ["dalawa", " "])}.items():
        rows = [
            {"image_id": f"00{number}", "image_locale": "quz", "captions": captions, "image": image(number)}
            for number, captions in enumerate(texts)
        ]
        table(root / f"data/{tag}-00000-of-00002.parquet", rows[:1])
        table(root / f"data/{tag}-00001-of-00002.parquet", rows[1:])
    return root


def any2any(root: Path, tag: str = "", texts: Sequence[str] = ("one", "uno", "two")) -> Path:
    """Write what mteb's tasks from texts to images have: image 2 has no query, and is searched all the same."""
    before = f"{tag}-" if tag else ""
    corpus = [{"id": f"c{number}", "image": image(number), "modality": "image", "text": None} for number in range(3)]
    queries = [
        {"id": f"q{number}", "text": text, "modality": "text", "image": None} for number, text in enumerate(texts)
    ]
    judged = [("q0", "c0"), ("q1", "c0"), ("q2", "c1")]
    qrels = [{"query-id": query, "corpus-id": document, "score": 1} for query, document in judged]
    for kind, rows in (("corpus", corpus), ("queries", queries), ("qrels", qrels)):
        table(root / f"{before}{kind}/test-00000-of-00001.parquet", rows)
    return root


def read(spec: Path | str, languages: Sequence[str] | None = None, notes: Notes | None = None) -> Collection:
    return load_collection(load_task(str(spec), languages=languages), progress=notes or Notes())


def texts(collection: Collection) -> dict[str, list[tuple[str, str]]]:
    return {tag: [(row.topic_id, row.text) for row in rows] for tag, rows in collection.queries.items() if tag != IMAGE}


def contents(collection: Collection) -> dict[str, bytes]:
    """Return the bytes of each image by its name."""
    documents = collection.documents[IMAGE]
    return {row.doc_id.split("-", 2)[2]: row.text.path.read_bytes() for row in documents if isinstance(row.text, Image)}


def test_a_split_for_each_language_shares_the_images(tmp_path: Path) -> None:
    notes = Notes()
    collection = read(xm3600(tmp_path), notes=notes)
    assert texts(collection) == {
        "en": [("000#1", "one"), ("000#2", "uno"), ("001#1", "two")],
        "fil": [("000#1", "isa"), ("001#1", "dalawa")],
    }
    assert contents(collection) == {"000": picture(0), "001": picture(1)}
    assert "1 caption is blank and left out" in notes.notes[0]


def test_the_first_caption_alone_and_a_sample(tmp_path: Path) -> None:
    (xm3600(tmp_path) / "task.toml").write_text('name = "own"\n[options]\ncaptions_per_image = 1\n')
    assert texts(read(tmp_path))["en"] == [("000#1", "one"), ("001#1", "two")]
    sample = load_collection(load_task(str(tmp_path)), limit=1, languages=["fil"])
    assert sample.languages == ("fil", IMAGE)
    assert len(sample.queries["fil"]) == len(sample.queries[IMAGE]) == 1


def test_one_caption_in_a_row_as_in_xflickrco(tmp_path: Path) -> None:
    for tag in ("de", "zh"):
        rows = [{"id": str(7 + number), "image": image(number), "sentences": f"{tag}{number}"} for number in range(2)]
        table(tmp_path / f"data/{tag}-00000-of-00001.parquet", rows)
    collection = read(tmp_path)
    assert texts(collection)["zh"] == [("7#1", "zh0"), ("8#1", "zh1")]
    assert len(collection.documents[IMAGE]) == 2


def test_captions_by_language_in_one_column(tmp_path: Path) -> None:
    rows = [
        {"image": image(0), "captions": {"en": ["one", "uno"], "th": ["หนึ่ง"]}},
        {"image": image(1), "captions": {"en": ["two"], "th": None}},
    ]
    table(tmp_path / "test-00000-of-00001.parquet", rows)
    collection = read(tmp_path)
    name = "test-00000-of-00001.parquet"
    assert texts(collection) == {
        "en": [(f"{name}/0#1", "one"), (f"{name}/0#2", "uno"), (f"{name}/1#1", "two")],
        "th": [(f"{name}/0#1", "หนึ่ง")],
    }
    assert contents(collection) == {f"{name}/0": picture(0), f"{name}/1": picture(1)}


def test_plain_bytes_and_the_split_that_is_meant(tmp_path: Path) -> None:
    for split, seed in (("train", 5), ("test", 0)):
        rows = [{"image": picture(seed), "caption": split, "filename": "a.jpg"}]
        table(tmp_path / f"{split}-00000-of-00001.parquet", rows, pa.binary())
    collection = read(tmp_path, languages=["en"])
    assert texts(collection) == {"en": [("a.jpg#1", "test")]}
    assert contents(collection) == {"a.jpg": picture(0)}
    with pytest.raises(InvalidTask, match="the data do not say theirs: add --languages TAG"):
        load_task(str(tmp_path))


def test_texts_to_images_in_mteb_s_layout(tmp_path: Path) -> None:
    collection = read(any2any(tmp_path), languages=["en"])
    assert texts(collection) == {"en": [("c0#1", "one"), ("c0#2", "uno"), ("c1#1", "two")]}
    assert contents(collection) == {f"c{number}": picture(number) for number in range(3)}
    assert [query.topic_id for query in collection.queries[IMAGE]] == ["c0", "c1"]


def test_configurations_by_language_share_the_corpus(tmp_path: Path) -> None:
    any2any(tmp_path, "de", ("eins", "uno", "zwei"))
    any2any(tmp_path, "en")
    collection = read(tmp_path)
    assert texts(collection)["de"] == [("c0#1", "eins"), ("c0#2", "uno"), ("c1#1", "zwei")]
    assert len(collection.documents[IMAGE]) == 3


def test_images_to_texts_in_mteb_s_layout(tmp_path: Path) -> None:
    corpus = [{"id": f"t{number}", "text": text} for number, text in enumerate(("one", "uno", "two"))]
    queries = [{"id": f"i{number}", "image": image(number)} for number in range(2)]
    judged = [("i0", "t0"), ("i0", "t1"), ("i1", "t2")]
    qrels = [{"query-id": query, "corpus-id": document, "score": 1} for query, document in judged]
    for kind, rows in (("corpus", corpus), ("query", queries), ("qrels", qrels)):
        table(tmp_path / f"{kind}/test-00000-of-00001.parquet", rows)
    assert texts(read(tmp_path, languages=["en"])) == {"en": [("i0#1", "one"), ("i0#2", "uno"), ("i1#1", "two")]}
    table(tmp_path / "corpus/test-00000-of-00001.parquet", [*corpus, {"id": "t3", "text": "three"}])
    with pytest.raises(DataError, match="en: a text of the corpus, 't3', is a caption of no image"):
        read(tmp_path, languages=["en"])


def test_queries_without_judgments_are_told(tmp_path: Path) -> None:
    notes = Notes()
    any2any(tmp_path, texts=("one", "uno", "two", "three"))
    assert len(texts(read(tmp_path, ["en"], notes))["en"]) == 3
    assert notes.notes[0].endswith("queries without judgments, left out: 1")


QRELS = "qrels/test-00000-of-00001.parquet"
CORPUS = "corpus/test-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("path", "rows", "said"),
    [
        (
            QRELS,
            [("q0", "c0", 1), ("q0", "c1", 1)],
            "en: the text 'q0' is judged with several images, but a caption is",
        ),
        (QRELS, [("q0", "c0", 2)], "the score 2 of an image: captions have 0 or 1"),
        (CORPUS, [{"id": "c0", "image": image(0), "text": "x"}], "row 1: has an image and a text"),
        (CORPUS, [{"id": "c0", "text": "x"}], "en: images must be on one side and texts on the other"),
    ],
)
def test_faults_of_mteb_s_layout(tmp_path: Path, path: str, rows: list[object], said: str) -> None:
    any2any(tmp_path)
    named = [
        row if isinstance(row, dict) else dict(zip(("query-id", "corpus-id", "score"), row, strict=True))  # type: ignore[call-overload]
        for row in rows
    ]
    task = load_task(str(tmp_path), languages=["en"])
    table(tmp_path / path, named)
    with pytest.raises(DataError, match=said) as caught:
        load_collection(task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"image": image(0), "captions": ["a", None]}], "en-0.parquet row 1: 'captions' must be a text or a list"),
        (
            [{"image": image(0), "captions": 3}],
            "en-0.parquet row 1: 'captions' must be a text or a list of texts, not 3",
        ),
        ([{"image": image(0), "captions": "a"}, {"image": None, "captions": "b"}], "row 2: has captions and no image"),
        ([{"image": image(0), "title": "a"}], r"en-0.parquet has no column captions, .*, but image, title"),
        ([{"image": image(0), "image_id": "../x", "captions": "a"}], r"an image is called '../x' must be a relative"),
    ],
)
def test_faults_of_rows(tmp_path: Path, rows: list[dict[str, object]], said: str) -> None:
    table(tmp_path / "en-0.parquet", rows)
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_of_languages_without_ids_cannot_share_images(tmp_path: Path) -> None:
    for tag in ("de", "en"):
        table(tmp_path / f"{tag}-0.parquet", [{"image": image(0), "captions": [tag]}])
    with pytest.raises(DataError, match="has no column of ids, such as image_id"):
        read(tmp_path)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = table(tmp_path / "en-0.parquet", [{"image": image(0), "captions": ["a"]}])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidTask, match=r"en-0\.parquet cannot be read after row 0 .*: fetch it again") as caught:
        load_task(str(tmp_path))
    assert len(caught.value.faults) == 1


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    rows = [{"image": image(n), "image_id": f"i{n}", "captions": [str(n)]} for n in range(3)]
    rows[1]["image"] = {"bytes": b"no image", "path": None}
    table(tmp_path / "en-0.parquet", rows)
    assert read(tmp_path).unreadable == ("i1",)


def test_without_pyarrow_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "en-0.parquet", [{"image": image(0), "captions": ["a"]}])
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"Parquet files need.*mlbench\[hf\]"):
        load_task(str(tmp_path))


def test_few_images_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row group of 64 images, batches of 16 are read, and only as far as the last that is wanted."""
    path = table(tmp_path / "a.parquet", [{"image": image(n), "id": f"i{n}"} for n in range(64)])
    sizes = []
    monkeypatch.setattr(parquet, "_write", lambda content, target: sizes.append(len(content)))
    peak = pa.total_allocated_bytes()
    names = list(parquet.unpack_images(path, {"i3": tmp_path / "i3", "i20": tmp_path / "i20"}))
    assert names == ["i3", "i20"]
    assert sizes == [len(picture(3)), len(picture(20))]
    assert pa.total_allocated_bytes() - peak < 1_000_000


@pytest.mark.parametrize("group", [None, 2])
@pytest.mark.parametrize("kind", [IMAGES, pa.binary()])
def test_rows_without_an_image_have_no_name(tmp_path: Path, kind: pa.DataType, group: int | None) -> None:
    entries = [image(0), None, None, image(3), image(4)]
    if kind == pa.binary():
        entries = [entry and entry["bytes"] for entry in entries]  # type: ignore[misc]
    path = table(tmp_path / "a.parquet", [{"image": entry} for entry in entries], kind, group)
    assert parquet.image_ids(path) == ["0", None, None, "3", "4"]


CARD = """---
language:
- en
- fil
dataset_info:
  features:
  - name: image_id
    dtype: string
  - name: captions
    sequence: string
  - name: image
    struct:
    - name: bytes
      dtype: binary
---
Captions of photographs.
"""


def test_a_data_set_on_the_hub(tmp_path: Path) -> None:
    root = xm3600(tmp_path / "made")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}
    with serving_hub({"mteb/xm": {"README.md": CARD.encode(), **files}}, tmp_path / "hub") as hub:
        collection = read(hub.address("mteb/xm"))
        assert contents(collection) == {"000": picture(0), "001": picture(1)}
        assert texts(collection) == texts(read(root))
        only = load_task(f"{hub.address('mteb/xm')}/fil")
        assert {file.path for file in only.files} == {f"mteb/xm/data/fil-0000{n}-of-00002.parquet" for n in (0, 1)}
