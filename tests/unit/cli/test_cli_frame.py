import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from mlbench import cli
from mlbench.cli.compare import drops
from mlbench.cli.progress import (
    Bars,
    Pace,
    PlainProgress,
    Screen,
    Warnings,
    console,
    duration,
    pass_screen,
)
from mlbench.compare.gate import Drops
from mlbench.errors import DataError, InternalError, InvalidTask, MissingExtra, MlbenchError
from mlbench.version import __version__


def mlbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlbench", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> dict[str, click.Command]:
    """Commands of the test's own in place of mlbench's; returned to be filled."""
    commands: dict[str, click.Command] = {}
    monkeypatch.setattr(cli.CommandGroup, "list_commands", lambda self, context: list(commands))

    def get_command(self: cli.CommandGroup, context: click.Context, name: str) -> click.Command | None:
        if name in commands:
            cli._accept_verbosity(commands[name])
        return commands.get(name)

    monkeypatch.setattr(cli.CommandGroup, "get_command", get_command)
    return commands


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no file x.json: use --data-dir"), 2, "no file x.json: use --data-dir"),
        (MissingExtra("dense encoders", "dense"), 2, "dense encoders need: pip install 'mlbench[dense]'"),
        (
            InvalidTask("a.toml", ["name: missing", "kind: missing"]),
            2,
            "a.toml: 2 faults: name: missing; kind: missing",
        ),
        (DataError("two\nlines"), 2, "two lines"),
        (MlbenchError("odd"), 3, "odd (a fault of ours: please report it with what the same command prints under -v)"),
        (InternalError("x"), 3, "x (a fault of ours: please report it with what the same command prints under -v)"),
        (
            ZeroDivisionError("division by zero"),
            3,
            "ZeroDivisionError: division by zero (a fault of ours: please report it with what the same command prints "
            "under -v)",
        ),
        (MemoryError(), 2, "out of memory: measure fewer --languages at once, or use a machine with more"),
        (OSError(errno.ENOSPC, "No space left on device", "out/r.json"), 2, "No space left on device: out/r.json"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 2, "Permission denied: /out"),
        (click.ClickException("no"), 2, "no"),
        (click.FileError("f.txt", "gone"), 2, "Could not open file 'f.txt': gone"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    frame: dict[str, click.Command], capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    frame["fail"] = failing(error)
    assert cli.call(["fail"]) == code
    assert capsys.readouterr() == ("", f"mlbench: error: {line}\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_ends_with_130(
    frame: dict[str, click.Command], capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    frame["fail"] = failing(error)
    assert cli.call(["fail"]) == 130
    assert capsys.readouterr().err == "mlbench: interrupted; what was saved is kept\n"


@pytest.mark.parametrize("arguments", [["-v", "fail"], ["fail", "-v"], ["fail", "--verbose"]])
def test_verbose_shows_the_traceback(
    frame: dict[str, click.Command], capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    frame["fail"] = failing(DataError("bad"))
    assert cli.call(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("mlbench: error: bad\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (False, False)),
        (["-q"], (True, False)),
        (["--verbose"], (False, True)),
        (["-q", "-v"], (True, True)),
    ],
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_commands_get_the_screen(
    frame: dict[str, click.Command], arguments: list[str], expected: tuple[bool, bool], where: str
) -> None:
    seen: list[tuple[bool, bool]] = []

    @click.command()
    @pass_screen
    def look(screen: Screen) -> None:
        seen.append((screen.quiet, screen.verbose))

    frame["look"] = look
    assert cli.call([*arguments, "look"] if where == "before" else ["look", *arguments]) == 0
    assert seen == [expected]


def test_verbosity_reaches_the_commands_of_a_group(frame: dict[str, click.Command]) -> None:
    seen: list[bool] = []

    @click.group()
    def things() -> None: ...

    @things.command("list")
    @pass_screen
    def show(screen: Screen) -> None:
        seen.append(screen.quiet)

    frame["things"] = things
    assert cli.call(["things", "list", "-q"]) == 0
    assert seen == [True]


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (1, 1), (0, 0)])
def test_a_command_returns_its_exit_code(frame: dict[str, click.Command], returned: int | None, code: int) -> None:
    frame["gate"] = click.Command("gate", callback=lambda: returned)
    assert cli.call(["gate"]) == code


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rum"], "unknown command 'rum': did you mean run?"),
        (["run", "--tsk", "x"], "--task"),
        (["run", "--limit", "many"], "'many' is not a valid integer"),
        (["--verbos"], "--verbose"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    frame: dict[str, click.Command], capsys: pytest.CaptureFixture[str], arguments: Sequence[str], line: str
) -> None:
    @click.command()
    @click.option("--task")
    @click.option("--limit", type=int)
    def command(task: str, limit: int) -> None: ...

    frame["run"] = command
    assert cli.call(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("mlbench: error: ")
    assert line in err
    assert err.count("\n") == 1


def test_a_group_called_with_nothing_answers_with_its_help(
    frame: dict[str, click.Command], capsys: pytest.CaptureFixture[str]
) -> None:
    frame["things"] = click.Group("things", commands=[click.Command("list")])
    assert cli.call(["things"]) == 2
    assert capsys.readouterr().err.startswith("Usage: mlbench things")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_has_the_commands_and_an_example(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> None:
    assert cli.call(arguments) == 0
    out = capsys.readouterr().out
    assert "Explain every measure and bias score with its formula." in out
    assert "mlbench run --model ./checkpoint" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli.group, [name, "--help"])
    assert result.exit_code == 0
    assert f"mlbench {name}" in result.output.partition("xample")[2]


def test_the_version() -> None:
    done = mlbench("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mlbench {__version__}\n", "")


def test_a_module_that_is_missing_is_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"measures": "Explain.", "nothing_of_ours": "Fly."})
    assert cli.group.list_commands(click.Context(cli.group)) == ["measures"]


@pytest.mark.parametrize(
    ("words", "expected"), [("mlbench mea", "plain,measures"), ("mlbench measures --js", "plain,--json")]
)
def test_the_shell_completes(words: str, expected: str) -> None:
    done = mlbench(_MLBENCH_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert (done.returncode, done.stdout) == (0, expected + "\n")


PROGRAM = """
import sys, time, click
from mlbench import cli
from mlbench.cli.progress import console
@click.command()
def command():
    {body}
cli.CommandGroup.list_commands = lambda self, context: ["it"]
cli.CommandGroup.get_command = lambda self, context, name: command
sys.argv = ["mlbench", "it"]
cli.main()
"""


def start(body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_130_after_cleaning_up(number: signal.Signals) -> None:
    body = "try: print('ready', flush=True); time.sleep(60)\n    finally: print('saved', flush=True)"
    with start(body) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "saved\n", "mlbench: interrupted; what was saved is kept\n")


@pytest.mark.parametrize(
    "body",
    [
        "[print(i) for i in range(10**6)]",
        "time.sleep(0.5); print('late')",
        "[console().print(i) for i in range(10**6)]",
        "time.sleep(0.5); console().print('late')",
    ],
)
def test_a_closed_pipe_is_quiet(body: str) -> None:
    with start(body) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (318, "5 min 18 s"),
        (3599.7, "1 h 0 min"),
        (7390, "2 h 3 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_pace_follows_the_last_two_minutes() -> None:
    clock = Clock()
    pace = Pace("encode", 20_000, clock)
    assert pace.now() == "0 of 20,000 texts"
    pace.advance(10_000)
    assert pace.rate() is None
    clock.seconds = 100
    pace.advance(1_000)
    assert pace.rate() == pytest.approx(110)
    for clock.seconds in (200, 300, 400):
        pace.advance(500)
    assert pace.rate() == pytest.approx(5)
    assert pace.now() == "12,500 of 20,000 texts, 5 texts/s, 25 min 0 s left"
    assert pace.whole() == "12,500 texts in 6 min 40 s, 31 texts/s"


@pytest.mark.parametrize(
    ("phase", "total", "text"),
    [
        ("download xquad-r", 12_345_678, "12.3 MB in 4.0 s, 3.1 MB/s"),
        ("rank", 11, "11 queries in 4.0 s, 2.8 queries/s"),
        ("sweep", 8, "8 in 4.0 s, 2/s"),
        ("check images", 12, "12 images in 4.0 s, 3 images/s"),
        ("check entries", 12, "12 entries in 4.0 s, 3 entries/s"),
    ],
)
def test_pace_knows_the_unit_of_a_phase(phase: str, total: int, text: str) -> None:
    clock = Clock()
    pace = Pace(phase, total, clock)
    clock.seconds = 4
    pace.advance(total)
    assert pace.whole() == text


def test_pace_of_an_unknown_total() -> None:
    clock = Clock()
    pace = Pace("download a", 0, clock)
    clock.seconds = 2
    pace.advance(3_000_000)
    assert pace.now() == "3.0 MB, 1.5 MB/s"


def test_lines_are_seldom() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = PlainProgress(stream, every=5, clock=clock)
    lines.start("encode", 100)
    for clock.seconds in range(1, 13):
        lines.advance(5)
    lines.start("rank", 2)
    lines.note("warning: two texts are empty")
    clock.seconds = 13
    lines.advance(2)
    lines.finish()
    lines.finish()
    assert stream.getvalue().splitlines() == [
        "encode: 25 of 100 texts, 5 texts/s, 15 s left",
        "encode: 50 of 100 texts, 5 texts/s, 10 s left",
        "encode: 60 texts in 12 s, 5 texts/s",
        "warning: two texts are empty",
        "rank: 2 queries in 1.0 s, 2 queries/s",
    ]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    bars = Bars(Console(file=stream, force_terminal=True, width=100))
    bars.start("encode", 4)
    bars.advance(2)
    bars.note("warning: [dense] is odd")
    bars.advance(2)
    bars.finish()
    bars.finish()
    text = stream.getvalue()
    assert "warning: [dense] is odd" in click.unstyle(text)
    assert "encode" in text
    assert "4 texts in" in click.unstyle(text)
    assert text.endswith("\x1b[?25h")
    assert ("\x1b[33m" in text) is coloured


def test_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Warnings()
    progress.start("encode", 1)
    progress.advance(1)
    progress.note("saved a.json")
    progress.note("Warning: b")
    progress.finish()
    assert capsys.readouterr() == ("", "Warning: b\n")


@pytest.mark.parametrize(
    ("quiet", "terminal", "term", "kind"),
    [
        (False, True, "xterm", Bars),
        (False, True, "dumb", PlainProgress),
        (False, False, "xterm", PlainProgress),
        (True, True, "xterm", Warnings),
    ],
)
def test_the_screen_suits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, terminal: bool, term: str, kind: type
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(Screen(quiet=quiet).progress()) is kind


def test_the_console_prints_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("pip install 'mlbench[dense]' :cat: 12", style="bold red")
    assert capsys.readouterr().out == "pip install 'mlbench[dense]' :cat: 12\n"


@pytest.mark.parametrize(("columns", "width"), [(None, 160), ("72", 72)])
def test_the_console_is_wide_when_piped(monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int) -> None:
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width


@pytest.mark.parametrize(
    ("written", "change"),
    [
        ("AP=0.01", {("drop", "AP", kind): 0.01 for kind in Drops.model_fields}),
        ("P(rel=2)@5:multilingual=0.01", {("drop", "P(rel=2)@5", "multilingual"): 0.01}),
        ("nDCG(gains={1:2,2:5}):multilingual=.5", {("drop", "nDCG(gains={1:2,2:5})", "multilingual"): 0.5}),
    ],
)
def test_parameters_of_measures_may_hold_colons_and_equals_signs(
    written: str, change: dict[tuple[str, ...], float]
) -> None:
    context = click.Context(click.Command("compare"))
    assert drops()(context, click.Option(["--drop"]), [written]) == change


class TestMeasures:
    def test_all_of_them_in_plain_text(self) -> None:
        done = mlbench("measures")
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        for words in ("Measures\n", "\nAP\n", "AP = (1/m)", "Bias scores\n", "\nown_language_preference\n"):
            assert words in done.stdout

    @pytest.mark.parametrize(
        ("asked", "known", "kind"),
        [
            ("AP", "AP", "measure"),
            ("AP@20", "AP@20", "measure"),
            ("mAP", "AP", "measure"),
            ("recall@10", "R@10", "measure"),
            ("nDCG(dcg=exp-log2)@10", "nDCG(dcg='exp-log2')@10", "measure"),
            ("INST", "INST(max_rel=g)", "measure"),
            ("bpref", "Bpref", "measure"),
            ("R@k", "R@k", "measure"),
            ("R", "R@k", "measure"),
            ("rank_distance", "rank_distance", "bias score"),
            ("complete@20", "complete@20", "bias score"),
        ],
    )
    def test_one_by_the_name_people_write(self, asked: str, known: str, kind: str) -> None:
        result = CliRunner().invoke(cli.group, ["measures", "--json", asked])
        (row,) = json.loads(result.stdout)
        assert (row["name"], row["kind"]) == (known, kind)
        assert all(row[key] for key in ("summary", "formula", "source"))

    @pytest.mark.parametrize(
        ("asked", "line"),
        [
            ("ndgc", "did you mean nDCG or nDCG@10?"),
            ("R@ten", "cutoff must be a whole number from 1 on, not ten"),
            ("NumQ", "is not computed: n_queries stands beside every mean"),
            ("rank_distanse", "did you mean rank_distance"),
        ],
    )
    def test_an_unknown_name(self, capsys: pytest.CaptureFixture[str], asked: str, line: str) -> None:
        assert cli.call(["measures", asked]) == 2
        assert line in capsys.readouterr().err
