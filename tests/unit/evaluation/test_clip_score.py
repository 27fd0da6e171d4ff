"""CLIPScore by a fixed judge: as the paper's formula gives it for what is found first, and only by one judge."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from unit.compare.test_captions_compared import compared, only
from unit.seeing import LANGUAGES, ToyLister, ToySeer, measured, write_task

from mlbench.collection.languages import IMAGE, Setting
from mlbench.collection.records import Document, Image, Query
from mlbench.errors import RetrieverError, UserError
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair, verify
from mlbench.leaderboard.protocol import accept
from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import render
from mlbench.results import read_result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

JUDGE = ToySeer(7, {"de": 0.1, "en": 0.05, "th": 0.3})
SETTINGS = [(language, IMAGE) for language in LANGUAGES] + [(IMAGE, language) for language in LANGUAGES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with a caption in German and Thai, and two in English."""
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 25, {"de": 1, "en": 2, "th": 1})


@pytest.fixture(scope="module")
def judged(folder: Path) -> Path:
    return measured(folder, out=folder / "judged", clipscore_model=JUDGE)


def clip_score(one: Document | Query, other: Document) -> float:
    """Return 2.5 max(cos, 0) of an image and a caption, as the paper writes it."""
    a, b = (
        JUDGE.encode([each.text], "image" if isinstance(each.text, Image) else "document")[0] for each in (one, other)
    )
    return 2.5 * max(float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)), 0.0)


def expected(folder: Path) -> dict[tuple[str, str], float]:
    """Return for each setting the mean CLIPScore of what a `ToySeer` finds first, once for each relevant document."""
    collection, found = load_collection(load_task(str(folder))), {}
    lister = ToyLister()
    for query_language, document_language in SETTINGS:
        queries, documents = collection.queries[query_language], collection.documents[document_language]
        lists = lister.search(Setting(query_language, (document_language,)), queries, documents, 1)
        by_id = {document.doc_id: document for document in documents}
        scores = []
        for query, listed in zip(queries, lists, strict=True):
            relevant = collection.judged(query_language, query.topic_id)
            times = sum(language == document_language for language, *_ in relevant)
            scores += times * [clip_score(query, by_id[listed[0]])]
        found[query_language, document_language] = fmean(scores)
    return found


@pytest.mark.parametrize("model", [ToySeer(), ToyLister()])
def test_is_the_formula_of_what_is_found_first(folder: Path, tmp_path: Path, model: ToySeer | ToyLister) -> None:
    found = read_result(measured(folder, model, out=tmp_path / "out", clipscore_model=JUDGE)).image_text
    assert found is not None
    wanted = expected(folder)
    for each in found.languages:
        assert each.judged_text_to_image == pytest.approx(wanted[each.language or "", IMAGE], abs=1e-6)
        assert each.judged_image_to_text == pytest.approx(wanted[IMAGE, each.language or ""], abs=1e-6)
    for name in ("judged_text_to_image", "judged_image_to_text", "judged_own"):
        bounds, value = found.mean.intervals[name], getattr(found.mean, name)
        assert value == pytest.approx(fmean(getattr(each, name) for each in found.languages))
        assert bounds is not None
        assert bounds.low < value < bounds.high


def test_own_captions_are_judged_alike_whatever_is_measured(folder: Path, judged: Path, tmp_path: Path) -> None:
    both = [
        read_result(path).image_text
        for path in (judged, measured(folder, JUDGE, out=tmp_path / "out", clipscore_model=JUDGE))
    ]
    assert both[0] is not None
    assert both[1] is not None
    for one, other in zip(both[0].languages, both[1].languages, strict=True):
        assert one.judged_own == other.judged_own
        # Of the judge itself it is its own CLIPScore.
        assert other.judged_own == pytest.approx(other.clip_score, abs=1e-6)
        assert one.clip_score != other.clip_score


class _Finder(ToyLister):
    """A ranker that finds nothing."""

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        return [[] for _ in queries]


def test_finding_nothing_is_no_alignment(folder: Path, tmp_path: Path) -> None:
    found = read_result(measured(folder, _Finder(), out=tmp_path / "out", clipscore_model=JUDGE)).image_text
    assert found is not None
    assert (found.mean.judged_text_to_image, found.mean.judged_image_to_text) == (0, 0)
    assert found.mean.judged_own is not None
    assert found.mean.judged_own > 1


def test_is_told_and_verified(folder: Path, judged: Path) -> None:
    result = read_result(judged)
    assert result.judge is not None
    assert result.judge.spec == "ToySeer"
    found = verify(judged)
    assert found.differences == ()
    assert found.n_numbers > verify(measured(folder, out=folder / "plain")).n_numbers
    page = render("html", results_report([result])).decode()
    for name in ("judged to image", "judged to text", "judged own", "CLIPScores by ToySeer", "own cosine"):
        assert name in page, name


def test_a_result_without_a_judge_says_nothing_of_one(folder: Path, tmp_path: Path) -> None:
    path = measured(folder, out=tmp_path / "out")
    assert "judge" not in path.read_text(encoding="utf-8")
    assert read_pair(path)[1].judged is None


class TestCompared:
    def test_is_a_score_with_a_direction(self, folder: Path, judged: Path, tmp_path: Path) -> None:
        better = measured(
            folder, ToySeer(1, dict.fromkeys(LANGUAGES, 0.02)), out=tmp_path / "out", clipscore_model=JUDGE
        )
        for shared in (False, True):
            task = only(compared(judged, better, shared_languages=shared))
            (line,) = [each for each in task.tests.lines if each.name == "judged_text_to_image"]
            assert line.difference is not None
            assert line.difference > 0

    def test_refuses_other_judges(self, folder: Path, judged: Path, tmp_path: Path) -> None:
        other = measured(folder, out=tmp_path / "out", clipscore_model=ToySeer(8))
        with pytest.raises(UserError, match="by different judges, ToySeer and ToySeer: measure both with one"):
            compared(judged, other)

    def test_takes_one_that_has_no_judge(self, folder: Path, judged: Path, tmp_path: Path) -> None:
        task = only(compared(judged, measured(folder, out=tmp_path / "out")))
        assert not [each for each in task.tests.lines if each.name.startswith("judged")]


class TestRefused:
    def test_a_judge_that_sees_nothing(self, folder: Path) -> None:
        with pytest.raises(
            RetrieverError, match="hashing encodes no images and cannot judge captions: name an image-text"
        ):
            evaluate(ToySeer(), str(folder), options=Options(clipscore_model="hashing"))

    def test_a_task_of_texts(self) -> None:
        with pytest.raises(UserError, match="mini has no images, and CLIPScore judges captions of images"):
            evaluate("hashing", "mini", languages=["de", "en"], options=Options(clipscore_model=JUDGE))

    def test_on_a_leaderboard(self, judged: Path) -> None:
        with pytest.raises(UserError, match="cannot be checked: measure without --clipscore-model"):
            accept(*read_pair(judged))
