"""What reports say of captioned images, against the documents they are made of."""

import csv
import io
import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from rich.console import Console
from unit.reports.conftest import HOSTILE, UNSEEN
from unit.seeing import LANGUAGES, ToyLister, ToySeer, described, measured, write_task

from mlbench.collection.languages import IMAGE_KINDS
from mlbench.errors import UnknownName, UserError
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair
from mlbench.reports.captions import BEST, CHANCE, WORST, caption_map, hit_chance
from mlbench.reports.documents.result import across_table, pools_report, results_report
from mlbench.reports.formats import FORMATS, render
from mlbench.reports.report import HeatCell, HeatMap
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import Result
from mlbench.statistics.pool import answer_pool

GOLDEN = Path(__file__).parents[2] / "golden"
TEXTS = [name for name in FORMATS if name not in ("png", "json", "junit", "svg")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images with a caption in German and Thai, and two in English."""
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 12, {"de": 1, "en": 2, "th": 1})


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return measured(folder, out=folder / "results")


@pytest.fixture(scope="module")
def pictures(path: Path) -> Result:
    return described(path)


def screen(result: Result) -> ConsoleReport:
    return ConsoleReport(results_report([result]))


def show(report: object, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(report)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("name", TEXTS)
def test_is_as_it_was_agreed_on(pictures: Result, name: str, tmp_path: Path) -> None:
    # To agree on another: read what this leaves in `tmp_path`, and copy it.
    file = f"image_report{FORMATS[name].suffix}"
    (tmp_path / file).write_bytes(render(name, results_report([pictures])))
    assert (tmp_path / file).read_text(encoding="utf-8") == (GOLDEN / file).read_text(encoding="utf-8")


def column(shown: HeatMap, name: str) -> dict[str, HeatCell]:
    names = [f"{each.title} {each.group}".rstrip() for each in shown.columns]
    return {row.label: row.cells[names.index(name)] for row in shown.rows}


class TestTable:
    def test_has_the_numbers_of_the_settings_and_scores(self, pictures: Result) -> None:
        shown = caption_map(pictures)
        assert shown is not None
        assert pictures.image_text is not None
        for setting in pictures.settings:
            if setting.kind == "image_to_pool":
                continue
            language = ({setting.query_language, *setting.document_languages} - {"image"}).pop()
            for cutoff in (1, 5, 10):
                cells = column(shown, f"Success@{cutoff} {setting.kind.replace('_', ' ')}")
                assert cells[language].value == setting.measures[f"Success@{cutoff}"]
                values = [cells[each].value or 0.0 for each in LANGUAGES]
                assert cells["mean"].value == pytest.approx(fmean(values), abs=1e-5)
        for each in pictures.image_text.languages:
            bounds = each.intervals["clip_score"]
            assert bounds is not None
            assert column(shown, "r_mean")[each.language or ""].value == each.r_mean
            assert column(shown, "CLIPScore")[each.language or ""].interval == f"[{bounds.low:.3f}, {bounds.high:.3f}]"
        assert column(shown, "RefCLIPScore")["mean"].value == pictures.image_text.mean.ref_clip_score

    def test_tells_best_and_worst(self, pictures: Result) -> None:
        shown = caption_map(pictures)
        assert shown is not None
        first = {row.label: row.cells[0] for row in shown.rows}
        values = sorted(LANGUAGES, key=lambda language: first[language].value or 0.0)
        assert [language for language in LANGUAGES if first[language].mark == WORST] == values[:1]
        assert first[values[-1]].mark == BEST
        # Where all look alike, none is an end.
        level = [row.cells[1] for row in shown.rows if row.label != CHANCE]
        assert len({cell.value for cell in level}) == 1
        assert {(cell.mark, cell.style) for cell in level} == {("", "plain")}

    def test_hit_rates_stand_beside_those_of_a_random_order(self, pictures: Result) -> None:
        rng = np.random.default_rng(0)
        captions = {"de": 1, "en": 2, "th": 1}
        expected = {
            "text_to_image": [(1, 12)] * 3,
            "image_to_text": [(each, 12 * each) for each in captions.values()],
            "image_to_pool": [(4, 48)],
        }
        for kind in IMAGE_KINDS:
            for cutoff in (1, 5, 10):
                drawn = {
                    (relevant, size): rng.permuted(np.tile(np.arange(size), (20_000, 1)), axis=1)[:, :cutoff] < relevant
                    for relevant, size in expected[kind]
                }
                hits = np.mean([drawn[key].any(axis=1).mean() for key in expected[kind]])
                shares = np.mean([drawn[key].sum(axis=1).mean() / key[0] for key in expected[kind]])
                assert hit_chance(pictures, f"Success@{cutoff}", kind) == pytest.approx(hits, abs=0.01)
                assert hit_chance(pictures, f"R@{cutoff}", kind) == pytest.approx(shares, abs=0.01)
        assert hit_chance(pictures, "Success@100", "text_to_image") == 1
        assert hit_chance(pictures, "AP", "text_to_image") is None
        shown = caption_map(pictures)
        assert shown is not None
        assert [cell.text for cell in shown.rows[-1].cells][:3] == [".083", ".417", ".833"]
        text = render("markdown", results_report([pictures])).decode()
        assert "| chance, text to image | .083 | .417 | .833 |" in text

    def test_a_quick_look_has_the_chance_of_its_own_queries(self, tmp_path: Path) -> None:
        folder = write_task(tmp_path / "pictures", 40, {"de": 1, "en": 2})
        result = evaluate(ToySeer(), folder, options=Options(cache=tmp_path / "cache", limit=2, resamples=2)).result
        (size,) = {each.n_documents for each in result.settings if each.kind == "text_to_image"}
        assert hit_chance(result, "Success@1", "text_to_image") == pytest.approx(1 / size)
        # Not all captions of an image ask there, so that its number of captions is not known.
        assert hit_chance(result, "Success@1", "image_to_text") is None

    def test_shows_another_measure(self, pictures: Result) -> None:
        shown = caption_map(pictures, "AP")
        assert shown is not None
        assert [each.title for each in shown.columns] == ["mAP", "mAP", "r_mean", "CLIPScore", "RefCLIPScore"]
        with pytest.raises(UnknownName, match="unknown measure of this result 'P@7'"):
            caption_map(pictures, "P@7")

    def test_has_no_cosines_of_a_ranker(self, folder: Path) -> None:
        shown = caption_map(described(measured(folder, ToyLister(), out=folder / "lists")))
        assert shown is not None
        assert [each.title for each in shown.columns][6:] == ["r_mean"]

    def test_is_none_for_texts(self, small: Result) -> None:
        assert caption_map(small) is None


class TestConsole:
    @pytest.mark.parametrize("width", [30, 40, 60, 80, 140])
    def test_keeps_within_the_width(self, pictures: Result, width: int) -> None:
        assert max(map(len, show(screen(pictures), width))) <= width

    @pytest.mark.parametrize("width", [30, 60, 80])
    def test_every_column_stands_in_some_block(self, pictures: Result, width: int) -> None:
        lines = show(screen(pictures), width)
        start = next(place for place, line in enumerate(lines) if line.startswith("hit rates by language"))
        words = " ".join(lines[start:]).split()
        for title, times in (("@1", 2), ("@5", 2), ("@10", 2), ("r_mean", 1), ("CLIPScore", 1), ("RefCLIPScore", 1)):
            assert words.count(title) == times

    def test_marks_the_ends_without_colour(self, pictures: Result) -> None:
        text = "\n".join(show(screen(pictures), 100))
        (thai,) = [line for line in text.splitlines() if line.startswith("th   ")]
        assert thai.split()[1].endswith(WORST)
        assert f"{BEST} or bold: the best language of a column, {WORST} or italics: the worst" in text

    def test_has_the_colours_of_a_scale(self, pictures: Result) -> None:
        file = io.StringIO()
        Console(file=file, width=100, force_terminal=True, color_system="truecolor").print(screen(pictures))
        assert "\x1b[38;2;" in file.getvalue()

    def test_has_the_bias_line_of_images(self, pictures: Result) -> None:
        line = " ".join(show(screen(pictures), 300))
        begin = line.index("bias mAP")
        parts = [part.split()[0] for part in line[begin + 5 :].split(" | ")[:4]]
        assert parts == ["mAP", "rank_distance", "language_prior", "rank_spread"]
        assert "own_language_preference" not in line


class TestOthers:
    def test_csv_has_every_score_once(self, pictures: Result) -> None:
        rows = list(csv.DictReader(io.StringIO(render("csv", results_report([pictures])).decode())))
        found = {(row["query_language"], row["measure"]): row["value"] for row in rows if row["kind"] == "image_text"}
        assert len(found) == sum(row["kind"] == "image_text" for row in rows) == 4 * 3
        assert pictures.image_text is not None
        assert float(found["", "r_mean"]) == pictures.image_text.mean.r_mean
        only = list(csv.DictReader(io.StringIO(render("csv", results_report([pictures], measure="AP")).decode())))
        assert {row["kind"] for row in only} == {"text_to_image", "image_to_text", "image_to_pool"}

    @pytest.mark.slow
    def test_png_is_a_picture_of_both_directions(self, pictures: Result) -> None:
        # Width and height stand at the beginning of a PNG.
        wide, narrow = (render("png", results_report([pictures], measure=measure))[16:20] for measure in (None, "AP"))
        assert wide > narrow

    def test_no_clip_score_is_the_best(self, pictures: Result) -> None:
        assert pictures.image_text is not None
        better = pictures.image_text.mean.model_copy(update={"clip_score": 2.5, "r_mean": 1.0})
        other = pictures.model_copy(update={"image_text": pictures.image_text.model_copy(update={"mean": better})})
        table = across_table([pictures, other])
        groups = [column.group for column in table.columns]
        styles = {name: [row.cells[groups.index(name)].style for row in table.rows] for name in groups}
        assert styles["r_mean"] == ["plain", "strong"]
        assert styles["CLIPScore"] == ["plain", "plain"]

    @pytest.mark.parametrize("name", TEXTS)
    def test_names_stay_text(self, pictures: Result, name: str) -> None:
        document = pictures.model_dump(mode="json")
        document["retriever"]["spec"] = document["task"]["name"] = HOSTILE + UNSEEN
        document = json.loads(json.dumps(document).replace('"th"', json.dumps("<b>x\x1b")))
        text = render(name, results_report([Result.model_validate(document)])).decode()
        assert "\x1b" not in text
        assert "<script>" not in text or name != "html"
        assert "<b>x" not in text or name != "html"

    def test_left_out_images_are_told(self, pictures: Result) -> None:
        task = pictures.task.model_copy(update={"partial": True, "unreadable_images": 3})
        partial = pictures.model_copy(update={"task": task})
        for name in ("console", "markdown", "html", "latex"):
            assert "without 3 unreadable images" in " ".join(render(name, results_report([partial])).decode().split())


class TestPool:
    def test_is_asked_by_images(self, path: Path) -> None:
        answer = answer_pool(*read_pair(path), ["en", "de"])
        assert [(each.query_language, each.document_languages) for each in answer.settings] == [("image", ("de", "en"))]
        assert answer.n_documents == 36
        report = pools_report([described(path)], [answer])
        text = render("console", report).decode()
        assert [line.split()[:2] for line in text.splitlines() if line.startswith("image")] == [["image", "12"]]
        assert "| asked by |" in render("markdown", report).decode()

    def test_of_one_language_is_the_setting(self, path: Path) -> None:
        result, ranks = read_pair(path)
        answer = answer_pool(result, ranks, ["th"])
        (setting,) = [each for each in result.settings if each.document_languages == ("th",)]
        assert answer.settings == (setting,)

    def test_of_images_is_asked_by_captions(self, path: Path) -> None:
        result, ranks = read_pair(path)
        answer = answer_pool(result, ranks, ["image"])
        assert answer.settings == tuple(each for each in result.settings if each.kind == "text_to_image")

    def test_cannot_mix_captions_and_images(self, path: Path) -> None:
        with pytest.raises(UserError, match="captions and images are no pool"):
            answer_pool(*read_pair(path), ["de", "image"])

    def test_a_ranker_answers_what_it_was_asked(self, folder: Path) -> None:
        pair = read_pair(measured(folder, ToyLister(), out=folder / "lists"))
        assert answer_pool(*pair, ["th"]).n_documents == 12
        with pytest.raises(UserError, match="was not asked for"):
            answer_pool(*pair, ["de", "th"])
