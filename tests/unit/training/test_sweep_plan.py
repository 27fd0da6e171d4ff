from math import fsum
from pathlib import Path

import pytest
from pydantic import JsonValue
from toy import write_toy

from mlbench.compare.sweep import written
from mlbench.errors import InvalidRecipe, UnknownName, UserError
from mlbench.training.manifest import is_prefix_of_longer
from mlbench.training.recipe import Recipe, load_recipe
from mlbench.training.sweep_plan import Plan, parse_axis, plan_sweep, triangle


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return str(write_toy(tmp_path) / "toy.toml")


def plan(recipe: str, *over: str, seeds: int = 1, settings: dict[str, object] | None = None, **base: object) -> Plan:
    return plan_sweep(recipe, [parse_axis(text) for text in over], settings=settings or {}, seeds=seeds, base=base)


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("alpha=0,0.5,1", "alpha", (0, 0.5, 1)),
        ("alpha=0,.25", "alpha", (0, 0.25)),
        ("alpha = 1 , 0", "alpha", (1, 0)),
        ("monolingual=mono,mixed", "monolingual", ("mono", "mixed")),
        ("loss.symmetric=true,false", "loss.symmetric", (True, False)),
        ('languages=["de","en"],["de","fr"]', "languages", (["de", "en"], ["de", "fr"])),
        ("ratios=triangle:4", "ratios", ("triangle:4",)),
        ("ratios={mono=1},{mono=.5, cross=.5}", "ratios", ({"mono": 1}, {"mono": 0.5, "cross": 0.5})),
    ],
)
def test_values_are_read_as_toml_or_as_they_are(text: str, key: str, values: tuple[object, ...]) -> None:
    assert parse_axis(text) == (key, values)


@pytest.mark.parametrize("text", ["alpha", "=1,2", "alpha=", "alpha=1,,2", "alpha=1,"])
def test_what_is_no_axis_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write KEY=VALUE,VALUE"):
        parse_axis(text)


def test_every_combination_is_an_arm_and_every_seed_a_point(recipe: str) -> None:
    found = plan(recipe, "alpha=1,0", "views.overlap=0.5,1", seeds=3, settings={"steps": 7})
    assert [arm.name for arm in found.arms] == [
        "alpha 1, overlap 0.5",
        "alpha 1, overlap 1",
        "alpha 0, overlap 0.5",
        "alpha 0, overlap 1",
    ]
    assert found.base == found.arms[0].name
    assert [axis.key for axis in found.axes] == ["batches.alpha", "views.overlap"]
    assert len(found.points) == 12
    assert len({point.folder for point in found.points}) == 12
    # All arms of the first seed come first.
    assert [point.recipe.seed for point in found.points] == [0] * 4 + [1] * 4 + [2] * 4
    for point in found.points:
        arm = next(arm for arm in found.arms if arm.name == point.arm)
        assert point.recipe.batches.alpha == arm.values["alpha"]
        assert point.recipe.views.overlap == arm.values["overlap"]
        assert point.recipe.steps == 7
        assert point.recipe.root == Path(recipe).parent
        assert point.name == f"{arm.name}, seed {point.recipe.seed}"


def test_folders_tell_recipes_apart_that_differ_in_what_is_set(recipe: str) -> None:
    one, other = (plan(recipe, "alpha=1,0", settings={"steps": steps}) for steps in (7, 8))
    assert not {point.folder for point in one.points} & {point.folder for point in other.points}


def test_keys_that_end_alike_keep_their_tables(recipe: str) -> None:
    found = plan(recipe, "batches.language_tau=0,1", "batches.dataset_tau=0,1")
    assert [axis.name for axis in found.axes] == ["language_tau", "dataset_tau"]
    assert found.arms[0].name == "language tau 0, dataset tau 0"


def test_long_names_make_short_folders(recipe: str) -> None:
    tags = '["de","en"],["de","fr"],["en","fr"]'
    found = plan(recipe, f"languages={tags}", "views.overlap=0.123456789,0.2", "temperature=0.0123456789,0.02")
    assert len({point.folder for point in found.points}) == 12
    assert max(len(point.folder) for point in found.points) < 120


@pytest.mark.parametrize(
    ("base", "arm"),
    [
        ({}, "alpha 1, overlap 0.5"),
        ({"alpha": 0.0}, "alpha 0, overlap 0.5"),
        ({"views.overlap": 1, "batches.alpha": 0}, "alpha 0, overlap 1"),
    ],
)
def test_the_base_arm_is_the_first_or_the_one_asked_for(recipe: str, base: dict[str, object], arm: str) -> None:
    assert plan(recipe, "alpha=1,0", "views.overlap=0.5,1", **base).base == arm


@pytest.mark.parametrize(
    ("over", "options", "fault"),
    [
        ([], {}, "needs --over"),
        (["alpha=1,0", "batches.alpha=0.5"], {}, "batches.alpha is there twice"),
        (["alpha=1,1.0"], {}, "same recipe: give each value once"),
        (["alpha=0,0"], {}, "same recipe: give each value once"),
        (["seed=0,1"], {}, "use --seeds N"),
        (["name=a,b"], {}, "--over name"),
        (["alpha=0,1"], {"settings": {"alpha": 0.5}}, "swept and set: leave out --set batches.alpha"),
        (["alpha=0,1"], {"settings": {"alpha": None}}, "swept and set: leave out --unset batches.alpha"),
        (["alpha=0,1"], {"settings": {"seed": 3}}, "--set seed: use --seeds N"),
        (["alpha=0,1"], {"alpha": 0.5}, "--base alpha=0.5 is no arm: known are 0, 1"),
        (["alpha=0,1"], {"steps": 5}, "--base steps: only what is swept"),
        (["steps=1,2,3", "alpha=0,1"], {"seeds": 5000}, "30,000 points are too many"),
    ],
)
def test_what_makes_no_grid_is_refused(recipe: str, over: list[str], options: dict[str, object], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        plan(recipe, *over, **options)  # type: ignore[arg-type]


class TestRatios:
    @pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
    def test_a_triangle_has_all_its_points_and_each_once(self, steps: int) -> None:
        points = list(triangle(steps))
        assert len(set(points)) == len(points) == (steps + 1) * (steps + 2) // 2
        assert points[0] == (1, 0, 0)
        for point in points:
            assert fsum(point) == pytest.approx(1, abs=1e-12)
            assert [share * steps for share in point] == pytest.approx([round(share * steps) for share in point])

    def test_arms_are_named_for_their_shares(self, recipe: str) -> None:
        found = plan(recipe, "ratios=triangle:2", "views.overlap=0.5,1")
        assert [arm.name for arm in found.arms[::2]] == [
            "mono 1, overlap 0.5",
            "mono 0.5 cross 0.5, overlap 0.5",
            "mono 0.5 mixed 0.5, overlap 0.5",
            "cross 1, overlap 0.5",
            "cross 0.5 mixed 0.5, overlap 0.5",
            "mixed 1, overlap 0.5",
        ]
        assert found.arms[2].values["ratios"] == {"mono": 0.5, "cross": 0.5, "mixed": 0.0}
        assert found.base == found.arms[0].name
        folders = [point.folder.partition(".seed")[0] for point in found.points]
        assert folders[2] == "mono-0.5-cross-0.5.overlap-0.5"
        assert len(set(folders)) == 12
        for point in found.points:
            arm = next(arm for arm in found.arms if arm.name == point.arm)
            assert point.recipe.batches.ratios == {k: v for k, v in arm.values["ratios"].items() if v}  # type: ignore[union-attr]

    def test_kinds_are_those_of_the_model(self) -> None:
        found = plan("mini-images-hybrid", "ratios=triangle:1")
        assert [arm.name for arm in found.arms] == ["image 1", "captions 1", "mixed 1"]

    def test_values_may_be_written_out(self, recipe: str) -> None:
        found = plan(recipe, "ratios={mono=1},{cross=.75,mono=.25}", ratios={"cross": 0.75, "mono": 0.25})
        assert [arm.name for arm in found.arms] == ["mono 1", "mono 0.25 cross 0.75"]
        assert found.base == "mono 0.25 cross 0.75"

    @pytest.mark.parametrize(
        "base", [{"mono": 0.333, "cross": 0.333, "mixed": 0.333}, "mono 0.333 cross 0.333 mixed 0.333"]
    )
    def test_a_base_may_be_written_as_it_is_shown(self, recipe: str, base: object) -> None:
        assert plan(recipe, "ratios=triangle:3", ratios=base).base == "mono 0.333 cross 0.333 mixed 0.333"

    @pytest.mark.parametrize(
        ("over", "options", "fault"),
        [
            (["ratios={mono=1},{mono=1.0,cross=0}"], {}, "mono 1 and mono 1 are the same recipe"),
            (["ratios={mono=1},{cross=.5}"], {}, "batches.ratios: the shares sum to 0.5, and must sum to 1"),
            (["ratios=triangle:0"], {}, "ratios=triangle:0: write triangle:N, N from 1 to 99, or shares"),
            (["ratios=triangle"], {}, "ratios=triangle: write triangle:N"),
            (["ratios=1,2"], {}, "batches.ratios: must be a table, not 1; batches.ratios: must be a table, not 2"),
            (["ratios={image=1},{mono=1}"], {}, "batches.ratios.image is no kind of batches of texts"),
            (["ratios=triangle:2", "alpha=0,1"], {}, "leave out alpha, or ratios"),
            (["ratios=triangle:2"], {"settings": {"monolingual": "mixed"}}, "leave out monolingual, or ratios"),
            (
                ["ratios=triangle:1"],
                {"ratios": {"mono": 0.5, "cross": 0.5}},
                "is no arm: known are mono 1, cross 1, mix",
            ),
            (["ratios=triangle:99"], {"seeds": 2}, "10,100 points are too many"),
        ],
    )
    def test_what_makes_no_triangle_is_refused(
        self, recipe: str, over: list[str], options: dict[str, object], fault: str
    ) -> None:
        with pytest.raises(UserError, match=fault):
            plan(recipe, *over, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        ("mono", "mono"),
        (["ar", "en"], '["ar", "en"]'),
        ({"mixed": 0.25, "mono": 0.75, "cross": 0.0}, "mono 0.75 mixed 0.25"),
        ({"mixed": 1 / 3, "captions": 1 / 3, "image": 1 / 3}, "image 0.333 captions 0.333 mixed 0.333"),
        # Shares that are no shares of batches keep those that are 0.
        ({"th": 0, "hi": 1}, '{"th": 0, "hi": 1}'),
    ],
)
def test_values_are_written_as_people_write_them(value: JsonValue, text: str) -> None:
    assert written(value) == text


def test_checkpoints_are_swept_without_the_revision_of_one() -> None:
    found = plan("mt5-hybrid", "checkpoint=./a,google/mt5-base", settings={"pooling": None, "validation": None})
    models = [point.recipe.transformer for point in found.points]
    assert [(model.checkpoint, model.revision, model.pooling) for model in models if model] == [
        ("./a", None, None),
        ("google/mt5-base", "refs/pr/5", None),
    ]
    assert [point.recipe.validation for point in found.points] == [None, None]
    assert found.settings == {"transformer.pooling": None, "validation": None}


def test_unknown_keys_are_told_with_the_nearest(recipe: str) -> None:
    with pytest.raises(UnknownName, match="did you mean alpha"):
        plan(recipe, "alhpa=0,1")


def test_the_faults_of_all_arms_are_told_at_once(recipe: str) -> None:
    with pytest.raises(InvalidRecipe) as found:
        plan(recipe, "alpha=1,1.5,-2", settings={"steps": 0})
    faults = "; ".join(found.value.faults)
    assert "1.5" in faults
    assert "-2" in faults
    assert faults.count("steps") == 1


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, True),
        ({"optimizer": {"learning_rate": 0.01, "schedule": "linear"}}, False),
        ({"optimizer": {"learning_rate": 0.01, "warmup": 0.1}}, False),
        ({"validation": {"share": 0.1, "every": 7}}, True),
        # The last of 20 steps would be judged in the short training alone.
        ({"validation": {"share": 0.1, "every": 7, "patience": 2}}, False),
        ({"validation": {"share": 0.1, "every": 10, "patience": 2}}, True),
    ],
)
def test_a_training_begins_a_longer_one_where_nothing_depends_on_its_end(
    table: dict[str, object], expected: bool, recipe: str
) -> None:
    made = load_recipe(recipe).model_dump(mode="json") | {"steps": 20} | table
    assert is_prefix_of_longer(Recipe.model_validate(made)) is expected
