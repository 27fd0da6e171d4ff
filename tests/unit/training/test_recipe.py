"""Recipes: every fault in one message, what they extend, how keys are changed."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from static_cases import RECIPE

from mlbench.errors import DataError, InvalidRecipe, UnknownName, UserError
from mlbench.training.recipe import Recipe, check_recipe, key_path, load_recipe, parse_value, recipe_names

OLD = """
name = "toy"
steps = 30
languages = ["de", "en"]

[static]

[optimizer]
learning_rate = 0.01

[[datasets]]
name = "rows"
files = [{ path = "rows.jsonl" }]

[validation]

[[validation.datasets]]
name = "judged"
hub = "own/judged"
columns = { query = "question", document = "answer" }
language = "en"
"""
"""A recipe whose fingerprint was taken before data sets could name tasks."""


def written(folder: Path, text: str = RECIPE) -> str:
    path = folder / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def faults(spec: str, **changes: object) -> tuple[str, ...]:
    with pytest.raises(InvalidRecipe) as raised:
        load_recipe(spec, changes)
    assert "\n" not in str(raised.value)
    return raised.value.faults


def test_is_read_as_written(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path))
    assert (recipe.name, recipe.steps, recipe.languages) == ("toy", 20, ("de", "en", "fr"))
    assert recipe.static is not None
    assert recipe.transformer is None
    assert (recipe.static.dim, recipe.batches.size, recipe.batches.alpha) == (8, 16, 0.5)
    assert recipe.root == tmp_path


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_have_no_faults(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title


def test_the_three_strategies_differ_in_alpha_alone() -> None:
    static = [load_recipe(f"static-{strategy}") for strategy in ("cross", "hybrid", "mono")]
    assert [recipe.batches.alpha for recipe in static] == [0, 0.5, 1]
    assert len({load_recipe(recipe.name, {"alpha": 0.5}).fingerprint() for recipe in static}) == 1


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("size = 16", "sise = 16", "batches.sise: unknown key: did you mean size?"),
        ("seed = 3", "sead = 3", "sead: unknown key: did you mean seed?"),
        ("size = 16", "alpha = 1.5", "batches.alpha: input should be less than or equal to 1, not 1.5"),
        ("size = 16", "monolingual = 'mixd'", "batches.monolingual: unknown value 'mixd': did you mean mixed?"),
        ("steps = 20", "steps = '20'", "steps: input should be a valid integer, not '20'"),
        ("steps = 20\n", "", "steps: is missing"),
        ("[static]\npieces = 200\ndim = 8", "", "give [static], [transformer] or [image_text], one of them"),
        (
            "[static]",
            "[transformer]\ncheckpoint = 'x'\n[static]",
            "give [static], [transformer] or [image_text], one of them",
        ),
        ('["de", "en", "fr"]', '["de"]', "alpha below 1 asks for cross-lingual batches, which need two languages"),
        ('["de", "en", "fr"]', '["de", "de", "en"]', "languages: 'de' is there twice"),
        ('["de", "en", "fr"]', "[]", "languages: must not be empty"),
        ('"rows"\n', '"Rows!"\n', "datasets[0].name: string should match pattern"),
        ('{ path = "rows.jsonl" }', '{ path = "../x" }', "datasets[0].files[0].path: '../x' must be a relative path"),
        (
            "learning_rate = ",
            "weight_decay = 0.1\nlearning_rate = ",
            "optimizer.weight_decay is for transformers: sparse Adam has none, so leave it out",
        ),
        ("files = [", "hub = 'x'\nfiles = [", "datasets[0]: give tasks, files, captions or hub, one of them"),
        ("seed = 3", "validation = { every = 3 }", "validation: give share or datasets, one of them"),
        ("seed = 3", "loss = { negatives = 'hard_only', symmetric = true }", "loss: symmetric needs negatives"),
        ("seed = 3", "contamination = { tasks = ['xquad'] }", "contamination.tasks[0]: unknown task 'xquad': did you"),
        (
            "[[datasets]]",
            "[[datasets]]\nname = 'rows'\nfiles = [{ path = 'b' }]\n[[datasets]]",
            "'rows' is there twice",
        ),
        (
            "name = ",
            "extends = 'static-hybrit'\nname = ",
            "extends: unknown recipe 'static-hybrit': did you mean static",
        ),
    ],
)
def test_a_fault_names_its_key(tmp_path: Path, before: str, after: str, fault: str) -> None:
    assert before in RECIPE
    (found,) = faults(written(tmp_path, RECIPE.replace(before, after, 1)))
    assert found.startswith(fault)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = RECIPE.replace("size = 16", "sise = 16\nalpha = 1.5").replace("dim = 8", "dim = 1")
    assert faults(written(tmp_path, text), nothing=1, negatives="none", steps=0) == (
        "unknown key of recipes 'nothing': " + str(UnknownName("", "nothing", plain_keys())).partition(": ")[2],
        "steps: input should be greater than or equal to 1, not 0",
        "static.dim: input should be greater than or equal to 2, not 1",
        "batches.alpha: input should be less than or equal to 1, not 1.5",
        "batches.sise: unknown key: did you mean size?",
        "loss.negatives: unknown value 'none': known are hard_only, in_batch",
    )


def plain_keys() -> set[str]:
    """Return the keys of tables, as the models say them."""
    schema = Recipe.model_json_schema()
    tables = {
        "StaticModel",
        "TransformerModel",
        "Batches",
        "Views",
        "Loss",
        "Optimizer",
        "Validation",
        "ContaminationPolicy",
    }
    names = {name for table in tables for name in schema["$defs"][table]["properties"]}
    inner = {"static", "transformer", "batches", "views", "loss", "optimizer", "validation", "contamination"}
    return names | set(schema["properties"]) - inner | {"batches"}


def test_what_is_no_recipe(tmp_path: Path) -> None:
    assert faults(written(tmp_path, "name = "))[0].startswith("not valid TOML: ")
    with pytest.raises(DataError, match=r"there is no recipe nowhere\.toml"):
        load_recipe("nowhere.toml")
    with pytest.raises(UnknownName, match="unknown recipe 'static-hybird': did you mean static-hybrid"):
        load_recipe("static-hybird")


class TestExtends:
    def test_takes_what_is_left_out(self, tmp_path: Path) -> None:
        text = "extends = 'static-hybrid'\nname = 'mine'\nsteps = 7\n[batches]\nalpha = 0.25\n"
        mine, base = load_recipe(written(tmp_path, text)), load_recipe("static-hybrid")
        assert (mine.name, mine.steps, mine.batches.alpha) == ("mine", 7, 0.25)
        assert mine.batches.size == base.batches.size
        assert mine.datasets == base.datasets
        assert mine.root == tmp_path

    def test_one_model_replaces_the_other(self, tmp_path: Path) -> None:
        text = "extends = 'static-hybrid'\nname = 'mine'\n[transformer]\ncheckpoint = 'x'\n"
        mine = load_recipe(written(tmp_path, text))
        assert mine.static is None
        assert mine.transformer is not None


class TestFingerprint:
    def test_knows_all_but_the_name(self, tmp_path: Path) -> None:
        recipe = load_recipe(written(tmp_path))
        same = load_recipe(written(tmp_path), {"name": "other", "title": "Other"})
        others = [load_recipe(written(tmp_path), {key: 1}) for key in ("seed", "steps", "alpha", "overlap")]
        assert same.fingerprint() == recipe.fingerprint()
        assert len({recipe.fingerprint(), *(other.fingerprint() for other in others)}) == 5

    def test_does_not_follow_keys_that_are_newer_than_the_recipe(self, tmp_path: Path) -> None:
        recipe = load_recipe(written(tmp_path, OLD))
        assert recipe.fingerprint() == "6b3a411f7937dac9d2769ec37c14d5da0baccfbf143d39a13dd36bd42b5f8d82"
        named = OLD.replace('files = [{ path = "rows.jsonl" }]', 'tasks = ["mini"]')
        others = [load_recipe(written(tmp_path, text)).fingerprint() for text in (named, named.replace("mini", "own"))]
        assert len({recipe.fingerprint(), *others}) == 3


class TestChanges:
    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("alpha", ("batches", "alpha")),
            ("batches.alpha", ("batches", "alpha")),
            ("static.dim", ("static", "dim")),
            ("seed", ("seed",)),
            ("overlap", ("views", "overlap")),
            ("action", ("contamination", "action")),
            ("data_fraction", ("data_fraction",)),
            ("validation.datasets", ("validation", "datasets")),
            ("image_share.default", ("image_share", "default")),
        ],
    )
    def test_key_path(self, key: str, path: tuple[str, ...]) -> None:
        assert key_path(key) == path

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("alpa", "unknown key of recipes 'alpa': did you mean alpha"),
            ("batch.alpha", "unknown key of recipes 'batch.alpha': did you mean batches.alpha"),
            ("datasets.name", "unknown key of recipes 'datasets.name': did you mean datasets"),
        ],
    )
    def test_a_key_that_is_none(self, key: str, message: str) -> None:
        with pytest.raises(UnknownName, match=message):
            key_path(key)

    def test_a_name_of_several_things(self) -> None:
        with pytest.raises(UserError, match=r"several things: write validation\.batches or batches\.KEY"):
            key_path("batches")

    def test_are_made_after_all_else(self, tmp_path: Path) -> None:
        recipe = load_recipe(written(tmp_path), {"alpha": 0.25, "static.dim": 64, "validation.share": 0.1})
        assert recipe.batches.alpha == 0.25
        assert recipe.batches.size == 16
        assert recipe.static is not None
        assert recipe.static.dim == 64
        assert recipe.validation is not None
        assert recipe.validation.every == 500


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.25", 0.25),
        (".25", 0.25),
        ("-.5", -0.5),
        ("50_000", 50_000),
        ("1e-3", 0.001),
        ("true", True),
        ("['de', 'en']", ["de", "en"]),
        ("cross_batch", "cross_batch"),
        ("'0.5'", "0.5"),
        ("a.5", "a.5"),
        ("1\nseed = 2", "1\nseed = 2"),
        ("", ""),
    ],
)
def test_parse_value(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False)))
def test_values_are_parsed_as_toml_writes_them(value: bool | int | float) -> None:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert parse_value(text) == tomllib.loads(f"x = {text}")["x"] == value


class TestUsable:
    """What is left of a faulty recipe, so that its data can be checked as well."""

    @pytest.mark.parametrize(
        "text",
        [
            RECIPE.replace("size = 16", "size = 16\nalpha = 1.5"),
            RECIPE.replace("steps = 20", ""),
            RECIPE.replace("name = ", "nam = ", 1),
            RECIPE.replace("[optimizer]\nlearning_rate = 0.02", "[optimizer]\nlearning_rate = -1"),
            RECIPE.replace("pieces = 200", "pieces = 2"),
            RECIPE.replace("licence", "license"),
            RECIPE.replace("seed = 3", "validation = { every = 3 }"),
        ],
    )
    def test_keeps_what_says_where_the_data_are(self, tmp_path: Path, text: str) -> None:
        recipe, found = check_recipe(written(tmp_path, text))
        assert found
        assert recipe is not None
        assert recipe.languages == ("de", "en", "fr")
        assert [data.name for data in recipe.datasets] == ["rows"]
        assert recipe.root == tmp_path

    @pytest.mark.parametrize(
        "text",
        [
            RECIPE.replace('languages = ["de", "en", "fr"]', ""),
            RECIPE.replace('languages = ["de", "en", "fr"]', "languages = 3"),
            RECIPE.replace('name = "rows"', ""),
            RECIPE.replace('{ path = "rows.jsonl" }', '{ path = "rows.jsonl", bytes = 3 }'),
            RECIPE.replace('["de", "en", "fr"]', '["de"]'),
        ],
    )
    def test_is_nothing_where_too_little_is_left(self, tmp_path: Path, text: str) -> None:
        recipe, found = check_recipe(written(tmp_path, text))
        assert recipe is None
        assert len(found) == 1
