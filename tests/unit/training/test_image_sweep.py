"""A sweep over batches of images and captions: what its document, tables and page say of languages and captions."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from unit.reports.documents.reading import charts, shown
from unit.training.image_cases import write_images

from mlbench.compare.sweep import Sweep, from_json
from mlbench.io.document import to_json
from mlbench.protocols import Runtime
from mlbench.reports.documents.sweep import sweep_report
from mlbench.reports.formats import render
from mlbench.results import read_result
from mlbench.statistics.captions import CAPTION_SCORES
from mlbench.statistics.direction import direction_of
from mlbench.training.sweep import run_sweep
from mlbench.training.sweep_plan import SweepFolder, parse_axis, plan_sweep

pytest.importorskip("accelerate")

RECIPE = """
name = "drawn"
steps = 3
languages = ["de", "en", "th"]
image_share = { th = 0.3 }

[image_text]
dim = 8
image_size = 16
patch = 8
vision_layers = 1
vision_width = 32
text_layers = 1
text_width = 32
pieces = 64
max_length = 16

[batches]
size = 6

[optimizer]
learning_rate = 0.01

[[datasets]]
name = "drawn"
captions = "drawn"
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Sweep]]:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "drawn.toml").write_text(RECIPE, encoding="utf-8")
    write_images(folder / "drawn")
    task = write_images(folder / "asked", drawings=1)
    plan = plan_sweep(str(folder / "drawn.toml"), [parse_axis("captions=0,0.5")], settings={"dim": 4}, seeds=2, base={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        place = SweepFolder(tasks=(str(task),), out=folder / "out", runtime=Runtime(device="cpu", threads=1))
        yield folder, run_sweep(plan, place)


@pytest.mark.slow
def test_figures_are_those_of_the_results(swept: tuple[Path, Sweep]) -> None:
    folder, sweep = swept
    (task,) = sweep.tasks
    names = set()
    for row in task.rows:
        points = [point for point in sweep.points if point.arm == row.arm]
        results = [read_result(folder / "out" / point.results["asked"]) for point in points]
        for figure in row.figures:
            names.add((figure.name, figure.kind, figure.language))
            if figure.language is not None:
                asked = (
                    (figure.language, ("image",)) if figure.kind == "text_to_image" else ("image", (figure.language,))
                )
                expected = [
                    next(s for s in r.settings if (s.query_language, s.document_languages) == asked).measures[
                        figure.name
                    ]
                    for r in results
                ]
            elif figure.kind is not None:
                expected = [r.aggregate(figure.kind).measures[figure.name] for r in results]  # type: ignore[union-attr]
            elif figure.name in CAPTION_SCORES:
                expected = [getattr(r.image_text.mean, figure.name) for r in results]  # type: ignore[union-attr]
            else:
                expected = [r.bias.score(figure.name).value for r in results]  # type: ignore[union-attr]
            assert figure.values == pytest.approx(expected, abs=1e-9)
            assert figure.mean == pytest.approx(np.mean(expected), abs=1e-9)
            assert figure.interval is None or figure.interval.low <= figure.mean <= figure.interval.high
    measure = task.primary_measure
    assert {
        (measure, kind, tag) for kind in ("text_to_image", "image_to_text") for tag in ("de", "en", "th", None)
    } < names
    assert {("r_mean", None, None), ("clip_score", None, None), ("rank_distance", None, None)} < names


def test_pairs_have_a_line_for_each_language(swept: tuple[Path, Sweep]) -> None:
    (task,) = swept[1].tasks
    (pair,) = task.pairs
    for row, other in zip(task.row(pair.base).figures, task.row(pair.candidate).figures, strict=True):
        line = pair.line(row.name, row.kind, row.language)
        assert line is not None
        assert line.difference == pytest.approx(other.mean - row.mean, abs=1e-9)  # type: ignore[operator]
        if row.language is not None:
            assert line.adjusted is not None
            assert line.family == "query_languages"
    assert all(direction_of(claim.name) for claim in task.claims)
    assert len(task.claims) == len({(claim.name, claim.kind) for claim in task.claims})


def test_reports_say_it(swept: tuple[Path, Sweep]) -> None:
    sweep = swept[1]
    assert from_json(to_json(sweep).encode()) == sweep
    report = sweep_report(sweep)
    markdown, page = (render(name, report).decode() for name in ("markdown", "html"))
    for text in (markdown, page, shown(report, 200)):
        assert "Success@1 to image, by language" in text.replace("\n", " ")
        assert "CLIPScore" in text
    assert "| th |" in markdown
    titles = [chart.title for chart in charts(report)]
    assert "R_mean by captions" in titles or "r_mean by captions" in titles


def test_a_chart_has_english_against_the_other_languages(swept: tuple[Path, Sweep]) -> None:
    sweep = swept[1]
    (task,) = sweep.tasks
    title = "Success@1 to image, other languages against English, by captions"
    (chart,) = [each for each in charts(sweep_report(sweep)) if each.title == title]
    (series,) = chart.series
    for mark, row, arm in zip(series.means, task.rows, sweep.arms, strict=True):
        asked = {tag: row.figure(task.primary_measure, "text_to_image", tag) for tag in ("de", "en", "th")}
        means = {tag: figure.mean for tag, figure in asked.items() if figure is not None}
        assert mark.x == means["en"]
        assert mark.y == pytest.approx((means["de"] + means["th"]) / 2)  # type: ignore[operator]
        assert mark.label == f"{arm.values['captions']:g}"
    assert len(series.seeds) == 4


def test_a_judge_measures_done_points_again_and_its_scores_are_figures(swept: tuple[Path, Sweep]) -> None:
    folder, sweep = swept
    plan = plan_sweep(str(folder / "drawn.toml"), [parse_axis("captions=0,0.5")], settings={"dim": 4}, seeds=2, base={})
    judge = str(folder / "out" / sweep.points[0].checkpoint)
    place = SweepFolder(
        tasks=(str(folder / "asked"),),
        out=folder / "out",
        runtime=Runtime(device="cpu", threads=1),
        clipscore_model=judge,
    )
    before = {point.checkpoint: (folder / "out" / point.checkpoint).stat().st_mtime_ns for point in sweep.points}
    judged = run_sweep(plan, place)
    assert {each: (folder / "out" / each).stat().st_mtime_ns for each in before} == before
    (task,) = judged.tasks
    for row in task.rows:
        results = [
            read_result(folder / "out" / point.results["asked"]).image_text
            for point in judged.points
            if point.arm == row.arm
        ]
        for name in ("judged_text_to_image", "judged_image_to_text", "judged_own"):
            figure = row.figure(name)
            assert figure is not None
            assert figure.values == pytest.approx([getattr(each.mean, name) for each in results if each])
    # What the judge says of the captions and their own images is the same whatever was trained.
    assert len({row.figure("judged_own").mean for row in task.rows}) == 1  # type: ignore[union-attr]


def test_the_share_of_images_of_a_language_can_be_swept(swept: tuple[Path, Sweep]) -> None:
    spec, over = str(swept[0] / "drawn.toml"), [parse_axis("image_share.default=0.5,1")]
    plan = plan_sweep(spec, over, settings={"image_share.en": 1.0}, seeds=1, base={})
    assert [arm.name for arm in plan.arms] == ["image share.default 0.5", "image share.default 1"]
    assert [point.recipe.image_share for point in plan.points] == [
        {"th": 0.3, "en": 1.0, "default": share} for share in (0.5, 1.0)
    ]


def test_arms_are_of_one_tokenizer_and_rare_languages_confound_rows(swept: tuple[Path, Sweep]) -> None:
    folder, sweep = swept
    tokenizers = {(folder / "out" / point.checkpoint / "tokenizer.json").read_bytes() for point in sweep.points}
    assert len(tokenizers) == 1
    base, other = sweep.arms
    assert base.confounded == ()
    assert other.confounded == ("rows",)
    config = json.loads((folder / "out" / sweep.points[0].checkpoint / "config.json").read_text())
    assert config["projection_dim"] == 4
