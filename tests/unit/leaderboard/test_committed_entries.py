"""Entries that commit to vectors: what is copied and checked of the commitment, and what is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from functional.forging import read, reseal_files, write
from unit.compare.cases import COLLECTION, skilled
from unit.leaderboard.boards import DIGEST, honest, new_board

from mlbench.embeddings.commitment import Commitment, texts_in_order, write_commitment
from mlbench.errors import InvalidResult, RefusedEntry, UserError
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.submission import Description, add
from mlbench.ranking.ranks_file import write_ranks
from mlbench.results import VectorsFile, digest, read_result, write_result

N_TEXTS = len(texts_in_order(COLLECTION))
VECTORS = "small.vectors.npz"
COMMITMENT = Commitment(
    np.arange(N_TEXTS * 32, dtype=np.int16).reshape(-1, 32),
    np.ones(N_TEXTS, np.float32),
    np.frombuffer(bytes.fromhex(DIGEST), np.uint8),
)


def measured(folder: Path, commitment: Commitment | None = COMMITMENT, **about: object) -> Path:
    """Write a result of the small task that commits to vectors."""
    ranks = skilled(seed=1)
    result = honest(ranks, spec="ours", **about)
    if commitment is None:
        return write_result(result, write_ranks(ranks), folder)
    content = write_commitment(commitment)
    name = result.ranks.name.replace("ranks", "vectors")
    result = result.model_copy(update={"vectors": VectorsFile(name=name, sha256=digest(content))})
    return write_result(result, write_ranks(ranks), folder, vectors=content)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    add(new_board(folder), "ours", [measured(folder / "results")], Description())
    return folder / "board"


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Board:
    return Board(shutil.copytree(made, tmp_path / "board"))


def test_the_commitment_is_copied_beside_the_ranks(board: Board) -> None:
    checked = check_entry(board, "ours")
    assert sorted(checked.entry.files) == ["small.json", "small.ranks.npz", VECTORS]
    result, _ = checked.pairs["small"]
    assert result.vectors == VectorsFile(name=VECTORS, sha256=checked.entry.files[VECTORS])
    assert (board.entry_folder("ours") / VECTORS).read_bytes() == write_commitment(COMMITMENT)


def test_a_document_without_a_commitment_says_nothing_of_it(tmp_path: Path) -> None:
    assert "vectors" not in read(measured(tmp_path, None))
    assert read_result(measured(tmp_path / "more")).vectors is not None


def test_a_commitment_comes_to_an_entry_with_its_result_alone(board: Board, tmp_path: Path) -> None:
    plain = measured(tmp_path / "plain", None)
    with pytest.raises(UserError, match="has another result of small"):
        add(board, "ours", [plain], Description())
    add(board, "ours", [plain], Description(), replace=True)
    assert sorted(check_entry(board, "ours").entry.files) == ["small.json", "small.ranks.npz"]


def emptied(folder: Path) -> None:
    (folder / VECTORS).unlink()


def unnamed(folder: Path) -> None:
    entry = read(folder / "entry.json")
    del entry["files"][VECTORS]
    write(folder / "entry.json", entry)
    reseal_files(folder)


def in_result_alone(folder: Path) -> None:
    unnamed(folder)
    emptied(folder)


def swapped(folder: Path) -> None:
    (folder / VECTORS).write_bytes((folder / "small.ranks.npz").read_bytes())


def of_a_ranker(folder: Path) -> None:
    document = read(folder / "small.json")
    document["retriever"] |= {"kind": "ranker", "dim": None, "similarity": None}
    write(folder / "small.json", document)
    reseal_files(folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (emptied, f"'{VECTORS}' is missing"),
        (unnamed, f"'{VECTORS}' does not belong there"),
        (in_result_alone, f"small.json names other vectors than {VECTORS}"),
        (swapped, f"{VECTORS} is not the file that entry.json names"),
        (of_a_ranker, "vectors are an encoder's"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(board: Board, spoil: Callable[[Path], None], said: str) -> None:
    spoil(board.entry_folder("ours"))
    with pytest.raises(RefusedEntry, match=said):
        check_entry(board, "ours")


def resealed(folder: Path, content: bytes) -> None:
    """Put another commitment into an entry, and write every digest anew."""
    (folder / VECTORS).write_bytes(content)
    document = read(folder / "small.json")
    document["vectors"]["sha256"] = digest(content)
    write(folder / "small.json", document)
    reseal_files(folder)


def stored(folder: Path) -> bytes:
    """Return the same arrays in an archive that is not compressed."""
    with ZipFile(folder / VECTORS) as old, ZipFile(folder / "x", "w", ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    content = (folder / "x").read_bytes()
    (folder / "x").unlink()
    return content


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: write_commitment(COMMITMENT) + b"x", "its directory is not as numpy writes it"),
        (stored, "the header of sketches is not as numpy writes it"),
        (lambda folder: b"nothing", "it ends before sketches"),
        (
            lambda folder: forged(sketches=COMMITMENT.sketches[1:], norms=COMMITMENT.norms[1:]),
            "commits to 101 vectors",
        ),
        (lambda folder: forged(norms=COMMITMENT.norms[1:]), "sketches is not int16 of shape"),
        (lambda folder: forged(norms=COMMITMENT.norms * np.float32(np.inf)), "out of range"),
        (lambda folder: forged(sketches=COMMITMENT.sketches.astype(">i2")), "is not"),
        (lambda folder: forged(sketches=np.asfortranarray(COMMITMENT.sketches)), "sketches is not as numpy writes it"),
        (lambda folder: forged(sketches=np.zeros((10**5, 32), np.int16)), "larger than"),
    ],
)
def test_what_is_no_commitment_is_refused(board: Board, spoil: Callable[[Path], bytes], said: str) -> None:
    folder = board.entry_folder("ours")
    resealed(folder, spoil(folder))
    with pytest.raises((RefusedEntry, InvalidResult), match=said) as raised:
        check_entry(board, "ours")
    assert isinstance(raised.value, RefusedEntry)
    assert str(raised.value).isprintable()


def forged(**arrays: np.ndarray) -> bytes:
    return write_commitment(replace(COMMITMENT, **arrays))


def test_a_commitment_that_is_missing_or_lies_elsewhere_is_not_copied(tmp_path: Path) -> None:
    board, path = new_board(tmp_path), measured(tmp_path / "results")
    (tmp_path / "results" / read(path)["vectors"]["name"]).rename(tmp_path / "elsewhere.npz")
    with pytest.raises(UserError, match="it belongs to"):
        add(board, "ours", [path], Description())
    document = read(path)
    document["vectors"]["name"] = "../elsewhere.npz"
    write(path, document)
    with pytest.raises(InvalidResult, match="must lie beside the document"):
        add(board, "ours", [path], Description())
