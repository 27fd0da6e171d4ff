"""Entries of captioned images: what passes, what is refused, and what the site shows of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from functional.forging import read, reseal, write
from unit.leaderboard.boards import placed
from unit.leaderboard.image_sites import NAMES, image_board
from unit.seeing import ToyLister, ToySeer, measured, write_task

from mlbench.collection.languages import IMAGE_KINDS
from mlbench.errors import RefusedEntry, UserError
from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.check_ranks import alignment_fault, counts_fault
from mlbench.leaderboard.columns import IMAGE_COLUMNS, BoardColumn
from mlbench.leaderboard.columns import measured as number_of
from mlbench.leaderboard.evidence import gather
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.site import pages, read_entries
from mlbench.leaderboard.submission import Description, add
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import read_ranks, write_ranks

DOCUMENT, RANKS = "pictures.json", "pictures.ranks.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 16, {"de": 1, "en": 2, "th": 1})


@pytest.fixture(scope="module")
def paths(folder: Path) -> dict[str, Path]:
    models = {
        "seer": ToySeer(),
        "dot": ToySeer(2, similarity="dot"),
        "lister": ToyLister(),
        "shallow": ToyLister(3),
    }
    return {name: measured(folder, model, out=folder / name, resamples=20) for name, model in models.items()}


@pytest.fixture
def board(tmp_path: Path, paths: dict[str, Path]) -> Board:
    made = Board(tmp_path / "board")
    made.take(accept(*read_pair(paths["seer"])))
    return made


@pytest.fixture
def entry(board: Board, paths: dict[str, Path]) -> Path:
    add(board, "ours", [paths["seer"]], Description(title="Ours"))
    return board.entry_folder("ours")


def refusal(board: Board) -> str:
    with pytest.raises(RefusedEntry) as raised:
        check_entry(board, "ours")
    return str(raised.value)


@pytest.mark.parametrize("name", ["seer", "dot", "lister", "shallow"])
def test_honest_entries_pass(board: Board, paths: dict[str, Path], name: str) -> None:
    checked = add(board, name, [paths[name]], Description())
    result, ranks = checked.pairs["pictures"]
    assert checked.n_numbers > 300
    assert (ranks.alignment is not None) == (name == "seer")
    assert result.image_text is not None
    assert (result.image_text.mean.clip_score is not None) == (name == "seer")


@pytest.mark.parametrize("name", ["dot", "lister", "shallow"])
def test_whatever_was_accepted_first_the_others_pass(tmp_path: Path, paths: dict[str, Path], name: str) -> None:
    made = Board(tmp_path / "board")
    made.take(accept(*read_pair(paths[name])))
    assert add(made, "seer", [paths["seer"]], Description()).n_numbers > 300


@pytest.mark.parametrize(
    "place",
    [
        "image_text/mean/r_mean",
        "image_text/mean/clip_score",
        "image_text/languages/0/ref_clip_score",
        "image_text/languages/2/intervals/clip_score/low",
        "settings/3/measures/Success@1",
        "bias/scores/0/value",
    ],
)
def test_numbers_are_held_against_the_ranks(board: Board, entry: Path, place: str) -> None:
    document = read(entry / DOCUMENT)
    inner = document
    for step in place.split("/"):
        inner = inner[int(step) if step.isdigit() else step]
    write(entry / DOCUMENT, placed(document, place, inner + 1e-6))
    reseal(entry)
    assert refusal(board).startswith("ours: pictures.json: ")


def swapped_cosines(ranks: Ranks) -> Ranks:
    """Give two captions of an image each other's cosine."""
    assert ranks.alignment is not None
    rows = np.flatnonzero(~np.isnan(ranks.alignment[:, 0]))[:2]
    changed = ranks.alignment.copy()
    changed[rows] = changed[rows[::-1]]
    return replace(ranks, alignment=changed)


def with_alignment(change: Callable[[np.ndarray], None]) -> Callable[[Ranks], Ranks]:
    def changed(ranks: Ranks) -> Ranks:
        assert ranks.alignment is not None
        copy = ranks.alignment.copy()
        change(copy)
        return replace(ranks, alignment=copy)

    return changed


def raise_closest(alignment: np.ndarray) -> None:
    """Let a caption be as close to another as it can only be where both are as close to the image."""
    row = int(np.nanargmin(alignment[:, 0]))
    alignment[row, 1] = -1.0


def hide_in_nan(alignment: np.ndarray) -> None:
    row = int(np.flatnonzero(np.isnan(alignment[:, 0]))[0])
    alignment.view(np.uint32)[row, 0] |= 0x1234


def no_closest(alignment: np.ndarray) -> None:
    alignment[int(np.flatnonzero(~np.isnan(alignment[:, 1]))[0]), 1] = np.nan


FORGERIES: dict[str, tuple[Callable[[Ranks], Ranks], str]] = {
    "another order": (swapped_cosines, "alignment is not in the order of the captions' ranks"),
    "captions that are too far apart": (with_alignment(raise_closest), "cosines between captions that no vectors have"),
    "a caption without others": (with_alignment(no_closest), "cosines between captions that no vectors have"),
    "something in what is no number": (with_alignment(hide_in_nan), "alignment is not as numpy writes it"),
    "no cosines": (
        lambda ranks: replace(ranks, alignment=None),
        "the header of alignment is not as numpy writes it",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_cosines_are_held_against_the_ranks(board: Board, entry: Path, name: str) -> None:
    change, expected = FORGERIES[name]
    ranks = change(read_ranks(entry / RANKS))
    (entry / RANKS).write_bytes(write_ranks(ranks))
    reseal(entry)
    told = refusal(board)
    assert any(each in told for each in expected.split("|")), told


def test_a_ranker_has_no_cosines(board: Board, paths: dict[str, Path]) -> None:
    add(board, "ours", [paths["lister"]], Description())
    folder = board.entry_folder("ours")
    ranks = read_ranks(folder / RANKS)
    alignment = read_ranks(paths["seer"].parent / read(paths["seer"])["ranks"]["name"]).alignment
    (folder / RANKS).write_bytes(write_ranks(replace(ranks, alignment=alignment)))
    reseal(folder)
    assert "its directory is not as numpy writes it" in refusal(board)


@pytest.mark.parametrize("name", ["seer", "lister"])
def test_counts_are_held_against_each_other(paths: dict[str, Path], name: str) -> None:
    result, ranks = read_pair(paths[name])
    settings = tuple(accept(result, ranks).settings)
    kind = result.retriever.kind
    assert counts_fault(ranks, kind, _settings(settings)) == ""
    image = ranks.language_index("image")
    row = int(np.flatnonzero(ranks.query_languages[ranks.row_queries] != image)[0])
    query = ranks.row_queries[row]

    def changed(array: str, place: tuple[int, int], value: int) -> Ranks:
        copy = getattr(ranks, array).copy()
        copy[place] = value
        return replace(ranks, **{array: copy})

    captions = ranks.column_of(["de"])
    assert captions is not None
    # A caption is never counted against captions, and an image found elsewhere than its count says.
    assert counts_fault(changed("listed", (query, captions), 3), kind, _settings(settings))
    assert counts_fault(changed("ahead", (row, captions), 0), kind, _settings(settings))
    assert counts_fault(changed("top", (query, 0), ranks.top[query, 1]), kind, _settings(settings))


def _settings(settings):  # type: ignore[no-untyped-def]
    from mlbench.collection.languages import Setting

    return [Setting(each.query_language, each.document_languages) for each in settings]


def test_parts_of_a_task_are_refused(board: Board, folder: Path, tmp_path: Path) -> None:
    part = measured(folder, out=tmp_path / "part", languages=("de", "en"), resamples=20)
    with pytest.raises(UserError, match="measure the whole task"):
        accept(*read_pair(part))
    with pytest.raises(UserError, match="it is of a part of the task"):
        add(board, "part", [part], Description())


def test_images_that_could_not_be_read_are_refused(tmp_path: Path) -> None:
    broken = write_task(tmp_path / "pictures", 16, {"de": 1, "en": 2, "th": 1})
    (broken / "images" / "03.png").write_bytes(b"no image")
    result, ranks = read_pair(measured(broken, resamples=20))
    assert (result.task.partial, result.task.unreadable_images) == (True, 1)
    with pytest.raises(UserError, match="1 of its images could not be read: fetch them anew"):
        accept(result, ranks)


def test_contributions_sum_to_the_numbers_of_the_result(paths: dict[str, Path]) -> None:
    result, ranks = read_pair(paths["seer"])
    evidence = gather(result, ranks)
    assert set(evidence.columns) == {*IMAGE_COLUMNS, BoardColumn("rank_distance")}
    for column, added in {**evidence.columns, **evidence.summary}.items():
        found = number_of(result, column)
        if found is not None:
            assert added.sum() == pytest.approx(column.loss(found.value))
    assert {column.kind for column in evidence.summary} == {*IMAGE_KINDS, None}


def test_cosines_of_texts_are_none() -> None:
    from unit.compare.cases import skilled

    assert alignment_fault(skilled()) == ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    board = image_board(tmp_path_factory.mktemp("board"))
    return dict(pages(read_entries(board), flips=19))


class TestSite:
    @pytest.mark.slow
    def test_has_the_columns_of_images_alone(self, site: dict[str, str]) -> None:
        head = site["index.html"].partition("<thead>")[2].partition("</thead>")[0]
        for key in ("Success@1.text_to_image", "Success@1.image_to_text", "Success@1.image_to_pool", "r_mean"):
            assert f'data-key="{key}"' in head
        assert "monolingual" not in head
        assert "own_language_preference" not in head
        assert "3 caption languages, 16 images, 64 captions" in site["index.html"]

    def test_the_page_of_an_entry_has_every_caption_language(self, site: dict[str, str]) -> None:
        text = site["entries/seer.html"].partition('<table class="captions">')[2].partition("</table>")[0]
        for word in ("text to image", "image to text", "r_mean", "CLIPScore", ">de<", ">en<", ">th<", ">mean<"):
            assert word in text
        assert text.count("data-v=") == 3 * 9
        assert 'class="captions"' in site["entries/lister.html"]
        assert "CLIPScore<" not in site["entries/lister.html"].partition("<thead>\n<tr><td>")[2]

    def test_what_is_new_is_explained(self, site: dict[str, str]) -> None:
        assert 'id="clip_score"' in site["about.html"]
        assert 'id="Success@k"' in site["about.html"]
        assert {f"entries/{name}.html" for name in NAMES} <= site.keys()

    def test_a_site_of_texts_says_nothing_of_images(self) -> None:
        from unit.leaderboard.sites import board as texts

        made = dict(pages(sorted(texts(), key=lambda each: each.name), flips=19))
        assert all("image" not in made[name] for name in ("index.html", "compare.html"))
        assert "CLIPScore" not in made["about.html"]
