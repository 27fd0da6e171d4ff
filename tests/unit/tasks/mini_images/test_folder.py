import json
from pathlib import Path

import numpy as np
import pytest

from mlbench.collection.images import open_image
from mlbench.errors import MissingExtra, UserError
from mlbench.tasks.load import load_collection
from mlbench.tasks.mini_images import drawing as module
from mlbench.tasks.mini_images.captions import GRAMMARS, captions, combinations
from mlbench.tasks.mini_images.drawing import draw, make
from mlbench.tasks.task import load_task

SHIPPED = Path(__file__).parents[4] / "tasks" / "mini-images"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "mini-images"
    assert make(folder, seed=5, drawings=2) == (64, 384)
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_ships_is_what_is_drawn() -> None:
    held_out = list(combinations(held_out=True))
    assert {path.name for path in (SHIPPED / "images").iterdir()} == {f"{each.name}.png" for each in held_out}
    for each in held_out:
        pixels = np.asarray(open_image(SHIPPED / "images" / f"{each.name}.png"))
        assert (pixels == draw(each, 0)).all(), each
    for language in GRAMMARS:
        lines = (SHIPPED / f"captions.{language}.jsonl").read_text(encoding="utf-8").splitlines()
        expected = [{"image": f"{each.name}.png", "caption": captions(each)[language]} for each in held_out]
        assert [json.loads(line) for line in lines] == expected


def test_what_ships_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 300_000


@pytest.mark.slow
def test_the_part_for_evaluation_is_what_ships(made: Path) -> None:
    assert names(made / "test") | {"LICENSE"} == names(SHIPPED)
    for name in names(made / "test"):
        if name.endswith(".png"):
            assert open_image(made / "test" / name).tobytes() == open_image(SHIPPED / name).tobytes()
        else:
            assert (made / "test" / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_both_parts_are_tasks_that_share_no_image(made: Path) -> None:
    test, train = (load_collection(load_task(str(made / part))) for part in ("test", "train"))
    shipped = load_collection(load_task("mini-images"))
    assert test.queries["image"] == shipped.queries["image"]
    assert {language: len(rows) for language, rows in train.documents.items()} == dict.fromkeys(
        ("image", *GRAMMARS), 384
    )
    assert not {row.text for row in test.documents["image"]} & {row.text for row in train.documents["image"]}
    assert not {row.text for row in test.documents["th"]} & {row.text for row in train.documents["th"]}


def test_drawings_of_a_combination_are_one_cluster(made: Path) -> None:
    task = load_task(str(made / "train"))
    train = load_collection(task)
    assert (task.name, task.licence, train.cluster_unit) == ("mini-images-train", "CC0 1.0", "combination")
    assert train.clusters["black-star-1-000.png"] == train.clusters["black-star-1-001.png"] == "black-star-1"
    assert len(set(train.clusters.values())) == 192


@pytest.mark.slow
def test_drawings_follow_from_the_seed(made: Path, tmp_path: Path) -> None:
    make(tmp_path / "same", seed=5, drawings=1)
    make(tmp_path / "other", seed=6, drawings=1)
    image = "train/images/black-star-1-000.png"
    assert (tmp_path / "same" / image).read_bytes() == (made / image).read_bytes()
    assert (tmp_path / "other" / image).read_bytes() != (made / image).read_bytes()


def test_an_empty_folder_is_filled_even_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path(), drawings=1)
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["test", "train"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for taken in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UserError, match="is there already: name a folder that is empty or new"):
            make(taken)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("seed", [0, -1, 2**32])
def test_the_seed_of_the_evaluation_is_no_seed_for_training(tmp_path: Path, seed: int) -> None:
    with pytest.raises(UserError, match="from 1 to 4,294,967,295"):
        make(tmp_path / "new", seed=seed)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(module, "draw", fail)
    with pytest.raises(OSError, match="no room"):
        make(tmp_path / "new", drawings=1)
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


def test_without_pillow_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"mlbench\[images\]"):
        make(tmp_path / "new", drawings=1)
    assert list(tmp_path.iterdir()) == []
