import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench.errors import InvalidResult, UserError
from mlbench.evaluation.evaluate import Evaluation, measure
from mlbench.evaluation.options import Options
from mlbench.results import (
    Result,
    RetrieverInfo,
    TaskInfo,
    digest,
    file_stem,
    json_schema,
    ranks_file,
    read_result,
    to_json,
    write_result,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json"

Document = dict[str, object]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    options = Options(settings={"dim": "64"}, cache=tmp_path_factory.mktemp("cache"), resamples=20)
    return measure(options.open_model("hashing"), "mini", languages=("en", "th", "zh"), options=options)


@pytest.fixture
def document(evaluation: Evaluation) -> Document:
    loaded = json.loads(to_json(evaluation.result))
    assert isinstance(loaded, dict)
    return loaded


def read(content: str | bytes, folder: Path) -> Result:
    path = folder / "some.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_result(path)


def test_a_result_survives_its_file(evaluation: Evaluation, tmp_path: Path) -> None:
    path = write_result(evaluation.result, evaluation.ranks_file, tmp_path / "new" / "folder")
    assert read_result(path) == evaluation.result
    assert path.read_text(encoding="utf-8") == to_json(evaluation.result)
    beside = path.parent / evaluation.result.ranks.name
    assert digest(beside.read_bytes()) == evaluation.result.ranks.sha256
    assert sorted(path.parent.iterdir()) == sorted([path, beside])
    assert [each.stat().st_mode & 0o777 for each in (path, beside)] == [0o644, 0o644]


def test_the_text_is_sorted_plain_and_stable(evaluation: Evaluation, document: Document) -> None:
    text = to_json(evaluation.result)
    assert text == to_json(Result.model_validate(document))
    assert text.endswith("}\n")
    assert list(document) == sorted(document)
    assert json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n" == text


def test_a_second_result_takes_the_place_of_the_first(evaluation: Evaluation, tmp_path: Path) -> None:
    first = write_result(evaluation.result, b"old", tmp_path)
    second = write_result(evaluation.result, evaluation.ranks_file, tmp_path)
    assert first == second
    assert (tmp_path / evaluation.result.ranks.name).read_bytes() == evaluation.ranks_file
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("task", {"fingerprint": "f" * 64}),
        ("task", {"version": "2"}),
        ("task", {"languages": ("en", "th")}),
        ("task", {"limit": 10}),
        ("task", {"parallel": False}),
        ("task", {"document_text": "sentence_in_context"}),
        ("retriever", {"fingerprint": "f" * 64}),
    ],
)
def test_a_result_of_something_else_is_never_replaced(
    evaluation: Evaluation, tmp_path: Path, part: str, change: dict[str, object]
) -> None:
    changed = getattr(evaluation.result, part).model_copy(update=change)
    other = replace(evaluation, result=evaluation.result.model_copy(update={part: changed}))
    paths = [each.save(tmp_path).path for each in (evaluation, other, evaluation, other)]
    assert paths[:2] == paths[2:]
    assert len(set(paths)) == 2
    assert len(list(tmp_path.iterdir())) == 4
    for path, expected in zip(paths, (evaluation, other), strict=False):
        assert path is not None
        found = read_result(path)
        assert getattr(found, part) == getattr(expected.result, part)
        assert found.ranks.name == path.with_suffix(".ranks.npz").name
        assert ranks_file(path, found) == path.with_suffix(".ranks.npz")
    assert str(paths[1]).startswith(f"{str(paths[0]).removesuffix('.json')}.data-")


def test_the_same_measured_again_is_replaced_whatever_its_measures_and_intervals(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    first = evaluation.save(tmp_path)
    task = evaluation.result.task.model_copy(update={"measures": ("R@1",), "primary_measure": "R@1"})
    again = replace(evaluation, result=evaluation.result.model_copy(update={"task": task})).save(tmp_path)
    assert again.path == first.path
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_no_result_is_never_replaced(evaluation: Evaluation, tmp_path: Path) -> None:
    first = evaluation.save(tmp_path).path
    assert first is not None
    first.write_text("{}")
    second = evaluation.save(tmp_path).path
    assert second is not None
    assert first.read_text() == "{}"
    second.write_text("{}")
    with pytest.raises(UserError, match=r"is of other data, or cannot be read; name another folder with --out"):
        evaluation.save(tmp_path)


def test_files_are_on_disk_before_they_are_in_place(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = write_result(evaluation.result, b"old", tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_result(evaluation.result, evaluation.ranks_file, tmp_path)
    assert (tmp_path / evaluation.result.ranks.name).read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == sorted([before, tmp_path / evaluation.result.ranks.name])


def test_a_folder_that_cannot_be_written_is_told(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write results to .*file/results: Not a directory; name another"):
        write_result(evaluation.result, evaluation.ranks_file, tmp_path / "file" / "results")


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json_schema(), (
        "write json_schema() to docs/reference/result.schema.json"
    )


def test_documents_follow_the_committed_schema(document: Document) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(document)
    for name in schema["required"]:
        assert not validator.is_valid({key: value for key, value in document.items() if key != name})
    assert not validator.is_valid({**document, "more": 1})
    assert not validator.is_valid({**document, "schema_version": "3.0"})


def change(place: str, value: object) -> Callable[[Document], Document]:
    """Return a change of the value at a dotted place."""

    def changed(document: Document) -> Document:
        *path, last = [int(step) if step.isdigit() else step for step in place.split(".")]
        inner: object = document
        for step in path:
            inner = inner[step]  # type: ignore[index]
        inner[last] = value  # type: ignore[index]
        return document

    return changed


def drop(key: str) -> Callable[[Document], Document]:
    return lambda document: {name: value for name, value in document.items() if name != key}


FAULTS: dict[str, tuple[Callable[[Document], object], str]] = {
    "newer": (change("schema_version", "3.0"), r"schema 3\.0 of a newer mlbench, this one reads 2\.1: upgrade mlbench"),
    "newer with new keys": (lambda d: {**d, "schema_version": "10.4", "more": 1}, r"schema 10\.4 of a newer mlbench"),
    "newer minor without a field": (
        lambda d: {**drop("statistics")(d), "schema_version": "2.2"},
        "statistics: Field required",
    ),
    **{
        f"version {version!r}": (change("schema_version", version), "schema_version is missing, or none that mlbench")
        for version in (None, 0, 2, 2.0, True, "", "1", "two", "2.", "0.1", "02.0", "2.00", "2.0 ", "2.0.0", "-2.0")
    },
    "no version": (drop("schema_version"), "schema_version is missing"),
    "NaN": (change("settings.0.measures.AP", math.nan), "NaN is not a number"),
    "infinite": (change("settings.0.tied_share", -math.inf), "-Infinity is not a number"),
    "a part missing": (drop("statistics"), "statistics: Field required"),
    "several missing": (lambda d: {"schema_version": "2.1"}, r"Field required \(and \d+ more\)"),
    "an unknown key": (lambda d: {**d, "more": 1}, "more: Extra inputs"),
    "an unknown key of many lines": (lambda d: {**d, "more\nand more": 1}, "more"),
    "text in place of a number": (change("settings.0.measures.AP", "high"), r"settings\.0\.measures\.AP"),
    "an unknown kind": (change("settings.0.kind", "bilingual"), r"settings\.0\.kind"),
    "a list": (lambda d: [d], "not a result document"),
    "null": (lambda d: None, "not a result document"),
    "a number": (lambda d: 3, "not a result document"),
    "half a surrogate pair": (change("task.name", "\ud800"), "surrogates not allowed"),
    "no seed": (change("statistics.seed", -1), r"statistics\.seed"),
    "too large a seed": (change("statistics.seed", 2**32), r"statistics\.seed"),
    "no confidence": (change("statistics.confidence", 1.5), r"statistics\.confidence"),
    "no resamples": (change("statistics.resamples", -1), r"statistics\.resamples"),
    "endless resamples": (change("statistics.resamples", 10**12), r"statistics\.resamples"),
    "another primary measure": (change("task.primary_measure", "AP@7"), "the primary measure is not among measures"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told_in_one_line(name: str, document: Document, tmp_path: Path) -> None:
    fault, message = FAULTS[name]
    with pytest.raises(InvalidResult, match=message) as raised:
        read(json.dumps(fault(document)), tmp_path)
    assert "some.json" in str(raised.value)
    assert "\n" not in str(raised.value)


TEXTS = {
    "empty": "",
    "no JSON": "result",
    "cut": '{"schema_version": 1, "task": {"na',
    "a key twice": '{"schema_version": 1, "schema_version": 1}',
    "a key twice inside": '{"schema_version": 1, "task": {"name": "a", "name": "b"}}',
    "deep": "[" * 100_000,
    "deep and whole": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a number of many digits": '{"schema_version": ' + "9" * 10_000 + "}",
    "no UTF-8": b'{"schema_version": "\xff\xfe"}',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_json_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=r"some\.json is not JSON that can be used") as raised:
        read(TEXTS[name], tmp_path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_a_number_beyond_all_numbers_is_told(document: Document, tmp_path: Path) -> None:
    text = json.dumps(change("settings.0.measures.AP", 0.123456789)(document)).replace("0.123456789", "1e999")
    with pytest.raises(InvalidResult, match=r"settings\.0\.measures\.AP"):
        read(text, tmp_path)
    text = json.dumps(change("retriever.parameters", {"x": 0.123456789})(document)).replace("0.123456789", "1e999")
    with pytest.raises(InvalidResult, match=r"retriever\.parameters"):
        read(text, tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(InvalidResult, match="larger than 64 MiB"):
        read_result(path)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=r"cannot read .*none\.json: No such file"):
        read_result(tmp_path / "none.json")
    with pytest.raises(InvalidResult, match=r"cannot read .*none\.json: No such file"):
        read_result(str(tmp_path / "none.json"))
    with pytest.raises(InvalidResult, match="Is a directory"):
        read_result(tmp_path)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_result_or_a_users_error(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidResult):
        read(json.dumps(value), tmp_path)


def info(**changes: object) -> TaskInfo:
    fields: dict[str, object] = {
        "name": "xquad-r",
        "version": "1",
        "fingerprint": "f",
        "fingerprints": {},
        "languages": ("de", "en"),
        "partial": False,
        "parallel": True,
        "document_text": "sentence",
        "measures": ("AP",),
        "primary_measure": "AP",
        "bias_scores": (),
    }
    return TaskInfo.model_validate(fields | changes)


MANY = tuple(f"l{a}{b}" for a in "abcd" for b in "abcd")


@pytest.mark.parametrize(
    ("task", "spec", "stem"),
    [
        (info(), "hashing", "xquad-r.hashing-01234567"),
        (info(partial=True), "hashing", "xquad-r.de.en.hashing-01234567"),
        (info(), "intfloat/multilingual-e5-base", "xquad-r.intfloat-multilingual-e5-base-01234567"),
        (info(), "run:../my runs/a", "xquad-r.run-..-my-runs-a-01234567"),
        (info(), "/", "xquad-r.model-01234567"),
        (info(), "模型", "xquad-r.model-01234567"),
        (info(), "x" * 200, f"xquad-r.{'x' * 60}-01234567"),
        (
            info(partial=True, languages=MANY),
            "m",
            f"xquad-r.16-languages-{digest('.'.join(MANY).encode())[:8]}.m-01234567",
        ),
    ],
)
def test_files_are_named_after_what_was_measured(task: TaskInfo, spec: str, stem: str) -> None:
    assert file_stem(task, RetrieverInfo(spec=spec, kind="encoder", fingerprint="0123456789")) == stem
    assert len(stem) < 200


def test_parts_are_found_by_name(evaluation: Evaluation) -> None:
    result = evaluation.result
    found = result.aggregate("monolingual", "micro", "th")
    assert found
    assert (found.kind, found.aggregation, found.query_language) == ("monolingual", "micro", "th")
    assert result.aggregate("monolingual", query_language="xx") is None
    assert result.bias
    assert result.bias.score("rank_distance") in result.bias.scores
    assert result.bias.score("nothing") is None


@pytest.mark.parametrize(
    "wrong", [{"resamples": -1}, {"resamples": 10**6}, {"seed": -1}, {"seed": 2**32}, {"confidence": 1.0}]
)
def test_options_that_no_result_may_have_are_told(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="resamples go from 0 to 100,000"):
        Options(**wrong)  # type: ignore[arg-type]


def test_intervals_are_made_as_the_options_say(tmp_path: Path) -> None:
    options = Options(cache=tmp_path, settings={"dim": "64"}, resamples=20, seed=7, confidence=0.8)
    found = measure(options.open_model("hashing"), "mini", languages=["de", "en"], options=options)
    made = found.result.statistics
    assert (made.resamples, made.seed, made.confidence) == (20, 7, 0.8)
    assert found.verify().differences == ()


def test_a_task_without_settings_in_the_languages_is_told(tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"queries.{language}.jsonl").write_text('{"id": "t1", "text": "question"}\n')
        (tmp_path / f"documents.{language}.jsonl").write_text('{"id": "d1", "text": "answer"}\n')
    (tmp_path / "qrels.tsv").write_text("t1\t0\td1\t1\n")
    (tmp_path / "task.toml").write_text('name = "own"\nsettings = ["multilingual"]\n')
    options = Options(cache=tmp_path / "cache")
    with pytest.raises(UserError, match="own has no settings in en alone: add a language"):
        measure(options.open_model("hashing"), str(tmp_path), languages=["en"], options=options)


def test_the_frame_has_a_row_for_each_setting(evaluation: Evaluation) -> None:
    pytest.importorskip("pandas")
    frame = evaluation.result.to_frame()
    assert len(frame) == len(evaluation.result.settings) == 3 + 6 + 3
    assert frame["AP"].tolist() == [setting.measures["AP"] for setting in evaluation.result.settings]
    assert set(frame["document_languages"]) == {"en", "th", "zh", "en+th+zh"}


def test_a_part_of_the_languages_is_called_partial(evaluation: Evaluation) -> None:
    assert evaluation.result.task.partial
    assert evaluation.result.ranks.name.startswith("mini.en.th.zh.hashing-")
