"""`mlbench tune`: the weights that do best on a task, written into a file that other topics are measured with."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

FUSION = """\
kind = "fusion"
method = "combsum"
normalisation = "z_score"
[[systems]]
model = "hashing"
set = {dim = 4096}
[[systems]]
model = "static"
"""
TUNE = ("tune", "fusion.toml", "--task", "mini", "--languages", "de,en", "--steps", "4")


def write_task(folder: Path) -> None:
    folder.mkdir()
    for language in ("de", "en"):
        rows = [{"id": str(number), "text": f"{language} text {number}"} for number in range(4)]
        for name in ("queries", "documents"):
            lines = "".join(json.dumps(row | {"text": f"{row['text']} {name}"}) + "\n" for row in rows)
            (folder / f"{name}.{language}.jsonl").write_text(lines)
    (folder / "qrels.tsv").write_text("".join(f"{number}\t{number}\t1\n" for number in range(4)))


@pytest.mark.slow
def test_weights_are_found_written_and_measured_on_other_topics_alone(mlbench: CommandLine) -> None:
    (mlbench.folder / "fusion.toml").write_text(FUSION)
    done = mlbench(*TUNE)
    assert done.code == 0, done.err
    # What each choice gives is what a run with these weights gives, and the best is written.
    values = {}
    for weights in ((0.25, 0.75), (0.5, 0.5), (0.75, 0.25)):
        parts = "".join(
            f"[[systems]]\n{name}\nweight = {weight}\n"
            for name, weight in zip(('model = "hashing"\nset = {dim = 4096}', 'model = "static"'), weights, strict=True)
        )
        (mlbench.folder / "set.toml").write_text(FUSION.partition("[[")[0] + parts)
        result = mlbench.result("--model", "set.toml", "--languages", "de,en", "--resamples", "2", "--out", "set")
        [values[weights]] = [
            each["measures"]["AP"]
            for each in result["aggregates"]
            if (each["kind"], each["aggregation"], each["query_language"]) == ("monolingual", "macro", None)
        ]
        assert f"{weights[0]:g}, {weights[1]:g}: monolingual AP {values[weights]:.4f}" in done.err
    best = max(values, key=lambda weights: (values[weights], -abs(weights[0] - 0.5)))
    assert done.out == f"{best[0]:g}, {best[1]:g}: monolingual AP {values[best]:.4f} on mini\n"

    # The same queries in one language are refused, other queries are measured.
    refused = mlbench("run", "-q", "--model", "fusion-tuned.toml", "--languages", "en", "--resamples", "2")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "the weights were tuned on queries of this task" in refused.err
    write_task(mlbench.folder / "own")
    done = mlbench("run", "--model", "fusion-tuned.toml", "--task", "own", "--resamples", "2", "--json", "-q")
    assert done.code == 0, done.err
    parameters = json.loads(done.out)["retriever"]["parameters"]
    assert [parameters[f"systems[{number}].weight"] for number in range(2)] == list(best)
    assert (parameters["tuned.task"], parameters["normalisation"]) == ("mini", "z_score")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--kind", "text_to_image"), "mini has no text_to_image settings: known are monolingual, cross_lingual"),
        (("--write", "elsewhere/f.toml"), "paths in it are read from its folder: write it beside fusion.toml"),
        (("--task", "mni"), "did you mean mini"),
    ],
)
def test_what_cannot_be_is_one_line(mlbench: CommandLine, arguments: tuple[str, ...], fault: str) -> None:
    (mlbench.folder / "fusion.toml").write_text(FUSION)
    done = mlbench(*TUNE, *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert fault in done.err
    assert not (mlbench.folder / "fusion-tuned.toml").exists()


def test_other_systems_have_no_weights(mlbench: CommandLine) -> None:
    (mlbench.folder / "fusion.toml").write_text('kind = "index"\nencoder = "hashing"\nindex = "flat"\n')
    done = mlbench(*TUNE)
    assert (done.code, done.err) == (
        2,
        "mlbench: error: fusion.toml is no fusion of 2 to 4 systems, or --steps is below their number\n",
    )


def test_a_folder_is_no_system_and_is_not_written_over(mlbench: CommandLine) -> None:
    (mlbench.folder / "fusion.toml").write_text(FUSION)
    (mlbench.folder / "taken").mkdir()
    done = mlbench(*TUNE[:-1], "2", "-q", "--write", "taken")
    told = "mlbench: error: cannot write taken: Is a directory; name another file with --write\n"
    assert (done.code, done.err) == (2, told)
    done = mlbench("tune", ".", "--task", "mini")
    assert (done.code, done.err) == (2, "mlbench: error: . cannot be read: Is a directory\n")
