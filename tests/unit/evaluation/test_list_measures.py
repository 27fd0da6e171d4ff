"""Measures that need lists and judgments: as ir_measures computes them, and marked as not recomputable."""

import json
import sys
from pathlib import Path

import ir_measures
import pytest

from mlbench.collection.languages import Setting
from mlbench.compare.compare import compare_evaluations
from mlbench.errors import InvalidResult, InvalidTask, MissingExtra, UserError
from mlbench.evaluation.evaluate import Evaluation, evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import verify
from mlbench.leaderboard.protocol import accept
from mlbench.ranking.run_files import SaveRun, stem_of
from mlbench.results import read_result
from mlbench.statistics.pool import with_measure
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

NAMES = ("Bpref", "Bpref(rel=2)", "infAP", "Judged@5", "P(judged_only=True)@5", "nDCG(judged_only=True)@10")
WORDS = "river sea bridge town winter ship market garden letter mountain".split()  # noqa: SIM905


def write_task(folder: Path, *, options: str = "") -> Path:
    """Two languages with ten documents and three topics each, judged from -1 to 3."""
    folder.mkdir(exist_ok=True)
    for language in ("de", "en"):
        documents = [{"id": f"d{n}", "text": f"{language} {word} {WORDS[n - 3]} {n}"} for n, word in enumerate(WORDS)]
        queries = [{"id": f"t{n}", "text": f"{language} {WORDS[3 * n]} {WORDS[3 * n + 1]}"} for n in range(3)]
        for name, rows in (("documents", documents), ("queries", queries)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.{language}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels.tsv").write_text(
        "".join(f"t{n}\t0\td{m}\t{(m + n) % 5 - 1}\n" for n in range(3) for m in range(n, 10, 2)), encoding="utf-8"
    )
    (folder / "task.toml").write_text(options, encoding="utf-8")
    return folder


def judged(folder: Path, documents: dict[str, str]) -> dict[str, dict[str, int]]:
    """Return the judgments of the task's file, with the ids that the run has."""
    found: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        topic, _, own, grade = line.split()
        for name in documents:
            if name.endswith(f"-{own}"):
                found.setdefault(topic, {})[name] = int(grade)
    return found


@pytest.mark.parametrize("model", ["hashing", "run"])
def test_they_are_what_ir_measures_gives_for_the_lists(tmp_path: Path, model: str) -> None:
    folder, runs = write_task(tmp_path / "task"), tmp_path / "runs"
    options = Options(resamples=20, cache=tmp_path / "cache", save_run=SaveRun(runs, 20))
    found = evaluate("hashing", str(folder), measures=NAMES, options=options)
    if model == "run":
        # A topic without a list.
        for path in runs.glob("*.trec"):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text("".join(line for line in lines if not line.startswith("t1 ")), encoding="utf-8")
        again = Options(resamples=20, cache=tmp_path / "cache")
        found = evaluate(f"run:{runs}", str(folder), measures=NAMES, options=again)
    measures = [ir_measures.parse_measure(name) for name in NAMES]
    for setting in found.result.settings:
        run = runs / f"{stem_of(Setting(setting.query_language, setting.document_languages))}.trec"
        listed = list(ir_measures.read_trec_run(str(run)))
        qrels = judged(folder, {each.doc_id: "" for each in listed})
        expected = ir_measures.calc_aggregate(measures, qrels, listed)
        values = [setting.measures[name] for name in NAMES]
        assert values == pytest.approx([expected[measure] for measure in measures], abs=1e-9)
        assert len(set(values)) > 2
    assert all(mean.ceilings["Bpref"] is None and mean.intervals["Bpref"] for mean in found.result.aggregates)
    assert found.result.list_measures is not None
    assert found.result.list_measures.judged_not_relevant > 0


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = write_task(tmp_path_factory.mktemp("data") / "task")
    options = Options(resamples=20, cache=tmp_path_factory.mktemp("cache"))
    return evaluate("hashing", str(folder), measures=NAMES[:1], out=tmp_path_factory.mktemp("out"), options=options)


def test_a_result_says_that_they_cannot_be_recomputed(measured: Evaluation) -> None:
    assert measured.path is not None
    assert measured.result.listed_measures == ("Bpref",)
    found = verify(measured.path)
    assert found.differences == ()
    assert found.result.listed_measures == ("Bpref",)
    document = json.loads(measured.path.read_text(encoding="utf-8"))
    assert document["list_measures"] == {
        "names": ["Bpref"],
        "depth": 1000,
        "judged_not_relevant": document["list_measures"]["judged_not_relevant"],
        "ir_measures": document["list_measures"]["ir_measures"],
    }
    with pytest.raises(UserError, match="Bpref cannot be recomputed from ranks"):
        accept(measured.result, measured.ranks)


@pytest.mark.parametrize(
    ("names", "said"),
    [(["AP"], "AP follows from ranks"), (["Bref"], "unknown measure 'Bref'"), ([], "at least 1 item")],
)
def test_nothing_that_follows_from_ranks_can_be_called_one(
    measured: Evaluation, tmp_path: Path, names: list[str], said: str
) -> None:
    document = json.loads(measured.result.model_dump_json())
    document["list_measures"]["names"] = names
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InvalidResult, match=said):
        read_result(path)


def test_they_are_computed_while_measuring_alone(measured: Evaluation) -> None:
    with pytest.raises(UserError, match="infAP does not follow from ranks: measure it with mlbench run --measure"):
        with_measure(measured.result, measured.ranks, "infAP")
    with pytest.raises(UserError, match="Bpref does not follow from ranks"):
        measured.pool(["de"], measure="bpref")


@pytest.mark.parametrize(
    ("name", "said"),
    [("Bpref", "'Bpref' does not follow from ranks"), ("NumRet", "'NumRet' is neither better when higher nor")],
)
def test_no_task_is_judged_by_one(tmp_path: Path, name: str, said: str) -> None:
    folder = write_task(tmp_path / "task", options=f'measures = ["{name}"]\nprimary_measure = "{name}"\n')
    with pytest.raises(InvalidTask, match=said):
        load_task(str(folder))


def test_a_result_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    options = Options(resamples=20, cache=tmp_path / "cache")
    found = evaluate("hashing", str(write_task(tmp_path / "task")), out=tmp_path, options=options)
    assert found.path is not None
    assert "list_measures" not in json.loads(found.path.read_text(encoding="utf-8"))


def test_one_name_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"measures must be a list of names, such as \['ERR@5'\]"):
        evaluate("hashing", str(write_task(tmp_path / "task")), measures="ERR@5")


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_task(tmp_path / "task")
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtra, match=r"measures such as Bpref need: pip install 'mlbench\[ir-measures\]'"):
        evaluate("hashing", str(folder), measures=["bpref"], options=Options(cache=tmp_path / "cache"))
    assert evaluate("hashing", str(folder), measures=["ERR@5"], options=Options(cache=tmp_path / "cache"))


class _NeverAsked:
    """An encoder that must not be needed."""

    dim, similarity, tokens = 4, "cosine", 0

    @property
    def parameters(self) -> dict[str, object]:
        return {}

    def fingerprint(self, role: str) -> str:
        return "0" * 64

    def encode(self, texts: object, role: str) -> object:
        raise AssertionError("it was asked")


def test_grades_are_looked_at_before_anything_is_encoded(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task")
    (folder / "qrels.tsv").write_text("t0\t0\td0\t5\n", encoding="utf-8")
    with pytest.raises(UserError, match="ERR is defined for grades up to 4, and there is one of 5"):
        evaluate(_NeverAsked(), str(folder), measures=["ERR@20"], options=Options(cache=tmp_path / "cache"))


def test_parameters_that_nothing_computes_together_are_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task")
    with pytest.raises(UserError, match="is not computed: nothing that ir_measures uses knows these parameters"):
        evaluate(
            "hashing",
            str(folder),
            measures=["nDCG(dcg='exp-log2',judged_only=True)@5"],
            options=Options(cache=tmp_path),
        )


def test_judgments_by_subtopic(tmp_path: Path) -> None:
    """A document is as relevant as for its best subtopic; what compares subtopics comes from ndeval."""
    folder = write_task(tmp_path / "task", options="[options]\nsubtopics = true\n")
    rows = [
        (n, subtopic, m, (m + n + subtopic) % 3) for n in range(3) for subtopic in (1, 2, 3) for m in range(n, 10, 2)
    ]
    lines = [f"t{n}\t{subtopic}\td{m}\t{grade}\n" for n, subtopic, m, grade in rows]
    (folder / "qrels.tsv").write_text("".join(lines), encoding="utf-8")
    collection = load_collection(load_task(str(folder)))
    best = {(n, m): max(grade for k, _, d, grade in rows if (k, d) == (n, m)) for n, _, m, _ in rows}
    found = {
        (int(topic[1:]), int(row.doc_id.rpartition("-d")[2])): row.grade
        for topic, judged_rows in collection.judgments.items()
        for row in judged_rows
    }
    assert found == {key: grade for key, grade in best.items() if grade}
    assert sum(map(len, collection.subtopics.values())) == 2 * len(rows)
    assert collection.restrict(("de",)).subtopics["t0"] == tuple(
        row for row in collection.subtopics["t0"] if row.language == "de"
    )
    pytest.importorskip("pyndeval")
    names = ("alpha_nDCG@5", "alpha_nDCG(alpha=0.2)@10", "ERR_IA@10", "StRecall(rel=2)@3", "AP_IA", "NRBP", "Bpref")
    runs = tmp_path / "runs"
    options = Options(resamples=20, cache=tmp_path / "cache", save_run=SaveRun(runs, 20))
    result = evaluate("hashing", str(folder), measures=names, options=options).result
    for setting in result.settings:
        run = runs / f"{stem_of(Setting(setting.query_language, setting.document_languages))}.trec"
        listed = list(ir_measures.read_trec_run(str(run)))
        names_of = {each.doc_id.rpartition("-")[2]: set[str]() for each in listed}
        for each in listed:
            names_of[each.doc_id.rpartition("-")[2]].add(each.doc_id)
        qrels = [
            ir_measures.Qrel(f"t{n}", doc_id, grade, str(subtopic))
            for n, subtopic, m, grade in rows
            for doc_id in names_of[f"d{m}"]
        ]
        for name in names[:-1]:
            expected = ir_measures.calc_aggregate([ir_measures.parse_measure(name)], qrels, listed)
            assert setting.measures[name] == pytest.approx(next(iter(expected.values())), abs=1e-9), name


def test_a_subtopic_is_covered_by_what_is_relevant_for_it(tmp_path: Path) -> None:
    pytest.importorskip("pyndeval")
    values = {}
    for threshold, name in ((1, "StRecall(rel=2)@1"), (2, "StRecall@1")):
        text = f"[options]\nsubtopics = true\nrelevance_threshold = {threshold}\n"
        folder = write_task(tmp_path / f"from-{threshold}", options=text)
        rows = [f"t{n}\t{subtopic}\td{n}\t{grade}\n" for n in range(3) for subtopic, grade in ((1, 1), (2, 2))]
        rows += [f"t{n}\t1\td9\t2\n" for n in range(3)]
        (folder / "qrels.tsv").write_text("".join(rows), encoding="utf-8")
        options = Options(resamples=0, cache=tmp_path / "cache")
        result = evaluate("hashing", str(folder), measures=[name], options=options).result
        values[threshold] = [setting.measures[name] for setting in result.settings]
    assert values[1] == values[2]
    assert sum(filter(None, values[1])) > 0


def test_measures_by_subtopic_need_such_judgments(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task")
    with pytest.raises(UserError, match=r"alpha_nDCG@10 needs judgments by subtopic: .* option subtopics = true"):
        evaluate("hashing", str(folder), measures=["α_nDCG@10"], options=Options(cache=tmp_path / "cache"))


def test_grades_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task", options="[options]\nrelevance_threshold = 0.5\n")
    (folder / "qrels.tsv").write_text("t0\t0\td0\t0.5\nt1\t0\td1\t1\n", encoding="utf-8")
    with pytest.raises(UserError, match="Bpref is for judgments whose grades are whole numbers"):
        evaluate("hashing", str(folder), measures=["bpref"], options=Options(cache=tmp_path / "cache"))


def test_results_with_other_measures_are_compared_in_those_of_the_base(measured: Evaluation, tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task")
    options = Options(resamples=20, cache=tmp_path / "cache", settings={"dim": "64"})
    candidate = evaluate("hashing", str(folder), measures=["ERR@5"], options=options)
    for base, other in ((measured, candidate), (candidate, measured)):
        found = compare_evaluations(base, other, flips=100)
        names = {line.name for line in found.lines if line.kind}
        assert names == {name for name in base.result.task.measures if name != "Bpref"}


class TestMeasuresOfAFinishedResult:
    """What follows from ranks is, afterwards, what a run that was asked for it gives."""

    NAMES = ("RBP(p=0.9)", "ERR@20", "nDCG(dcg='exp-log2')@10", "P(rel=2)@5", "Rprec", "SetF", "Compat")

    def test_it_is_what_a_run_gives(self, measured: Evaluation, tmp_path: Path) -> None:
        folder = write_task(tmp_path / "task")
        options = Options(resamples=20, cache=tmp_path / "cache")
        asked = evaluate("hashing", str(folder), measures=self.NAMES, options=options).result
        found = measured.result
        for name in self.NAMES:
            found = with_measure(found, measured.ranks, name)
        for one, other in ((found.settings, asked.settings), (found.aggregates, asked.aggregates)):
            for part, wanted in zip(one, other, strict=True):
                assert {name: part.measures[name] for name in self.NAMES} == {
                    name: wanted.measures[name] for name in self.NAMES
                }
        for part, wanted in zip(found.aggregates, asked.aggregates, strict=True):
            assert [part.intervals[name] for name in self.NAMES] == [wanted.intervals[name] for name in self.NAMES]
            assert [part.ceilings[name] for name in self.NAMES] == [wanted.ceilings[name] for name in self.NAMES]

    def test_a_pool_has_them_as_well(self, measured: Evaluation) -> None:
        answer = measured.pool(["de", "en"], measure="ndcg(dcg=exp-log2)@10")
        assert answer.primary_measure == "nDCG(dcg='exp-log2')@10"
        asked = with_measure(measured.result, measured.ranks, "ndcg_burges@10")
        pooled = [each for each in asked.settings if each.kind == "multilingual"]
        assert [each.measures[answer.primary_measure] for each in answer.settings] == [
            each.measures[answer.primary_measure] for each in pooled
        ]

    def test_a_measure_that_it_has_changes_nothing(self, measured: Evaluation) -> None:
        assert with_measure(measured.result, measured.ranks, "mAP") is measured.result


def test_results_understand_what_others_call_a_measure(measured: Evaluation) -> None:
    result = measured.result
    assert result.measures["mAP"] == result.measures["AP"] == result.measures["map"]
    assert result.measures["AP"]["multilingual"] == result.aggregate("multilingual").measures["mAP"]  # type: ignore[union-attr]
    mean = result.aggregates[0]
    assert mean.measures["ndcg_cut_10"] == mean.measures["nDCG@10"]
    assert mean.measures.get("recall@10") == mean.measures["R@10"]
    assert mean.measures.get("ERR@20") is None
    assert mean.intervals["MRR"] == mean.intervals["RR"]
    with pytest.raises(UserError, match="unknown measure of this result 'ndgc@10': did you mean nDCG@10"):
        mean.measures["ndgc@10"]


@pytest.mark.parametrize(("threshold", "expected"), [("0.5", [1, 4, 2]), ("1", [2, 1])])
def test_fractions_are_grades(tmp_path: Path, threshold: str, expected: list[int]) -> None:
    """Ranks hold whole numbers and their scale; measures see the grades of the file."""
    folder = write_task(tmp_path / "task", options=f"[options]\nrelevance_threshold = {threshold}\n")
    (folder / "qrels.tsv").write_text("t0\t0\ten:d0\t0.5\nt0\t0\ten:d1\t2.0\nt0\t0\ten:d2\t1e0\n", encoding="utf-8")
    options = Options(resamples=20, cache=tmp_path / "cache")
    names = ["nDCG(dcg='exp-log2')", "ERR@10", "P(rel=2)@1", "NumRel", "nDCG"]
    found = evaluate("hashing", str(folder), measures=names, languages=["en"], out=tmp_path, options=options)
    assert found.path is not None
    assert verify(found.path).differences == ()
    grades = found.ranks.row_grades[found.ranks.row_queries == 0]
    assert sorted(grades.tolist()) == sorted(expected)
    assert (found.ranks.grade_scale is None) == (threshold == "1")
    rank = {
        float(grade): int(ahead) + 1 for grade, ahead in zip(found.ranks.grades, found.ranks.ahead[:, 0], strict=True)
    }
    satisfied = [(2**grade - 1) / 16 for grade, _ in sorted(rank.items(), key=lambda item: item[1])]
    by_hand, going_on = 0.0, 1.0
    for value, place in zip(satisfied, sorted(rank.values()), strict=True):
        by_hand, going_on = by_hand + going_on * value / place, going_on * (1 - value)
    setting = found.result.settings[0]
    assert setting.measures["ERR@10"] == pytest.approx(by_hand, abs=1e-12)
    assert setting.measures["NumRel"] == len(expected)
