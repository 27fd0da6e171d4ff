"""Every shipped recipe can be read, differs from its kin only where it says so, and finds its data."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from published_files import publish
from unit.training.row_cases import RawRow, pairs, write

from mlbench import recipe_files
from mlbench.errors import InvalidRecipe
from mlbench.training.data import load_data
from mlbench.training.recipe import load_recipe, recipe_names
from mlbench.training.recipe_tables import DataSet
from mlbench.training.sources import load_training_set

STATIC = ("default", "static-cross", "static-hybrid", "static-large", "static-mono", "static-questions")
TRANSFORMERS = ("labse-hybrid", "mbert-hybrid", "mt5-hybrid", "xlmr-hybrid")
PRE_TRAINED = ("e5-small-hybrid", "e5-small-questions")
IMAGES = ("clip-hybrid", "clip-standard", "mini-images-albef", "mini-images-blip", "mini-images-hybrid")
NINE = ("ar", "de", "en", "es", "hi", "ru", "th", "tr", "zh")


def said(name: str) -> dict[tuple[str, ...], object]:
    """Return what a recipe says, but for its name and title, by the path of the key."""

    def leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, (*path, key))
        else:
            yield path, value

    return dict(leaves(load_recipe(name).model_dump(mode="json", exclude={"name", "title"}), ()))


def differing(name: str, other: str) -> set[tuple[str, ...]]:
    first, second = said(name), said(other)
    return {path for path in first.keys() | second.keys() if first.get(path) != second.get(path)}


def test_all_are_known() -> None:
    assert recipe_names() == tuple(sorted(STATIC + TRANSFORMERS + PRE_TRAINED + IMAGES))


@pytest.mark.parametrize("name", recipe_names())
class TestEach:
    def test_is_named_as_its_file(self, name: str) -> None:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.title

    def test_scans_for_the_tasks_it_will_be_measured_on(self, name: str) -> None:
        contamination = load_recipe(name).contamination
        drawn = name in IMAGES
        assert set(contamination.tasks) == ({"mini-images"} if drawn else {"xquad-r", "mlqa-r"})
        assert contamination.action == ("refuse" if drawn else "drop")

    def test_says_whose_data_it_takes(self, name: str) -> None:
        recipe = load_recipe(name)
        judged = recipe.validation.datasets if recipe.validation else ()
        stated = [data for data in (*recipe.datasets, *judged) if not data.tasks]
        assert [data.name for data in stated if not (data.homepage and data.citation)] == []
        tasks = [load_training_set(spec) for data in (*recipe.datasets, *judged) for spec in data.tasks]
        assert [task.name for task in tasks if not (task.homepage and task.citation and task.licence)] == []

    def test_says_where_each_file_comes_from_or_why_not(self, name: str) -> None:
        recipe = load_recipe(name)
        judged = recipe.validation.datasets if recipe.validation else ()
        files = [file for data in (*recipe.datasets, *judged) for file in data.files]
        assert [file.path for file in files if not (file.downloadable or file.reason)] == []


@pytest.mark.parametrize("name", STATIC)
def test_static_recipes_are_made_of_tasks_alone(name: str) -> None:
    assert [data.name for data in load_recipe(name).datasets if not data.tasks] == []


def test_recipes_of_images_differ_only_in_what_stands_beside_images_and_in_batches() -> None:
    shares = {("image_share", tag) for tag in ("default", "en")}
    assert differing("clip-standard", "clip-hybrid") == shares | {("batches", "captions"), ("batches", "mixed")}
    assert differing("mini-images-hybrid", "clip-hybrid") == {("image_share", tag) for tag in ("hi", "th")}


@pytest.mark.parametrize(("name", "alpha"), [("static-mono", 1.0), ("static-hybrid", 0.5), ("static-cross", 0.0)])
def test_static_recipes_differ_only_in_alpha(name: str, alpha: float) -> None:
    assert differing(name, "static-hybrid") <= {("batches", "alpha")}
    assert load_recipe(name).batches.alpha == alpha


@pytest.mark.parametrize("name", TRANSFORMERS[:-1])
def test_transformer_recipes_differ_only_in_their_encoder(name: str) -> None:
    allowed = {("transformer", key) for key in ("checkpoint", "revision", "pooling")}
    assert ("transformer", "checkpoint") in differing(name, "xlmr-hybrid") <= allowed


def test_transformer_recipes_have_the_settings_of_the_paper() -> None:
    recipe = load_recipe("xlmr-hybrid")
    assert recipe.transformer is not None
    assert recipe.validation is not None
    assert recipe.languages == NINE
    assert (recipe.transformer.query_prefix, recipe.transformer.document_prefix) == ("Query: ", "Passage: ")
    assert (recipe.optimizer.learning_rate, recipe.optimizer.weight_decay) == (3e-5, 1e-2)
    assert (recipe.batches.size, recipe.batches.alpha, recipe.loss.negatives) == (100, 0.5, "hard_only")
    assert recipe.validation.patience is not None
    assert len(recipe.datasets) == 9
    assert [data.tasks for data in recipe.validation.datasets] == [("squadshifts",)]


def test_a_recipe_may_extend_one_that_extends(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('extends = "labse-hybrid"\nname = "own"\n[batches]\nalpha = 0.4\n', encoding="utf-8")
    recipe = load_recipe(str(own))
    assert recipe.transformer is not None
    assert (recipe.transformer.checkpoint, recipe.transformer.max_length) == ("sentence-transformers/LaBSE", 256)
    assert (recipe.batches.alpha, recipe.batches.size) == (0.4, 100)


def test_a_recipe_may_not_extend_a_stranger(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('extends = "labse-hybird"\nname = "own"\nstep = 3\n', encoding="utf-8")
    with pytest.raises(InvalidRecipe, match=r"unknown recipe 'labse-hybird'.*labse-hybrid") as caught:
        load_recipe(str(own))
    assert "step: unknown key" in str(caught.value)


class TestData:
    """The data of xlmr-hybrid in a folder, tiny: copies of what a hub has, and files that a user brings."""

    @pytest.fixture(autouse=True)
    def _own_caches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
        monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))

    def test_of_a_folder_is_enough(self, tmp_path: Path) -> None:
        there = folder(tmp_path / "data")
        recipe = load_recipe("xlmr-hybrid", changes(there, size=8))
        data, faults = load_data(recipe, data_dir=there)
        assert faults == []
        assert data is not None
        assert [len(index) for index in data.training.indexes] == [20] * 9
        kinds = {data.training.examples(recipe, 0).sampler.batch(number).kind for number in range(40)}
        assert kinds == {"mono", "cross_example"}
        by_name = dict(zip([rows.name for rows in data.training.rows], data.training.rows, strict=True))
        assert by_name["mr-tydi"].languages == by_name["mfaq"].languages == ("en",)
        assert len(by_name["mr-tydi"].index.negative_texts) == 20

    def test_to_judge_on_may_have_one_language(self, tmp_path: Path) -> None:
        there = folder(tmp_path / "data")
        recipe = load_recipe("xlmr-hybrid", changes(there, size=8))
        data, _ = load_data(recipe, data_dir=there)
        assert data is not None
        held_out = data.held_out_examples(recipe)
        assert held_out is not None
        batches = list(held_out.sampler.batches(0, 20))
        assert {batch.kind for batch in batches} == {"mono"}
        assert {batch.dataset for batch in batches} == {0}

    def test_that_is_missing_is_named_at_once(self, tmp_path: Path) -> None:
        there = folder(tmp_path / "data")
        (there / "train/nq.jsonl").unlink()
        (there / "train/mmarco.jsonl").unlink()
        _, faults = load_data(load_recipe("xlmr-hybrid", changes(there)), data_dir=there)
        why = {
            "nq": "the paper's machine translations are not published",
            "mmarco": "published as tables by id, of which docs/how-to/train.md makes rows",
        }
        assert faults[:2] == [
            f"datasets[{number}]: train/{name}.jsonl is missing ({why[name]}): put it beside the recipe, "
            f"or as DIR/train/{name}.jsonl and pass --data-dir DIR"
            for number, name in ((3, "nq"), (6, "mmarco"))
        ]

    def test_beside_a_recipe_goes_first(self, tmp_path: Path) -> None:
        own = write(folder(tmp_path / "own") / "train/nq.jsonl", pairs(3, ("de",), ("de",)))
        recipe_file = own.parents[1] / "own.toml"
        recipe_file.write_text('extends = "xlmr-hybrid"\nname = "own"\ncontamination = {}\n', encoding="utf-8")
        there = folder(tmp_path / "data")
        data, faults = load_data(load_recipe(str(recipe_file), changes(there, size=2)), data_dir=there)
        assert faults == []
        assert data is not None
        assert len(data.training.indexes[3]) == 3


def folder(path: Path) -> Path:
    """Write a data folder: JSON lines in nine languages, mMARCO's seven, Parquet as hubs have it, and SQuADShifts."""
    (path / "train").mkdir(parents=True)
    recipe = load_recipe("xlmr-hybrid")
    for data in recipe.datasets:
        tags = tuple(tag for tag in NINE if tag not in ("th", "tr") or data.name != "mmarco")
        for number, file in enumerate(data.files):
            write(path / file.path, pairs(20, tags, tags, start=1000 * number))
    for data in recipe.datasets:
        if data.hub is not None:
            copy_of_hub(path / data.hub, data)
    publish(load_training_set("squadshifts"), Path(recipe_files.__path__[0], "data/squadshifts.toml"), path, "http://x")
    (path / "squadshifts").mkdir()
    for file in path.glob("*_v1.0.json"):
        file.rename(path / "squadshifts" / file.name)
    return path


def changes(there: Path, **more: object) -> dict[str, object]:
    """Return what a recipe must say to take the data of `folder`: its SQuADShifts are not those that were published."""
    judged = [{"name": "squadshifts", "tasks": [str(there / "squadshifts.toml")]}]
    return {"contamination.tasks": [], "validation.datasets": judged, **more}


def copy_of_hub(place: Path, data: DataSet) -> None:
    from datasets import Dataset

    rows: list[RawRow] = [
        {column: f"{column} {number} of {data.name}" for column in data.columns.values()} for number in range(20)
    ]
    inside = data.folder or data.configuration
    assert inside is not None
    parquet = place / inside / f"{data.split}/0000.parquet"
    parquet.parent.mkdir(parents=True)
    Dataset.from_list([dict(row) for row in rows]).to_parquet(parquet)
    if data.configuration is not None:
        files_of_it = f"{{split: {data.split}, path: {inside}/{data.split}/*.parquet}}"
        card = f"---\nconfigs:\n- config_name: {data.configuration}\n  data_files: [{files_of_it}]\n---\n"
        (place / "README.md").write_text(card, encoding="utf-8")
