import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mlbench import members
from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.retrievers.vectors import VectorsEncoder

QUERIES = ["où?", "wo?"]
DOCUMENTS = ["ici", "hier", "zwei\nZeilen \u2028", "ici"]
RNG = np.random.default_rng(0)
QUERY_VECTORS = RNG.normal(size=(2, 3))
DOCUMENT_VECTORS = RNG.normal(size=(3, 3))[[0, 1, 2, 0]].astype(np.float16)

# A header that claims 4 TB, and hardly anything behind it.
LARGE = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}".ljust(
    118
)


def write_texts(path: Path, texts: list[str], *, ascii_only: bool = True) -> None:
    lines = "".join(json.dumps({"text": text, "id": 7}, ensure_ascii=ascii_only) + "\n" for text in texts)
    path.write_text(lines, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for stem, texts, vectors in (("queries", QUERIES, QUERY_VECTORS), ("documents", DOCUMENTS, DOCUMENT_VECTORS)):
        write_texts(tmp_path / f"{stem}.jsonl", texts)
        np.save(tmp_path / f"{stem}.npy", vectors)
    return tmp_path


def opened(folder: Path, **settings: str) -> VectorsEncoder:
    encoder = open_retriever(f"vectors:{folder}", settings, Runtime())
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, VectorsEncoder)
    return encoder


def test_vectors_are_found_by_text(folder: Path) -> None:
    encoder = opened(folder)
    assert (encoder.dim, encoder.similarity) == (3, "cosine")
    found = encoder.encode(["hier", "zwei\nZeilen \u2028", "hier"], "document")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, DOCUMENT_VECTORS[[1, 2, 1]].astype(np.float32))
    np.testing.assert_array_equal(encoder.encode(QUERIES[::-1], "query"), QUERY_VECTORS[::-1].astype(np.float32))
    assert encoder.encode([], "query").shape == (0, 3)


@pytest.mark.parametrize("name", ["documents.npy", "queries.jsonl"])
def test_a_file_that_changes_is_told(name: str, folder: Path) -> None:
    encoder = opened(folder)
    members.check_files(encoder)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(RetrieverError, match=f"{name} has been changed while it was in use"):
        members.check_files(encoder)


def test_texts_may_be_written_unescaped(folder: Path) -> None:
    write_texts(folder / "documents.jsonl", DOCUMENTS, ascii_only=False)
    assert opened(folder).encode(DOCUMENTS, "document").shape == (4, 3)


def test_a_byte_order_mark_is_passed_over(folder: Path) -> None:
    texts = folder / "queries.jsonl"
    texts.write_bytes(b"\xef\xbb\xbf" + texts.read_bytes())
    assert opened(folder).encode(QUERIES, "query").shape == (2, 3)


def test_similarity_is_a_key(folder: Path) -> None:
    assert opened(folder, similarity="dot").similarity == "dot"
    assert opened(folder).parameters == {"queries": 2, "documents": 3, "similarity": "cosine"}


def test_fingerprint_follows_the_role_and_its_files(folder: Path) -> None:
    before = opened(folder)
    assert before.fingerprint("query") != before.fingerprint("document")
    np.save(folder / "queries.npy", QUERY_VECTORS * 2)
    after = opened(folder)
    assert after.fingerprint("query") != before.fingerprint("query")
    assert after.fingerprint("document") == before.fingerprint("document")


def test_text_without_vector_is_named(folder: Path) -> None:
    with pytest.raises(RetrieverError, match=r"queries.jsonl has no vector for 'ici' and 1 other texts"):
        opened(folder).encode(["wo?", "ici", "x"], "query")


def test_role_without_files(folder: Path) -> None:
    for name in ("queries.jsonl", "queries.npy"):
        (folder / name).unlink()
    encoder = opened(folder)
    assert encoder.encode(["ici"], "document").shape == (1, 3)
    with pytest.raises(RetrieverError, match=r"no queries.jsonl with queries.npy"):
        encoder.encode(["wo?"], "query")


def damage(name: str, content: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        elif isinstance(content, np.ndarray):
            np.save(folder / name, content)
        elif isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            (folder / name).write_text(str(content), encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage("queries.npy", None), "queries.npy: missing; queries.jsonl and queries.npy belong together"),
        (damage("queries.npy", "text"), "queries.npy: not an array of numbers"),
        (damage("queries.npy", np.array([{"a": 1}, None])), "queries.npy: not an array of numbers"),
        (damage("queries.npy", np.ones(3)), r"need floating-point numbers of shape \(rows, dim\)"),
        (damage("queries.npy", np.ones((2, 4))), r"queries.npy has 4 and documents.npy has 3 coordinates"),
        (damage("queries.npy", np.ones((3, 3))), "queries.jsonl has 2 lines, queries.npy 3 rows"),
        (damage("queries.jsonl", '{"text": "a"}\n{"t": 1}\n'), 'queries.jsonl, line 2: need {"text": "..."}'),
        (damage("queries.jsonl", '{"text": "a"}\n{"text": 1}\n'), 'queries.jsonl, line 2: "text" must be a string'),
        (damage("queries.npy", b"PK\x03\x04" + bytes(40)), "queries.npy: not an array of numbers"),
        (damage("queries.npy", LARGE), "queries.npy: not an array of numbers"),
        (damage("queries.jsonl", b'{"text": "\xff"}\n'), 'queries.jsonl, line 1: need {"text": "..."}'),
        (damage("queries.jsonl", "[" * 100_000), 'queries.jsonl, line 1: need {"text": "..."}'),
        (damage("queries.jsonl", '{"text": "a"}\n{"text": "a"}\n'), "lines 1 and 2 are the same text with different"),
    ],
)
def test_damaged_folder(change: Callable[[Path], None], message: str, folder: Path) -> None:
    change(folder)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="no vectors"):
        opened(tmp_path)
    for locator in ("", str(tmp_path / "no")):
        with pytest.raises(RetrieverError, match="write vectors:FOLDER"):
            open_retriever(f"vectors:{locator}", {}, Runtime())


def image(name: str, folder: str = "/data/images") -> Image:
    return Image(sha256(name.encode()).hexdigest(), Path(folder) / name)


def test_a_name_that_two_images_have_is_refused(folder: Path) -> None:
    (folder / "images.jsonl").write_text('{"image": "1.jpg"}\n')
    np.save(folder / "images.npy", np.ones((1, 3), np.float32))
    encoder = opened(folder)
    one, two = (
        Image(sha256(name.encode()).hexdigest(), Path("/data/images") / name) for name in ("a/1.jpg", "b/1.jpg")
    )
    assert encoder.encode([one, one], "image").shape == (2, 3)
    with pytest.raises(RetrieverError, match=r"'1.jpg' may be that of /data/images/a/1.jpg or of /data/images/b/1.jpg"):
        encoder.encode([two], "image")


def test_images_are_found_by_name_or_content(folder: Path) -> None:
    pictures = [image("1.jpg"), image("a/1.jpg"), image("b/1.jpg"), image("c/2.png")]
    names = ["1.jpg", "a/1.jpg", str(pictures[2]), "2.png"]
    assert not opened(folder).reads_images
    vectors = RNG.normal(size=(4, 3)).astype(np.float32)
    (folder / "images.jsonl").write_text("".join(json.dumps({"image": name}) + "\n" for name in names))
    np.save(folder / "images.npy", vectors)
    encoder = opened(folder)
    assert encoder.reads_images
    assert encoder.parameters["images"] == 4
    np.testing.assert_array_equal(encoder.encode(pictures[::-1], "image"), vectors[::-1])
    assert encoder.fingerprint("image") not in (encoder.fingerprint("query"), encoder.fingerprint("document"))
    with pytest.raises(RetrieverError, match=r"images.jsonl has no vector for '9.jpg' and 1 other images"):
        encoder.encode([image("9.jpg"), pictures[0], image("8.jpg")], "image")
    (folder / "images.jsonl").write_text('{"text": "1.jpg"}\n')
    with pytest.raises(RetrieverError, match=r'images.jsonl, line 1: need \{"image": "..."\}'):
        opened(folder)
