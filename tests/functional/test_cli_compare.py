"""`mlbench compare` and `mlbench run --against`: exit codes, files, and one line for whatever cannot be compared."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from command_line import CommandLine, own_task

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]
FAST = ("--flips", "500", "--resamples", "50")
# The pages on comparing and on gates, and those on workflows, compare all languages of mini.
FOUR = ("--languages", "ar,de,en,th")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results: `good` and `bad` on mini, `fewer` languages, a `look` at few topics, and `own` data."""
    folder = tmp_path_factory.mktemp("measured")
    own_task(folder / "task")
    runs = {
        "good": ["--model", "static", *FOUR],
        "bad": ["--model", "hashing", *FOUR],
        "fewer": ["--model", "static", "--languages", "de,en"],
        "look": ["--model", "hashing", "--limit", "3", *FOUR],
        "own": ["--model", "hashing", "--task", str(folder / "task")],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(folder / "cache"))
        for name, arguments in runs.items():
            assert call(["run", "-q", "--resamples", "50", "--out", str(folder / name), *arguments]) == 0
    return folder


@pytest.fixture(autouse=True)
def _here(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of our own, beside links to the results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_CACHE", str(measured / "cache"))
    for path in measured.iterdir():
        (tmp_path / path.name).symlink_to(path)


def compared(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Compare, and return the exit code and what was printed; nothing is said on stderr."""
    code = call(["compare", *FAST, *arguments])
    shown = capsys.readouterr()
    assert shown.err == ""
    return code, shown.out


def error_of(capsys: Captured, *arguments: str) -> str:
    """Run a command that must end with exit code 2, one line on stderr and nothing on stdout; return that line."""
    assert call([*arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_a_candidate_that_is_worse_fails(capsys: Captured) -> None:
    code, out = compared(capsys, "good", "bad")
    assert code == 1
    assert out.splitlines()[0].startswith("Failed: ")
    assert "hashing against static" in out


@pytest.mark.parametrize("sides", [("bad", "good"), ("good", "good")])
def test_a_candidate_that_is_better_or_the_same_passes(sides: tuple[str, str], capsys: Captured) -> None:
    code, out = compared(capsys, *sides, "--drop", "AP:cross_lingual=0.001", "--drop", "AP:multilingual=0.001")
    assert code == 0
    assert out.splitlines()[0].startswith("Passed: ")


def test_of_one_that_is_compared_with_itself_only_what_is_true_is_said(capsys: Captured) -> None:
    code, out = compared(capsys, "good", "good")
    assert code == 0
    assert "base and candidate have the same values everywhere" in out
    (power,) = " ".join(out.split()).split("power: ")[1:]
    assert power.startswith("not known for 16 of 16 tested lines: base and candidate differ by the same in every")
    assert "too few" not in out


def test_fewer_flips_than_the_level_asks_for_are_refused(capsys: Captured) -> None:
    told = error_of(capsys, "compare", "good", "bad", "--flips", "20")
    assert "20 sign flips are too few for a level of .05: give at least 21" in told


def test_json_is_the_document(capsys: Captured) -> None:
    code, out = compared(capsys, "good", "bad", "--json", "--seed", "3")
    document = json.loads(out)
    assert (code, document["passed"]) == (1, False)
    (task,) = document["tasks"]
    assert (task["task"], task["tests"]["flips"], task["tests"]["statistics"]["resamples"]) == ("mini", 500, 50)
    assert task["tests"]["statistics"]["seed"] == 3
    assert task["base"]["spec"] == "static"
    assert len({(line["kind"], line["query_language"]) for line in task["tests"]["lines"]}) == 3 + 12 + 1


def test_files_are_written_in_the_format_of_their_names(capsys: Captured, tmp_path: Path) -> None:
    names = ("report.md", "report.json", "report.xml", "report.html", "report.csv", "report.TXT")
    code, out = compared(capsys, "good", "bad", *(part for name in names for part in ("--write", name)))
    assert code == 1
    assert json.loads((tmp_path / "report.json").read_bytes())["passed"] is False
    assert int(ElementTree.parse(tmp_path / "report.xml").getroot().get("failures", "0")) > 0
    for name in ("report.md", "report.html", "report.csv"):
        assert "hashing" in (tmp_path / name).read_text(encoding="utf-8")
    assert (tmp_path / "report.TXT").read_text(encoding="utf-8").split()[:2] == out.split()[:2]


def test_every_setting_is_there_on_request(capsys: Captured) -> None:
    (_, brief), (_, full) = compared(capsys, "good", "bad"), compared(capsys, "good", "bad", "--all")
    assert len(full.splitlines()) > len(brief.splitlines()) + 4 + 12


def test_a_gate_file_and_options_make_one_gate(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text('rule = "point"\n[drop.AP]\ncross_lingual = 0.9\n', encoding="utf-8")
    assert compared(capsys, "good", "bad", "--gate", "gate.toml")[0] == 0
    more = ("--floor", "AP:monolingual:de=0.1", "--floor", "AP:monolingual=0.1", "--floor", "R@1:multilingual:*=0")
    code, out = compared(
        capsys,
        "good",
        "bad",
        "--gate",
        "gate.toml",
        "--json",
        *more,
        "--rise",
        "rank_distance=1e6",
        "--require",
        "mini",
    )
    document = json.loads(out)
    assert code == 0
    assert [check["rule"] for check in document["checks"]] == ["required"]
    rules = [check["rule"] for check in document["tasks"][0]["checks"]]
    assert rules == ["point", "point", *["floor"] * (1 + 1 + 4)]
    failing = {
        "a floor": ("--floor", "AP:monolingual:de=1.1"),
        "a ceiling": ("--max-rank-distance", "1"),
        "a required task": ("--require", "xquad-r"),
        "a drop": ("--drop", "AP=0"),
        "a rise": ("--rise", "own_language_preference=0"),
    }
    for what, arguments in failing.items():
        assert compared(capsys, "good", "bad", "--gate", "gate.toml", *arguments)[0] == 1, what


def test_rules_decide(capsys: Captured) -> None:
    # Monolingual quality differs by less than the topics of mini can tell.
    drop = ("--drop", "AP:monolingual=0.001")
    codes = {
        rule: compared(capsys, "bad", "good", *drop, "--rule", rule)[0]
        for rule in ("point", "significant", "non_inferior")
    }
    assert codes == {"point": 1, "significant": 0, "non_inferior": 1}
    assert compared(capsys, "bad", "good", *drop, "--rule", "non_inferior", "--level", "0.4")[0] == 1


def test_shared_languages(capsys: Captured) -> None:
    code, out = compared(capsys, "good", "fewer", "--shared-languages", "--json")
    (task,) = json.loads(out)["tasks"]
    assert (code, task["languages"], task["shared_only"]) == (0, ["de", "en"], True)
    means = [line for line in task["tests"]["lines"] if line["family"] == "aggregates" and line["kind"]]
    # The same model on the same languages: what is left out changes nothing.
    assert {line["difference"] for line in means} == {0.0}


def test_the_name_of_an_entry_is_a_side(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured / "good", tmp_path / "leaderboard" / "entries" / "best")
    assert compared(capsys, "best", "bad")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["good", "nothing"], "there is no result file, folder of results or leaderboard entry 'nothing'"),
        (["good", "own"], "there is no task to compare on: good has mini, own has task"),
        (["good", "fewer"], "their languages are ar, de, "),
        (["bad", "look"], "their limits are none and 3"),
        (["good", "task"], "no result document in task"),
        (["good", "bad", "--drop", "AP"], "--drop 'AP': write KEY=VALUE, as in --drop AP:multilingual=0.005"),
        (["good", "bad", "--drop", "AP=much"], "--drop AP=much: write a number"),
        (["good", "bad", "--drop", "AP:a:b=1"], "--drop AP:a:b=1: too many colons"),
        (["good", "bad", "--floor", "AP=1"], "--floor AP: say of which kind"),
        (["good", "bad", "--rise", "bias=1"], "rise.bias: unknown bias score"),
        (["good", "bad", "--max-rank-distance", "nan"], "ceiling.rank_distance: input should be a finite number"),
        (["good", "bad", "--level", "2"], "level: input should be less than 0.5"),
        (["good", "bad", "--gate", "no.toml"], "no.toml cannot be read"),
        (["good", "bad", "--floor", "AP:monolingual:fr=1"], "has not: floor of AP monolingual fr;"),
        (["good", "bad", "--write", "report.pdf"], "--write report.pdf: no format has this suffix"),
        (["good", "bad", "--write", "no/report.md"], "--write no/report.md: there is no folder no"),
        (["good", "bad", "--rule", "strict"], "'strict' is not one of"),
        (["good", "bad", "--flips", "0"], "0 is not in the range"),
        (["good"], "Missing argument 'CANDIDATE'"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(arguments: list[str], reason: str, capsys: Captured) -> None:
    assert reason in error_of(capsys, "compare", *FAST, *arguments)


def test_all_faults_of_a_gate_are_told_at_once(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("rules = 1\n[drop.APP]\nmono = 1\n", encoding="utf-8")
    line = error_of(capsys, "compare", "good", "bad", "--gate", "gate.toml", "--rise", "x=1", "--level", "7")
    assert "gate.toml with the options: 5 faults: " in line
    for key in ("rules: ", "drop.APP: ", "drop.APP.mono: ", "rise.x: ", "level: "):
        assert key in line


def test_what_a_document_says_does_nothing_to_the_terminal(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured / "bad", tmp_path / "hostile")
    (path,) = (tmp_path / "hostile").glob("*.json")
    document = json.loads(path.read_bytes())
    document["task"] |= {"version": "\x1b[2J\n\u202e2"}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert r"they are of versions 1 and \x1b[2J \u202e2 of the task" in error_of(capsys, "compare", "good", "hostile")


def test_a_report_never_takes_the_place_of_a_result(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    (result,) = (measured / "bad").glob("*.json")
    before = result.read_bytes()
    for name in (f"bad/{result.name}", str(result)):
        assert "that is one of the results" in error_of(capsys, "compare", "good", "bad", "--write", name)
    assert result.read_bytes() == before
    # A comparison beside results is not one of them.
    shutil.copytree(measured / "bad", tmp_path / "mixed")
    assert compared(capsys, "good", "mixed", "--write", "mixed/comparison.json")[0] == 1
    assert compared(capsys, "good", "mixed")[0] == 1
    assert call(["verify", "mixed"]) == 0


def test_a_run_is_judged_against_its_base(capsys: Captured, tmp_path: Path) -> None:
    against = ("run", "-q", "--resamples", "50", "--out", "out", *FOUR, "--against", "good")
    assert call([*against, "--model", "static"]) == 0
    shown = capsys.readouterr().out
    assert "Passed: " in shown
    assert "mAP" in shown.split("Passed: ")[0]
    (tmp_path / "gate.toml").write_text('rule = "point"\n[drop.AP]\ncross_lingual = 0.01\n', encoding="utf-8")
    assert call([*against, "--model", "hashing", "--gate", "gate.toml", "--seed", "3", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    statistics = document["tasks"][0]["tests"]["statistics"]
    assert (statistics["resamples"], statistics["seed"]) == (50, 3)
    assert [check["passed"] for check in document["tasks"][0]["checks"]] == [False]
    assert document["tasks"][0]["candidate"]["spec"] == "hashing"
    assert len(list((tmp_path / "out").glob("*.json"))) == 2


def test_a_run_may_write_over_its_base(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured / "bad", tmp_path / "results")
    (path,) = (tmp_path / "results").glob("*.json")
    # The base is what was there before, wherever the result goes.
    document = json.loads(path.read_bytes())
    document["retriever"]["spec"] = "before"
    path.write_text(json.dumps(document), encoding="utf-8")
    code = call(["run", "-q", "--resamples", "50", "--model", "hashing", *FOUR, "--against", "results", "--json"])
    task = json.loads(capsys.readouterr().out)["tasks"][0]
    assert (code, task["base"]["spec"], task["candidate"]["spec"]) == (0, "before", "hashing")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--against", "nothing"], "there is no result file, folder of results or leaderboard entry 'nothing'"),
        (["--against", "own"], "--against own: it has task, and none of the tasks of this run"),
        (["--against", "good", "--limit", "3", *FOUR], "mini could not be compared: their limits are none and 3"),
        (
            ["--against", "good", "--languages", "en,de"],
            "mini could not be compared: their languages are ar, de, en, th and ",
        ),
        (["--against", "good", "--gate", "no.toml"], "no.toml cannot be read"),
        (["--against", "good", "--model", "static", "--model", "hashing"], "--against takes one model"),
        (["--gate", "no.toml"], "--gate judges what is compared: add --against BASE"),
    ],
)
def test_a_run_that_could_not_be_compared_is_not_begun(
    arguments: list[str], reason: str, capsys: Captured, tmp_path: Path
) -> None:
    assert reason in error_of(capsys, "run", "--out", "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_the_exit_code_is_that_of_the_process(mlbench: CommandLine) -> None:
    codes = [
        mlbench.process("compare", *FAST, *sides).code for sides in (("good", "good"), ("good", "bad"), ("good", "own"))
    ]
    assert codes == [0, 1, 2]
