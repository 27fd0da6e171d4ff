"""Recipes: every fault in one message, what they extend, how keys are changed."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from static_cases import RECIPE

from mlbench.errors import DataError, InvalidRecipe, UnknownName, UserError
from mlbench.training.recipe import (
    Recipe,
    check_recipe,
    key_path,
    load_recipe,
    parse_changes,
    parse_value,
    recipe_names,
)

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


EXTENDED = """
extends = "{base}"
name = "own"
{text}
"""


@pytest.mark.parametrize(
    ("base", "text", "changes", "expected"),
    [
        # A revision goes with its checkpoint, and stays where the checkpoint does.
        ("mt5-hybrid", "", {}, {"checkpoint": "google/mt5-base", "revision": "refs/pr/5"}),
        ("mt5-hybrid", "", {"checkpoint": "./mt5"}, {"checkpoint": "./mt5", "revision": None}),
        ("mt5-hybrid", "[transformer]\ncheckpoint = './mt5'", {}, {"checkpoint": "./mt5", "revision": None}),
        ("mt5-hybrid", "", {"checkpoint": "google/mt5-base"}, {"revision": "refs/pr/5"}),
        (
            "mt5-hybrid",
            "",
            {"transformer.revision": "v2", "checkpoint": "a/b"},
            {"checkpoint": "a/b", "revision": "v2"},
        ),
        ("mt5-hybrid", "[transformer]\ncheckpoint = 'a/b'\nrevision = 'v2'", {}, {"revision": "v2"}),
        ("mt5-hybrid", "[transformer]\ncheckpoint = 'a/b'\nrevision = 'v2'", {"checkpoint": "c"}, {"revision": None}),
        # A share takes the place of data sets, and the other way round.
        ("xlmr-hybrid", "", {}, {"share": 0.0, "judged": 1, "patience": 5}),
        ("xlmr-hybrid", "", {"validation.share": 0.05}, {"share": 0.05, "judged": 0, "patience": 5}),
        ("xlmr-hybrid", "[validation]\nshare = 0.05", {}, {"share": 0.05, "judged": 0, "every": 500}),
        (
            "xlmr-hybrid",
            "validation = { share = 0.05 }",
            {"validation.datasets": [{"name": "j", "tasks": ["mini"]}]},
            {"share": 0.0, "judged": 1},
        ),
        # Keys and tables are taken out before others are set.
        ("mt5-hybrid", "", {"transformer.revision": None}, {"checkpoint": "google/mt5-base", "revision": None}),
        ("mt5-hybrid", "unset = ['transformer.revision']", {}, {"checkpoint": "google/mt5-base", "revision": None}),
        ("xlmr-hybrid", "", {"validation": None}, {"validation": False}),
        ("xlmr-hybrid", "unset = ['validation']", {}, {"validation": False}),
        ("xlmr-hybrid", "", {"validation.share": 0.1, "validation": None}, {"share": 0.1, "patience": None}),
        ("xlmr-hybrid", "unset = ['validation']\nvalidation = { share = 0.1 }", {}, {"share": 0.1, "patience": None}),
        ("xlmr-hybrid", "", {"patience": None, "pooling": None}, {"patience": None, "pooling": None, "judged": 1}),
        # What is not there is gone already.
        ("xlmr-hybrid", "", {"transformer.revision": None}, {"revision": None}),
        ("xlmr-hybrid", "", {"image_text": None}, {"pooling": "mean"}),
    ],
)
def test_what_is_inherited_can_be_replaced_and_taken_out(
    tmp_path: Path, base: str, text: str, changes: dict[str, object], expected: dict[str, object]
) -> None:
    recipe = load_recipe(written(tmp_path, EXTENDED.format(base=base, text=text)), changes)
    validation = recipe.validation
    assert recipe.transformer is not None
    found = recipe.transformer.model_dump() | {"validation": validation is not None}
    found |= {"judged": len(validation.datasets)} | validation.model_dump() if validation else {}
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("text", "changes", "fault"),
    [
        ("extends = 'mt5-hybrid'", {"transformer.revison": None}, "unknown key of recipes 'transformer.revison': did"),
        ("extends = 'mt5-hybrid'", {"validation": 3}, "validation is a table: name a key of it, such as validation.sh"),
        ("extends = 'mt5-hybrid'", {"steps": None}, "steps is required and cannot be unset: set another value"),
        ("extends = 'mt5-hybrid'", {"checkpoint": None}, "checkpoint is required and cannot be unset: set another"),
        ("extends = 'mt5-hybrid'\nunset = ['optimizer']", {}, "optimizer is required and cannot be unset: set another"),
        ("extends = 'mt5-hybrid'\nunset = ['validatoin']", {}, "unknown key of recipes 'validatoin': did you mean val"),
        ("extends = 'mt5-hybrid'\nunset = 'validation'", {}, "unset: must be a list of keys, such as ["),
        ("extends = 'mt5-hybrid'\nunset = [3]", {}, "unset: must be a list of keys, such as ["),
        ("extends = './other.toml'", {}, "extends: './other.toml' is a file, and only shipped recipes are extended: "),
        ("extends = 3", {}, "extends: unknown recipe '3': known are "),
        (f"unset = ['validation']\n{RECIPE}", {}, "unset: takes keys out of the recipe that is extended: name that"),
        ("extends = 'xlmr-hybrid'\nvalidation = { share = 0.1, datasets = [] }", {}, ""),
        (
            "extends = 'xlmr-hybrid'\nvalidation = { share = 0.1, datasets = [{ name = 'j', tasks = ['mini'] }] }",
            {},
            "validation: give share or datasets, one of them",
        ),
    ],
)
def test_what_cannot_be_taken_out_is_a_fault(tmp_path: Path, text: str, changes: dict[str, object], fault: str) -> None:
    _, found = check_recipe(written(tmp_path, f"{text}\nname = 'own'" if "name =" not in text[:40] else text), changes)
    assert [line[: len(fault)] for line in found] == ([fault] if fault else [])


def test_a_key_is_set_or_unset() -> None:
    assert parse_changes({"alpha": ".5"}, ["validation"]) == {"alpha": 0.5, "validation": None}
    with pytest.raises(UserError, match=r"alpha is set and unset: give --set alpha or --unset alpha, one of them"):
        parse_changes({"alpha": "1"}, ["alpha"])


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


class TestRatios:
    """Shares of three kinds, in place of the short form."""

    @pytest.mark.parametrize(
        ("batches", "fault"),
        [
            ("ratios = { mono = 0.5, cross = 0.4 }", "batches.ratios: the shares sum to 0.9, and must sum to 1"),
            ("ratios = { mono = 0.5, cross = 0.50001 }", "batches.ratios: the shares sum to 1.00001, and must"),
            ("ratios = { mono = 1.5, cross = -0.5 }", "batches.ratios.mono: input should be less than or equal to 1"),
            ("ratios = { mono = 0 }", "batches.ratios: the shares sum to 0, and must sum to 1"),
            ("ratios = { mono = 0.5, crss = 0.5 }", "batches.ratios.crss: unknown value 'crss': did you mean cross?"),
            ("ratios = { mono = nan }", "batches.ratios.mono: input should be"),
            ("ratios = 0.5", "batches.ratios: must be a table, not 0.5"),
            ("ratios = { mono = 1 }\nalpha = 1.0", "batches: ratios has the shares of all kinds: leave out alpha, or"),
            (
                "ratios = { mono = 1 }\nmonolingual = 'mono'",
                "batches: ratios has the shares of all kinds: leave out mon",
            ),
            (
                "ratios = { image = 0.5, mixed = 0.5 }",
                "batches.ratios.image is no kind of batches of texts, which are mono, cross, mixed",
            ),
        ],
    )
    def test_a_fault_is_one_line(self, tmp_path: Path, batches: str, fault: str) -> None:
        found = faults(written(tmp_path, RECIPE.replace("size = 16", batches)))
        assert found[0].startswith(fault)
        assert len(found) == 1 + batches.count("-0.5")

    @pytest.mark.parametrize(
        "shares",
        [{"mono": 0.1, "cross": 0.2, "mixed": 0.7}, {"mono": 1}, dict.fromkeys(("mono", "cross", "mixed"), 1 / 3)],
    )
    def test_shares_are_those_that_are_written(self, tmp_path: Path, shares: dict[str, float]) -> None:
        batches = load_recipe(written(tmp_path), {"ratios": shares}).batches
        found = batches.shares(of_images=False)
        assert list(found) == ["mono", "mixed", "cross_example"]
        assert [found["mono"], found["cross_example"], found["mixed"]] == [
            shares.get(kind, 0) for kind in ("mono", "cross", "mixed")
        ]

    def test_one_language_has_no_cross_lingual_batches(self, tmp_path: Path) -> None:
        text = RECIPE.replace('["de", "en", "fr"]', '["de"]').replace(
            "size = 16", "ratios = { mono = 0.5, mixed = 0.5 }"
        )
        assert load_recipe(written(tmp_path, text)).languages == ("de",)
        (found,) = faults(written(tmp_path, text.replace("mixed", "cross")))
        assert found == "ratios.cross above 0 asks for cross-lingual batches, which need two languages"

    def test_replace_the_short_form_of_the_recipe_that_is_extended(self, tmp_path: Path) -> None:
        assert load_recipe("static-mono").batches.alpha == 1
        text = "extends = 'static-mono'\nname = 'mine'\n[batches]\nratios = { cross = 0.5, mixed = 0.5 }\n"
        mine = load_recipe(written(tmp_path, text))
        assert mine.batches.ratios == {"cross": 0.5, "mixed": 0.5}
        assert mine.batches.size == load_recipe("static-mono").batches.size
        # Ratios replace ratios as a whole, but two forms that are both asked for stay a fault.
        assert load_recipe(written(tmp_path, text), {"ratios": {"mono": 1}}).batches.ratios == {"mono": 1}
        for changes in ({"alpha": 0.5}, {"alpha": 0.5, "ratios": {"mono": 1}}, {"ratios": {"mono": 1}, "alpha": 0.5}):
            assert "leave out alpha, or ratios" in faults(written(tmp_path, text), **changes)[0]

    @pytest.mark.parametrize("ratios", [{}, {"mono": 0.25, "mixed": 0.75}])
    def test_a_checkpoint_says_one_form(self, tmp_path: Path, ratios: dict[str, float]) -> None:
        recipe = load_recipe(written(tmp_path), {"ratios": ratios} if ratios else {})
        said = recipe.model_dump(mode="json")
        assert ("ratios" in said["batches"], "alpha" in said["batches"]) == (bool(ratios), not ratios)
        assert Recipe.model_validate(said).fingerprint() == recipe.fingerprint()

    def test_fingerprints_know_shares_and_no_order(self, tmp_path: Path) -> None:
        def fingerprint(**shares: float) -> str:
            return load_recipe(written(tmp_path), {"ratios": shares}).fingerprint()

        same = [fingerprint(mono=0.5, cross=0.5), fingerprint(cross=0.5, mono=0.5, mixed=0)]
        others = [fingerprint(mono=0.25, cross=0.75), fingerprint(mono=0.5, mixed=0.5)]
        assert len({*same, *others}) == 3


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
        ("[0,.25, -.5]", [0, 0.25, -0.5]),
        ("{ mono=.5, cross = .5 }", {"mono": 0.5, "cross": 0.5}),
        ("'half is .5'", "half is .5"),
        ("half is .5", "half is .5"),
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
