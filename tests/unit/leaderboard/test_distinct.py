"""Entries that are others again: found by what was counted and by what titles look like."""

import json
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from functional.forging import read, reseal, write
from hypothesis import given
from hypothesis import strategies as st
from unit.compare.cases import COLLECTION, skilled
from unit.leaderboard.boards import forge, honest, new_board, new_entry, saved
from unit.ranking.compact_cases import compact_of

from mlbench.cli import call
from mlbench.errors import RefusedEntry
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import Identities, check_entry
from mlbench.leaderboard.distinct import count_digests
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add
from mlbench.ranking import ranks as ranks_module
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import read_ranks, write_ranks
from mlbench.results import digest

RANKS = skilled(seed=1)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return new_board(tmp_path)


def packed_anew(content: bytes) -> bytes:
    """Return an archive of the same arrays, deflated less."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            with new.open(name, "w", force_zip64=True) as member:
                member.write(old.read(name))
    return buffer.getvalue()


def stolen(board: Board, ranks: Ranks = RANKS) -> Path:
    """Write a result of another retriever with ranks, packed otherwise than numpy does it."""
    path = saved(board.folder.parent / "stolen", ranks, spec="theirs", retriever={"fingerprint": "ab" * 32})
    archive = path.with_suffix(".ranks.npz")
    content = archive.read_bytes()
    archive.write_bytes(packed_anew(content))
    assert archive.read_bytes() != content
    document = read(path)
    document["ranks"]["sha256"] = digest(archive.read_bytes())
    write(path, document)
    return path


def test_the_same_ranks_packed_otherwise_are_found(board: Board) -> None:
    new_entry(board)
    with pytest.raises(RefusedEntry, match="its ranks of small are those of ours"):
        add(board, "theirs", [stolen(board)], Description(title="Theirs"))


def test_the_same_compact_ranks_packed_otherwise_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks_module, "MOST_COUNTS", 1)
    trusted, ranks = (compact_of(skilled(seed=seed), [COLLECTION.languages]) for seed in (0, 1))
    board = Board(tmp_path / "board")
    board.take(accept(honest(trusted), trusted))
    add(board, "ours", [saved(tmp_path, ranks, spec="ours")], Description(title="Ours"))
    with pytest.raises(RefusedEntry, match="its ranks of small are those of ours"):
        add(board, "theirs", [stolen(board, ranks)], Description(title="Theirs"))


def nearly(ranks: Ranks, queries: int) -> Ranks:
    """Return ranks in which the ties of the first `queries` queries are others: no number depends on them."""
    ties = ranks.ties.copy()
    rows = np.flatnonzero(ranks.row_queries < queries)
    ties[rows, 0] += 1
    return replace(ranks, ties=ties)


@pytest.mark.parametrize(("changed", "told"), [(1, True), (20, True), (40, False)])
def test_nearly_the_same_is_told(board: Board, changed: int, told: bool) -> None:
    new_entry(board)
    assert len(RANKS.query_topics) == 48
    checked = add(board, "theirs", [stolen(board, nearly(RANKS, changed))], Description(title="Theirs"))
    assert (checked.warnings != ()) == told
    if told:
        assert checked.warnings[0].endswith("of its queries of small have the counts of ours: is it the same system?")
        assert check_entry(board, "ours").warnings != ()


def test_the_command_line_warns(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    new_entry(board)
    result, said = str(stolen(board, nearly(RANKS, 1))), ["--board", str(board.folder)]
    assert call(["leaderboard", "add", result, "--name", "theirs", "--title", "Theirs", *said]) == 0
    assert "warning   theirs: 97.9% of its queries of small have the counts of ours" in capsys.readouterr().err
    assert call(["leaderboard", "check", *said]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:17] for line in lines] == [
        "verified  ours: s",
        "warning   ours: 9",
        "verified  theirs:",
        "warning   theirs:",
    ]
    assert call(["leaderboard", "check", "ours", "--json", *said]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["warnings"]) == 1


def test_titles_that_look_alike_are_refused(board: Board) -> None:
    new_entry(board)
    other = saved(board.folder.parent / "more", skilled(seed=2))
    with pytest.raises(RefusedEntry, match="its title looks like that of ours: choose another with --title"):
        add(board, "theirs", [other], Description(title="\u041eurs"))


def test_a_board_says_of_both_that_they_look_alike(board: Board) -> None:
    new_entry(board)
    folder = new_entry(board, "theirs", seed=2)
    forge(folder / "entry.json", "title", "0urs")
    identities = Identities(board)
    for name, other in (("ours", "theirs"), ("theirs", "ours")):
        with pytest.raises(RefusedEntry, match=f"^{name}: its title looks like that of {other}"):
            check_entry(board, name, identities)


def test_an_entry_that_is_broken_disturbs_no_other(board: Board) -> None:
    new_entry(board)
    folder = new_entry(board, "theirs", seed=2)
    for name in ("small.ranks.npz", "small.json", "entry.json"):
        (folder / name).write_bytes(b"broken")
        check_entry(board, "ours")
    (board.entries / "NUL").write_text("no entry")
    check_entry(board, "ours")


def test_a_bomb_in_another_entry_is_not_unfolded(board: Board) -> None:
    new_entry(board)
    folder = new_entry(board, "theirs", seed=2)
    buffer = BytesIO()
    with np.load(folder / "small.ranks.npz") as arrays:
        np.savez_compressed(buffer, **{**arrays, "ahead": np.zeros((2 * 10**6, 4), dtype=np.int32)})
    (folder / "small.ranks.npz").write_bytes(buffer.getvalue())
    reseal(folder)
    check_entry(board, "ours")


@given(st.data())
def test_digests_depend_on_counts_and_on_nothing_else(data: st.DataObject) -> None:
    digests = count_digests(RANKS)
    shuffle = np.random.RandomState(data.draw(st.integers(0, 2**32 - 1))).permutation(len(RANKS.row_queries))
    order = np.lexsort((shuffle, RANKS.row_queries))
    shuffled = replace(
        RANKS,
        **{
            name: getattr(RANKS, name)[order]
            for name in ("row_queries", "row_documents", "row_grades", "ahead", "ties")
        },
    )
    assert (count_digests(shuffled) == digests).all()
    narrow = replace(RANKS, ahead=RANKS.ahead.astype(np.int16), ties=RANKS.ties.astype(np.int8))
    assert (count_digests(narrow) == digests).all()
    row, column = (data.draw(st.integers(0, size - 1)) for size in RANKS.ahead.shape)
    name = data.draw(st.sampled_from(("ahead", "ties")))
    changed = getattr(RANKS, name).copy()
    changed[row, column] += data.draw(st.sampled_from((-1, 1, 1000)))
    assert np.flatnonzero(count_digests(replace(RANKS, **{name: changed})) != digests).tolist() == [
        RANKS.row_queries[row]
    ]


def test_digests_are_those_of_the_file(tmp_path: Path) -> None:
    digests = count_digests(RANKS)
    path = tmp_path / "small.ranks.npz"
    path.write_bytes(write_ranks(RANKS))
    assert (count_digests(read_ranks(path)) == digests).all()
    nothing = replace(RANKS, query_topics=RANKS.query_topics[:0], query_languages=RANKS.query_languages[:0])
    assert len(count_digests(nothing)) == 0
