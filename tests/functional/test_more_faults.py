"""More of what a user can do wrong, and odd data that are not wrong at all."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import own_task
from test_faults import Fault, own, together, tree, write

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]

RUN = "run -q --task own --model hashing --resamples 2"
TOPICS = range(6)


def judged(line: str) -> str:
    return "".join(line.format(n=n) + "\n" for n in TOPICS)


def spelt(*names: str) -> Callable[[Path], None]:
    """Return what writes the folder `own` and gives files of it other names, in pairs."""

    def prepare(folder: Path) -> None:
        own_task(folder / "own")
        for old, new in zip(names[::2], names[1::2], strict=True):
            (folder / "own" / old).rename(folder / "own" / new)

    return prepare


def encoded(name: str, encoding: str) -> Callable[[Path], None]:
    return together(own(), write(f"own/{name}", '{"id": "t0", "text": "für"}\n'.encode(encoding)))


def other_ranks(folder: Path) -> None:
    """Put the ranks of another result in place of a result's own."""
    (ranks,) = folder.glob("*.ranks.npz")
    (other,) = (folder / "other").glob("*.ranks.npz")
    shutil.copy(other, ranks)


INPUTS = [
    # report and verify; the folder holds result.json and its ranks
    Fault("unknown format", "report result.json --format word", ("'word' is not one of", "'latex'")),
    Fault("pool with an unknown language", "report result.json --pool de,fr", ("no language 'fr'", "de, en, es")),
    Fault("pool of nothing", "report result.json --pool ,", ("'' is not a language tag",)),
    Fault("pool of a country", "report result.json --pool jp", ("'jp' is not a language tag", "did you mean ja")),
    Fault("unknown topic", "report result.json --topic t99", ("no topic 't99'", "its ids are like t0")),
    Fault(
        "measure of cutoff 0", "report result.json --measure R@0", ("measure 'R@0': cutoff must be", "from 1 on, not 0")
    ),
    Fault("measure of lists", "report result.json --measure bpref", ("Bpref does not follow from ranks: measure it",)),
    Fault(
        "folder without results",
        "report empty",
        ("no result document in empty", "mlbench run --out empty"),
        lambda folder: (folder / "empty").mkdir(),
    ),
    Fault(
        "result that is a folder",
        "verify gone.json",
        ("no result document in gone.json",),
        lambda folder: (folder / "gone.json").mkdir(),
    ),
    Fault(
        "binary result", "report a.json", ("a.json is not JSON that can be used",), write("a.json", bytes(range(256)))
    ),
    Fault("empty result", "verify a.json", ("a.json is not JSON that can be used",), write("a.json", b"")),
    Fault("ranks of another result", "verify result.json", ("is not the ranks file of result.json",), other_ranks),
    Fault("report over its result", "report result.json --format csv --output result.json", ("name another file",)),
    Fault("report into no folder", "report result.json --output gone/a.html", ("cannot write gone/a.html",)),
    Fault("report of no known suffix", "report result.json --output a.docx", ("suffix of a.docx", "--format")),
    Fault(
        "pool as model card",
        "report result.json --pool de,en --format model-card",
        ("is of a result only", "choose another format"),
    ),
    # cache
    *(
        Fault(f"cache size {size}", f"cache prune --larger-than={size}", (f"'{size}' is no size", "500MB"))
        for size in ("5XB", "-1GB", "nan", "1e400GB", "")
    ),
    *(
        Fault(f"cache age {age}", f"cache prune --older-than={age}", (f"'{age}'", says))
        for age, says in (("5y", "12h, 30d or 8w"), ("-1d", "is no age"), ("9999999999999d", "longer than any cache"))
    ),
    Fault("cache without a choice", "cache prune", ("say what may go", "--all")),
    # run
    Fault(
        "--save-run is a file",
        f"{RUN} --save-run taken",
        ("cannot write run files to taken", "--save-run"),
        together(own(), write("taken", "mine")),
    ),
    Fault(
        "--save-run is below a file",
        f"{RUN} --save-run taken/in",
        ("cannot write run files to taken/in", "--save-run"),
        together(own(), write("taken", "mine")),
    ),
    Fault("--limit 0", "run --limit 0", ("--limit", "0 is not in the range 1<=x<=")),
    Fault("--limit of words", "run --limit few", ("--limit", "'few' is not a valid integer")),
    Fault(
        "more resamples than memory",
        f"{RUN} --resamples 1000000000",
        ("--resamples", "is not in the range 2<=x<=100000"),
        own(),
    ),
    Fault("dimensions without end", f"{RUN} --set dim=99999999999", ("dim: input should be less than",), own()),
    # own data
    Fault(
        "check of an empty folder",
        "tasks check empty",
        ("there are no files corpus.jsonl, queries.jsonl", "or queries.<lang>.jsonl and documents.<lang>.jsonl"),
        lambda folder: (folder / "empty").mkdir(),
    ),
    Fault(
        "language by its name",
        RUN,
        ("'german' is not a language tag: did you mean de?",),
        spelt("queries.de.jsonl", "queries.german.jsonl"),
    ),
    Fault("a language twice", RUN, ("languages: 'de' is there twice",), own(("task.toml", 'languages = ["de", "de"]'))),
    Fault(
        "language without files",
        RUN,
        ("no file of queries for language 'fr'", "tasks check"),
        own(("task.toml", 'languages = ["de", "fr"]')),
    ),
    Fault("a million characters of junk", RUN, ("line 1: not valid JSON",), own(("queries.en.jsonl", "x" * 1_000_000))),
    Fault(
        "Latin-1", RUN, ("queries.de.jsonl line 1: not valid UTF-8 at byte 24",), encoded("queries.de.jsonl", "latin-1")
    ),
    Fault("UTF-32", RUN, ("queries.de.jsonl line 1: not valid JSON",), encoded("queries.de.jsonl", "utf-32")),
    Fault(
        "JSON array",
        RUN,
        ("queries.de.jsonl line 1: must be an object such as",),
        own(("queries.de.jsonl", '[{"id": "t0", "text": "a"}]')),
    ),
    Fault(
        "grades with a comma",
        RUN,
        ("line 1: grade '1,5' is no number up to 1,048,575",),
        own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t1,5"))),
    ),
    Fault(
        "grades below 0 only",
        RUN,
        ("no query has a relevant document",),
        own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t-1"))),
    ),
    Fault(
        "judgments with bars",
        RUN,
        ("line 1: must be 'topic 0 document grade'",),
        own(("qrels.tsv", judged("t{n}|0|d{n}-item|1"))),
    ),
    Fault(
        "judgments with a heading of other words",
        RUN,
        ("line 1: names no columns that are known",),
        own(("qrels.tsv", "topic\t0\tsentence\tgrade\n")),
    ),
    *(
        Fault(
            f"{option} that no file can have", f"run -q --task mini {option} {'b' * 300}", ("File name too long", "bbb")
        )
        for option in ("--task", "--model", "--out")
    ),
    Fault(
        "grades without end",
        RUN,
        ("grade '999999999' is no number up to 1,048,575",),
        own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t999999999"))),
    ),
    Fault(
        "file name that no file can have",
        RUN,
        ("files[0].path", "must be a relative path that stays inside its folder"),
        own(("task.toml", f'reader = "parallel_jsonl"\nlanguages = ["de"]\n[[files]]\npath = "{"b" * 300}"')),
    ),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `result.json` and its ranks, and with another result in `other`."""
    folder = tmp_path_factory.mktemp("measured")
    own_task(folder / "own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLBENCH_CACHE", str(folder / "cache"))
        for out, dim in (("results", "32"), ("results/other", "64")):
            assert call([*RUN.split(), "--set", f"dim={dim}", "--out", out]) == 0
    next((folder / "results").glob("*.json")).rename(folder / "results" / "result.json")
    return folder / "results"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, with the cache in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("fault", INPUTS, ids=lambda fault: fault.name)
def test_a_wrong_input_is_one_line(fault: Fault, here: Path, measured: Path, capsys: Captured) -> None:
    shutil.copytree(measured, here, dirs_exist_ok=True)
    fault.prepare(here)
    before = tree(here)
    capsys.readouterr()
    assert call(shlex.split(fault.arguments)) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("mlbench: error: ")
    assert len(seen.err.splitlines()) == 1
    assert len(seen.err) < 600
    assert [fragment for fragment in fault.says if fragment not in seen.err] == [], seen.err
    assert tree(here) == before


def change_row(name: str, change: Callable[[dict[str, Any]], object], place: int = 0) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        path = folder / "own" / name
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        change(rows[place])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return together(own(), prepare)


def with_carriage_returns(folder: Path) -> None:
    own_task(folder / "own")
    for path in (folder / "own").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def spoken(*languages: str, topics: int = 6) -> Callable[[Path], Path]:
    return lambda folder: own_task(folder / "own", topics, languages)


FORTY_FIVE = tuple(sorted(f"{a}{b}" for a in "abcde" for b in "abcdefghi"))
SHADES = ("zh-hans", "zh-hant", "en")
# Name, what is prepared, and what the document then has: languages, settings, clusters, whether an interval is known.
ODD: dict[str, tuple[Callable[[Path], object], tuple[int, int, int, bool]]] = {
    "a document of a megabyte": (
        change_row("documents.en.jsonl", lambda row: row.update(text="word " * 200_000)),
        (3, 12, 6, True),
    ),
    "a line of a million characters": (
        change_row("queries.en.jsonl", lambda row: row.update(note="x" * 1_000_000)),
        (3, 12, 6, True),
    ),
    "carriage returns and byte order marks": (with_carriage_returns, (3, 12, 6, True)),
    "the highest grade": (own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t1048575"))), (3, 12, 6, True)),
    "a topic whose relevant document is nowhere": (
        own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t1").replace("d0-item", "gone"))),
        (3, 12, 6, True),
    ),
    "a topic without a relevant document": (
        own(("qrels.tsv", judged("t{n}\t0\td{n}-item\t1").replace("t0\t0\td0-item\t1\n", ""))),
        (3, 12, 6, True),
    ),
    "one language": (spoken("en"), (1, 1, 6, True)),
    "one topic": (spoken("de", "en", "es", topics=1), (3, 12, 1, False)),
    "languages with hyphens": (spoken(*SHADES), (3, 12, 6, True)),
    "forty-five languages": (spoken(*FORTY_FIVE, topics=2), (45, 45 * 46, 2, True)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_are_measured_reported_and_verified(name: str, here: Path, capsys: Captured) -> None:
    prepare, (n_languages, n_settings, n_clusters, has_interval) = ODD[name]
    prepare(here)
    assert call([*RUN.split(), "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert len(found["task"]["languages"]) == n_languages
    assert len(found["settings"]) == n_settings
    assert found["statistics"]["n_clusters"] == n_clusters
    assert (found["settings"][0]["intervals"]["AP"] is not None) == has_interval
    assert (found["bias"] is not None) == (n_languages > 1)
    (document,) = (here / "results").glob("*.json")
    assert call(["verify", str(document)]) == 0
    capsys.readouterr()
    assert call(["report", str(document)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 160
    assert any("quer" in line for line in lines)
    for form in ("html", "markdown", "csv", "latex", "model-card"):
        assert call(["report", str(document), "--format", form, "--output", f"report.{form}"]) == 0
        written = (here / f"report.{form}").read_text(encoding="utf-8")
        assert "hashing" in written
        if form == "csv":
            assert len(written.splitlines()) == 1 + n_settings * len(found["task"]["measures"])


def test_missing_documents_stay_in_the_denominator(here: Path, capsys: Captured) -> None:
    values = {}
    for name in ("a topic whose relevant document is nowhere", "a topic without a relevant document"):
        ODD[name][0](here)
        assert call([*RUN.split(), "--json"]) == 0
        settings = json.loads(capsys.readouterr().out)["settings"]
        english = next(each for each in settings if each["kind"] == "monolingual" and each["query_language"] == "en")
        values[name] = english["n_queries"], english["measures"]["AP"] * english["n_queries"]
        shutil.rmtree(here / "own")
    (there, with_it), (left_out, without_it) = values.values()
    assert (there, left_out) == (6, 5)
    assert with_it == pytest.approx(without_it)


def test_two_results_of_one_name_are_shown_beside_each_other(here: Path, measured: Path, capsys: Captured) -> None:
    for folder in ("a", "b"):
        shutil.copytree(measured, here / folder)
    assert call(["report", "a/result.json", "b/result.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("hashing") for line in lines) == 2
    assert call(["report", "a/result.json", "b/result.json", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 12 * 8
