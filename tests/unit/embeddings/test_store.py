import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest

from mlbench.embeddings.store import VectorStore, text_hash
from mlbench.protocols import Silence

FINGERPRINT = "0" * 64


class Notes(Silence):
    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


def hashes(*texts):
    return np.frombuffer(b"".join(map(text_hash, texts)), np.uint8).reshape(-1, 32)


def vectors(*values):
    return np.array([[value, 1] for value in values], np.float32)


def load(store, *texts, fingerprint=FINGERPRINT):
    out = np.zeros((len(texts), 2), np.float32)
    return out[:, 0].tolist() if store.load(fingerprint, [hashes(*texts)], [out])[0] else None


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def store(tmp_path, notes):
    return VectorStore(tmp_path, notes)


def chunk_files(store):
    return sorted(store.folder.glob("*/*.safetensors"))


def test_what_was_written_is_loaded_in_any_order_and_from_several_files(store, notes):
    store.write(FINGERPRINT, hashes("a", "b"), vectors(1, 2))
    store.write(FINGERPRINT, hashes("c"), vectors(3))
    assert load(store, "a", "b") == [1, 2]
    assert load(store, "c", "b") == [3, 2]
    assert load(store, "a", "d") is None
    assert load(store, "a", fingerprint="1" * 64) is None
    assert notes.lines == []


def test_vectors_under_another_key_are_refused(store, notes):
    store.write("1" * 64, hashes("a"), vectors(1))
    store.write(FINGERPRINT, hashes("b"), vectors(2))
    [moved] = (store.folder / ("1" * 64)).iterdir()
    moved.rename(store.folder / FINGERPRINT / moved.name)
    assert load(store, "a") is None
    assert load(store, "b") == [2]
    assert len(notes.lines) == 1
    assert "holds vectors of another encoder" in notes.lines[0]


def test_a_folder_called_after_another_key_is_refused(store):
    store.write("1" * 64, hashes("a"), vectors(1))
    (store.folder / ("1" * 64)).rename(store.folder / FINGERPRINT)
    assert load(store, "a") is None


def test_the_same_vectors_give_the_same_file(tmp_path):
    for name in ("one", "two", "three"):
        VectorStore(tmp_path / name).write(FINGERPRINT, hashes("a"), vectors(1))
    assert len({path.read_bytes() for path in tmp_path.rglob("*.safetensors")}) == 1


def test_only_chunks_that_are_whole_are_filled(store):
    store.write(FINGERPRINT, hashes("a", "b"), vectors(1, 2))
    out = [np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float32)]
    assert store.load(FINGERPRINT, [hashes("b"), hashes("a", "c")], out) == [True, False]
    assert out[0].tolist() == [[2, 1]]
    assert store.load(FINGERPRINT, [], []) == []


def test_a_text_in_several_files_comes_from_its_own_chunk_else_from_the_smallest_name(store):
    for value in range(8):
        store.write(FINGERPRINT, hashes("a", f"other {value}"), vectors(value, 0))
    names = {path.name: value for value in range(8) for path in chunk_files(store) if holds(path, value)}
    assert load(store, "a") == [names[min(names)]]
    for value in range(8):
        assert load(store, "a", f"other {value}") == [value, 0]


def holds(path, value):
    return text_hash(f"other {value}") in path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:5],
        lambda content: b"",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"\xff" * len(content),
    ],
    ids=["truncated", "cut in the header", "empty", "one bit flipped", "overwritten"],
)
def test_a_damaged_file_is_told_discarded_and_can_be_written_again(store, notes, damage):
    store.write(FINGERPRINT, hashes("a", "b"), vectors(1, 2))
    store.write(FINGERPRINT, hashes("c"), vectors(3))
    damaged = next(path for path in chunk_files(store) if text_hash("a") in path.read_bytes())
    damaged.write_bytes(damage(damaged.read_bytes()))
    assert load(store, "a", "c") is None
    assert len(notes.lines) == 1
    assert str(damaged) in notes.lines[0]
    assert not damaged.exists()
    assert load(store, "c") == [3]
    store.write(FINGERPRINT, hashes("a", "b"), vectors(1, 2))
    assert load(store, "a", "c") == [1, 3]


def test_a_copy_in_another_file_stands_in_for_a_damaged_one(store, notes):
    store.write(FINGERPRINT, hashes("a", "b"), vectors(1, 2))
    store.write(FINGERPRINT, hashes("b", "a"), vectors(2, 1))
    damaged = chunk_files(store)[0]
    damaged.write_bytes(damaged.read_bytes().replace(vectors(2).tobytes(), vectors(7).tobytes()))
    assert load(store, "a") == [1]
    assert len(notes.lines) == 1


def test_vectors_of_another_dimension_are_not_used(store, notes):
    store.write(FINGERPRINT, hashes("a"), np.ones((1, 3), np.float32))
    assert load(store, "a") is None
    assert "not 2 coordinates" in notes.lines[0]


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path):
    notes = Notes()
    (tmp_path / "embeddings").write_text("a file where the folder should be")
    store = VectorStore(tmp_path, notes)
    for _ in range(3):
        assert load(store, "a") is None
        store.write(FINGERPRINT, hashes("a"), vectors(1))
    assert len(notes.lines) == 1
    assert "MLBENCH_CACHE" in notes.lines[0]


def test_a_full_disk_is_told_once_and_leaves_no_part_of_a_file(store, notes, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.write(FINGERPRINT, hashes("a"), vectors(1))
    store.write(FINGERPRINT, hashes("b"), vectors(2))
    assert len(notes.lines) == 1
    assert "No space left" in notes.lines[0]
    assert list((store.folder / FINGERPRINT).iterdir()) == []


def test_unfinished_files_are_ignored_and_old_ones_removed(store, notes):
    store.write(FINGERPRINT, hashes("a"), vectors(1))
    old, young = (store.folder / FINGERPRINT / name for name in (".old.tmp", ".young.tmp"))
    for path in (old, young):
        path.write_bytes(b"half a file")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    assert load(store, "a") == [1]
    assert (old.exists(), young.exists()) == (False, True)
    assert notes.lines == []


def test_what_is_only_read_counts_as_used(store, tmp_path):
    about = {"retriever": "model"}
    VectorStore(tmp_path, about=about).write(FINGERPRINT, hashes("a"), vectors(1))
    (path,) = store.folder.glob("*/about.json")
    os.utime(path, (0, 0))
    assert load(VectorStore(tmp_path, about=about), "a") == [1]
    assert path.stat().st_mtime > time.time() - 60


def test_a_fingerprint_never_leaves_the_folder(store, tmp_path):
    store.write("../../outside", hashes("a"), vectors(1))
    assert load(store, "a", fingerprint="../../outside") == [1]
    assert [path.parent.parent for path in tmp_path.rglob("*.safetensors")] == [Path(store.folder)]


def test_texts_with_lone_surrogates_have_a_hash():
    assert text_hash("\ud800") != text_hash("\ud801")
