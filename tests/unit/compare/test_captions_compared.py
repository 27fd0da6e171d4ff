"""Two systems on captioned images: what is compared, gated and shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from unit.compare.cases import gate
from unit.seeing import LANGUAGES, ToyLister, ToySeer, measured, write_task

from mlbench.cli import call
from mlbench.compare.compare import CompareOptions, compare_systems
from mlbench.compare.document import Comparison, TaskComparison
from mlbench.compare.gate import DEFAULT, Gate
from mlbench.compare.pairing import read_side
from mlbench.errors import UserError
from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.formats import render
from mlbench.statistics.differences import Subject, row_subject

FAST = CompareOptions(flips=200, resamples=40)
BETTER = {"de": 0.05, "en": 0.05, "th": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 30)


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    return measured(folder, out=folder / "base")


@pytest.fixture(scope="module")
def better(folder: Path) -> Path:
    return measured(folder, ToySeer(1, BETTER), out=folder / "better")


def compared(base: Path, candidate: Path, rules: Gate = DEFAULT, *, shared_languages: bool = False) -> Comparison:
    options = CompareOptions(flips=200, resamples=40, shared_languages=shared_languages)
    return compare_systems(read_side("base", [base]), read_side("candidate", [candidate]), rules, options)


def only(comparison: Comparison) -> TaskComparison:
    (task,) = comparison.tasks
    return task


def test_a_row_is_about_the_language_of_the_captions() -> None:
    to_text = row_subject("AP", "image_to_text", "de")
    assert to_text.query_language == "image"
    assert to_text.language == row_subject("AP", "text_to_image", "de").language == "de"
    assert Subject(family="aggregates", name="AP", kind="image_to_pool").language is None
    pool = Subject(
        family="settings", name="AP", kind="image_to_pool", query_language="image", document_languages=("de", "en")
    )
    assert pool.language is None


def test_every_caption_language_has_a_row_in_both_directions(base: Path, better: Path) -> None:
    task = only(compared(base, better))
    rows = [line for line in task.tests.lines if line.family == "query_languages" and line.name == "Success@1"]
    assert {(line.kind, line.language) for line in rows} == {
        (kind, language) for kind in ("text_to_image", "image_to_text") for language in LANGUAGES
    }
    settings = [line for line in task.tests.lines if line.family == "settings" and line.name == "Success@1"]
    assert len(settings) == 7
    for row in rows:
        (same,) = [line for line in settings if (line.kind, line.language) == (row.kind, row.language)]
        assert (row.base, row.candidate, row.interval) == (same.base, same.candidate, same.interval)


def test_scores_of_captions_are_those_of_the_documents(base: Path, better: Path) -> None:
    task = only(compared(base, better))
    sides = [read_side("", [path]).by_task["pictures"][0].result.image_text for path in (base, better)]
    for name in ("r_mean", "clip_score", "ref_clip_score"):
        line = task.tests.line(name)
        assert line is not None
        assert [line.base, line.candidate] == pytest.approx([getattr(each.mean, name) for each in sides if each])
        assert line.raw is None
        assert line.interval is not None
        assert line.interval.low <= (line.difference or 0) <= line.interval.high
    assert task.tests.line("own_language_preference") is None
    assert task.tests.line("rank_distance") is not None


def test_the_verdict_of_a_system_that_is_better(base: Path, better: Path) -> None:
    found = only(compared(base, better))
    verdicts = {
        (line.name, line.kind, line.language): verdict
        for line, verdict in zip(found.tests.lines, found.verdicts, strict=True)
        if line.family != "settings"
    }
    assert verdicts["Success@1", "text_to_image", None] == "better"
    assert verdicts["Success@1", "image_to_text", "th"] == "better"
    back = only(compared(better, base))
    failed = {
        (check.subject.kind, check.subject.language) for check in back.checks if check.subject and not check.passed
    }
    assert {("text_to_image", None), ("image_to_text", "th")} <= failed


class TestGate:
    def subjects(self, task: TaskComparison, rule: str) -> set[tuple[str | None, str | None]]:
        return {(c.subject.kind, c.subject.language) for c in task.checks if c.subject and c.rule == rule}

    def test_the_default_is_about_what_the_task_has(self, base: Path, better: Path) -> None:
        asked = self.subjects(only(compared(base, better)), "significant")
        directions = ("text_to_image", "image_to_text")
        assert asked == {
            *((kind, None) for kind in (*directions, "image_to_pool")),
            *((kind, language) for kind in directions for language in LANGUAGES),
        }

    def test_floors_of_both_directions(self, base: Path, better: Path) -> None:
        floor = {"Success@1": {"image_to_text": {"th": 1.01, "*": 0.0}, "text_to_image": {"mean": 0.1}}}
        task = only(compared(base, better, gate(floor=floor)))
        assert self.subjects(task, "floor") == {
            *(("image_to_text", language) for language in LANGUAGES),
            ("text_to_image", None),
        }
        failed = [check.subject.language for check in task.checks if check.subject and not check.passed]
        assert failed == ["th"]

    @pytest.mark.parametrize(
        ("lines", "named"),
        [
            ({"drop": {"AP": {"monolingual": 0.1}}}, "drop of AP monolingual"),
            ({"floor": {"AP": {"image_to_text": {"xx": 0.1}}}}, "floor of AP image_to_text xx"),
            ({"rise": {"own_language_preference": 0.1}}, "own_language_preference"),
        ],
    )
    def test_what_a_task_of_images_lacks_is_told(
        self, base: Path, better: Path, lines: dict[str, object], named: str
    ) -> None:
        with pytest.raises(UserError, match=f"the gate asks for what pictures has not: {named}"):
            compared(base, better, gate(**lines))

    def test_a_drop_of_everything_is_of_what_there_is(self, base: Path, better: Path) -> None:
        every = {"monolingual": 0.1, "cross_lingual": 0.1, "multilingual": 0.1, "text_to_image": 0.2}
        (check,) = only(compared(base, better, gate(drop={"AP": every}))).checks
        assert check.subject is not None
        assert (check.subject.kind, check.allowed) == ("text_to_image", 0.2)

    def test_options_name_directions(self, base: Path, better: Path, capsys: pytest.CaptureFixture[str]) -> None:
        def gated(*options: str) -> int:
            return call(["compare", str(base), str(better), "--flips", "100", "--resamples", "20", *options])

        assert gated("--floor", "Success@1:text_to_image=0.5", "--floor", "Success@1:image_to_text:th=1.01") == 1
        assert "Success@1 to text of th captions" in capsys.readouterr().out
        assert gated("--drop", "Success@1=0.01") == 0


class TestShown:
    def test_every_format_has_directions_and_languages(self, base: Path, better: Path) -> None:
        report = comparison_report(compared(better, base))
        text, markdown, xml = (render(name, report).decode() for name in ("console", "markdown", "junit"))
        for shown in (text, markdown):
            for word in ("Success@1 to image", "Success@1 to pool", "r_mean", "CLIPScore", "rank spread"):
                assert word in shown
            assert "mono" not in shown
            assert "own language preference" not in shown
        assert "by caption language" in text
        assert "by caption language" in markdown
        assert "image → th" in text
        assert 'name="Success@1 to text of th captions: no significant drop beyond .005"' in xml
        # There is no map of languages by languages.
        assert "in thousandths" not in text


class TestSharedLanguages:
    def test_fewer_languages_are_as_if_only_those_had_been(self, folder: Path, base: Path) -> None:
        two = measured(folder, ToySeer(1), out=folder / "two", languages=("de", "th"))
        same = measured(folder, out=folder / "same", languages=("de", "th"))
        with pytest.raises(UserError, match="--shared-languages compares those of both"):
            compared(base, two)
        shared, direct = (only(compared(path, two, shared_languages=True)).tests for path in (base, same))
        known = {(line.name, line.kind, line.language, line.family): line.base for line in direct.lines}
        for line in shared.lines:
            assert known[line.name, line.kind, line.language, line.family] == pytest.approx(line.base)
        # Which other caption is closest is known among all languages alone.
        assert {line.name for line in direct.lines} - {line.name for line in shared.lines} == {"ref_clip_score"}

    def test_other_images_are_refused(self, tmp_path: Path, base: Path) -> None:
        other = write_task(tmp_path / "pictures", 30, {"de": 1, "en": 1, "th": 2})
        with pytest.raises(UserError, match=r"their data differs in (image, )?th"):
            compared(base, measured(other))


def test_lists_of_other_lengths_are_not_compared_by_rank(folder: Path) -> None:
    whole, cut = (measured(folder, ToyLister(longest), out=folder / f"{longest}") for longest in (None, 5))
    names: Sequence[str] = [line.name for line in only(compared(whole, cut)).tests.lines]
    assert "rank_distance" not in names
    assert "rank_spread" not in names
    assert "r_mean" in names
    assert not any(name.startswith("clip") for name in names)


def test_restricted_counts_keep_their_cosines(folder: Path, base: Path) -> None:
    from mlbench.compare.pairing import restrict

    ranks = read_side("", [base]).by_task["pictures"][0].ranks
    fewer = restrict(ranks, ["de"])
    assert fewer.languages.tolist() == ["de", "image"]
    assert fewer.alignment is not None
    assert ranks.alignment is not None
    assert np.isnan(fewer.alignment[:, 1]).all()
    kept = np.isin(ranks.row_languages, [ranks.language_index("de")])
    kept |= ranks.query_languages[ranks.row_queries] == ranks.language_index("de")
    np.testing.assert_array_equal(fewer.alignment[:, 0], ranks.alignment[kept, 0])
