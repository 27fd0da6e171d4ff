"""`mlbench train` and `mlbench sweep` on captioned images: from drawings to a result that says how it was trained."""

import json

import pytest
from command_line import CommandLine

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
pytest.importorskip("PIL")

SMALL = ["--set", "steps=3", "--set", "batches.size=8", "--set", "vision_layers=1", "--set", "patch=16"]


@pytest.fixture
def drawn(mlbench: CommandLine) -> CommandLine:
    done = mlbench("tasks", "make", "mini-images", "data/mini-images", "--drawings", "1")
    assert done.code == 0, done.err
    return mlbench


def test_a_model_is_trained_and_measured(drawn: CommandLine) -> None:
    done = drawn("train", "mini-images-hybrid", "--data-dir", "data", "--check", environment={"COLUMNS": "100"})
    assert done.code == 0, done.err
    assert "0 image_mono, 0.75 image_mixed, 0.25 captions" in done.out
    assert "mini-images: 192 of 192 rows" in done.out
    assert "none of 2,304 training texts contains text of mini-images" in done.out

    done = drawn("train", "mini-images-hybrid", "--data-dir", "data", *SMALL)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "mini-images-hybrid: trained"
    assert "Measure it: mlbench run --model checkpoints/mini-images-hybrid --task mini-images" in done.out

    result = drawn.result("--model", "checkpoints/mini-images-hybrid", "--task", "mini-images", "--resamples", "2")
    assert result["retriever"]["training"]["recipe"]["name"] == "mini-images-hybrid"
    assert result["retriever"]["training"]["steps"] == 3
    assert {setting["kind"] for setting in result["settings"]} == {"text_to_image", "image_to_text", "image_to_pool"}
    assert result["image_text"]["mean"]["clip_score"] is not None
    # After three steps it knows next to nothing.
    (found,) = [
        a
        for a in result["aggregates"]
        if (a["kind"], a["aggregation"], a["query_language"]) == ("text_to_image", "macro", None)
    ]
    assert found["measures"]["Success@1"] < 0.2


def test_evaluation_images_among_those_of_training_are_found(drawn: CommandLine) -> None:
    recipe = drawn.folder / "cheat.toml"
    recipe.write_text(
        'extends = "mini-images-hybrid"\nname = "cheat"\n'
        '[[datasets]]\nname = "test"\ncaptions = "data/mini-images/test"\nlicence = "CC0 1.0"\n'
    )
    done = drawn("train", "cheat.toml", "--check")
    assert done.code == 2
    line = done.err.strip().splitlines()[-1]
    assert "cheat.toml: 1 fault: contamination: training text contains text of mini-images: rows of test 64" in line
    assert "test, image, text: mini-images question in 64, mini-images sentence in 64 of 64 texts" in line


def test_arms_differ_in_their_batches(drawn: CommandLine) -> None:
    done = drawn(
        "sweep", "mini-images-hybrid", "--over", "captions=0,0.5", "--data-dir", "data", *SMALL, "--out", "swept"
    )
    assert done.code == 0, done.err
    assert "Success@1 to image, by language" in done.out
    sweep = json.loads((drawn.folder / "swept" / "sweep.json").read_text())
    assert [arm["values"] for arm in sweep["arms"]] == [{"captions": 0}, {"captions": 0.5}]
    (task,) = sweep["tasks"]
    figures = {(figure["name"], figure["language"]) for figure in task["rows"][0]["figures"]}
    assert {("Success@1", "th"), ("Success@1", None), ("r_mean", None), ("clip_score", None)} <= figures


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            ["--set", "alpha=1"],
            "batches.alpha is for texts: [image_text] has batches.captions and batches.mixed instead",
        ),
        (["--set", "captions=2"], "batches.captions: "),
        (["--set", "static.dim=8"], "is for images: give [image_text] or leave it out"),
        (["--data-dir", "."], "datasets[0]: mini-images/train is no folder with images/ and captions.LANGUAGE.jsonl"),
    ],
)
def test_faults_are_one_line(mlbench: CommandLine, arguments: list[str], fault: str) -> None:
    done = mlbench("train", "mini-images-hybrid", *arguments)
    assert done.code == 2
    assert fault in done.err
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1
