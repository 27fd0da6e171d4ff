"""`mlbench leaderboard`: entries made of results, checked and audited, accepted tasks, and the static site."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from mlbench.cli.options import assignments, json_option
from mlbench.cli.progress import Screen, pass_screen
from mlbench.cli.report import result_paths
from mlbench.errors import RefusedEntry, UnknownName, UserError
from mlbench.evaluation.verify import read_pair, recompute
from mlbench.io.untrusted import LARGEST_NUMBER
from mlbench.leaderboard.audit import Audit
from mlbench.leaderboard.board import DEFAULT_FOLDER, Board
from mlbench.leaderboard.check import CheckedEntry, Identities, check_entry, parse_entry
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add
from mlbench.protocols import Runtime
from mlbench.reports.formatting import count

if TYPE_CHECKING:
    from mlbench.leaderboard.auditor import Auditor

Command = Callable[..., object]


def board_option(function: Command) -> Command:
    """Give a command the option --board, as its parameter `folder`."""
    return click.option(
        "--board",
        "folder",
        type=click.Path(path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        metavar="DIR",
        help="The leaderboard's folder, with tasks/, entries/ and audits/.",
    )(function)


@click.group(
    epilog="""\b
Examples:
  mlbench leaderboard add results/xquad-r.checkpoint-1a2b3c4d.json --name our-model
  mlbench leaderboard check our-model
  mlbench leaderboard accept results/mini.static-38ef888e.json
  mlbench leaderboard audit our-model
  mlbench leaderboard build"""
)
def command() -> None:
    """Make entries of a leaderboard, check and audit them, and build its site.

    An entry is a folder with results, their ranks and a few words. Every number in it is recomputed before it counts.
    """


@command.command(
    "add",
    epilog="""\b
Examples:
  mlbench leaderboard add results/ --name our-model --title "Our model" --parameters 117653760
  mlbench leaderboard add --name our-model --url https://example.org/our-model""",
)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), metavar="[RESULT]...")
@click.option("--name", required=True, metavar="NAME", help="The entry's name: small letters, digits, dots, hyphens.")
@click.option("--title", metavar="TEXT", help="What the table calls it.  [default: the retriever's name]")
@click.option("--summary", metavar="TEXT", help="What it is, in a sentence or two.")
@click.option("--url", metavar="URL", help="Where it is described: an https address.")
@click.option("--licence", metavar="TEXT", help="The licence of the model.")
@click.option("--parameters", type=click.IntRange(0, LARGEST_NUMBER), metavar="N", help="How many weights it has.")
@click.option(
    "--control/--no-control",
    default=None,
    help="Whether it only shows what the numbers of others are worth: folded away in tables.  [default: no]",
)
@click.option("--replace", is_flag=True, help="Take the place of the entry of that name, results and all.")
@board_option
def add_(results: Sequence[Path], name: str, replace: bool, folder: Path, **said: object) -> None:
    """Make an entry of RESULTs with their ranks beside them, or add them to the entry of that name.

    RESULT is a result document, or a folder of them, of one retriever. They are copied, without the paths of your
    machine, and checked as `check` does. Without RESULT, only what is said of the entry changes.
    """
    paths = result_paths(tuple(results)) if results else []
    checked = add(Board(folder), name, paths, Description(**said), replace=replace)  # type: ignore[arg-type]
    click.echo(f"{Board(folder).entry_folder(name)}: {_summary(checked)}")
    for warning in checked.warnings:
        click.echo(f"warning   {name}: {warning}", err=True)


@command.command(
    "check",
    epilog="""\b
Examples:
  mlbench leaderboard check
  mlbench leaderboard check our-model --json""",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@board_option
def check(names: Sequence[str], as_json: bool, folder: Path) -> int:
    """Check the entries called NAME, or all of them: one line each; exit code 1 when one is refused.

    The files must be whole, plain and bounded, the data and protocol the accepted ones, and every number must follow
    from the ranks. No check can tell whether the ranks come from the retriever that is named. A record of an audit must
    be one of the entry.
    """
    board = Board(folder)
    known = board.entry_names()
    for name in names:
        if name not in known:
            raise UnknownName("entry", name, known)
    identities = Identities(board)
    rows = [_checked_row(board, name, identities) for name in names or known]
    if not names:
        rows += [_refused(file, f"audits/{file!r:.80} is the audit of no entry") for file in board.stray_audits()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return int(any(row["refused"] for row in rows))
    for row in rows:
        click.echo(
            f"refused   {row['refused']}" if row["refused"] else f"{row['kind']:<9} {row['name']}: {row['found']}"
        )
        for warning in row["warnings"]:
            click.echo(f"warning   {row['name']}: {warning}")
    return int(any(row["refused"] for row in rows))


@command.command("accept", epilog="\b\nExample:\n  mlbench leaderboard accept results/mini.static-38ef888e.json")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT...")
@click.option("--replace", is_flag=True, help="Accept this instead of what was accepted for the task.")
@board_option
def accept_(results: Sequence[Path], replace: bool, folder: Path) -> None:
    """Let the board take the tasks of RESULTs that you trust: with their data, measures and statistics, and no other.

    RESULT is a result document with its ranks beside it, or a folder of them. The ranks must bear out every number.
    """
    for path in result_paths(tuple(results)):
        result, ranks = read_pair(path)
        if differences := recompute(result, ranks).differences:
            raise RefusedEntry(f"{path} does not follow from its ranks: {differences[0]}")
        click.echo(Board(folder).take(accept(result, ranks), replace=replace))


@command.command(
    "build",
    epilog="""\b
Examples:
  mlbench leaderboard build
  mlbench leaderboard build --out public""",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build", "leaderboard"),
    show_default=True,
    metavar="DIR",
    help="Where the site goes; what mlbench did not write there stays.",
)
@board_option
@pass_screen
def build(screen: Screen, /, out: Path, folder: Path) -> None:
    """Write the site of the leaderboard: plain files that need no server and ask no other for anything.

    Every entry is checked first, as `check` does; while one is refused, nothing is written. The same entries give the
    same bytes. A folder that is there may be a checkout: only what mlbench wrote into it is replaced or removed.
    """
    from mlbench.leaderboard.site import build_site, read_entries

    board = Board(folder)
    if board.has_part(out):
        raise UserError(f"{out} is where the board itself lies: name another folder with --out")
    progress = screen.progress()
    entries = read_entries(board, progress=progress)
    build_site(entries, out, progress=progress)
    click.echo(f"{out / 'index.html'}: {count(len(entries), 'entry')}")


@command.command(
    "audit",
    epilog="""\b
Examples:
  mlbench leaderboard audit our-model
  mlbench leaderboard audit
  mlbench leaderboard audit our-model --model ./checkpoint --by "The board" --data-dir data""",
)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--model", metavar="MODEL", help="What is encoded with: a path, a hub id or SCHEME:PATH_OR_ID.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=assignments("dtype=bf16"),
    metavar="KEY=VALUE",
    help="A key of the model; what is not set is as the entry says.",
)
@click.option(
    "--seed",
    metavar="HEX",
    help="What decides the draw, in place of the commit that brought the entry: a number that nobody knew before.",
)
@click.option("--task", "tasks", multiple=True, metavar="FILE", help="A task of your own; may be repeated.")
@click.option("--by", default="the board", show_default=True, metavar="WHO", help="Who audits.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with the files of tasks.")
@click.option("--device", metavar="NAME", help="A torch device such as cuda:0; the best one there is by default.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for encoding.")
@json_option
@board_option
@pass_screen
def audit_(
    screen: Screen,
    /,
    name: str | None,
    folder: Path,
    as_json: bool,
    device: str | None,
    threads: int | None,
    **how: object,
) -> int:
    """Encode drawn texts and topics of the entry NAME again, and compare: exit code 1 where they do not agree.

    What is drawn follows from the commit that brought the entry to the current branch, a merge on a board that takes
    pull requests. The outcome is written to audits/NAME.json on the board. Without NAME, every verified entry that was
    not audited as it is today is audited; one that cannot be, as its model cannot be opened here, is told and left out.
    JSON is the record of an audit on each line.
    """
    from mlbench.leaderboard.auditor import Auditor

    board = Board(folder)
    if name is None and (how["model"] or how["settings"]):
        raise UserError("--model and --set are those of one entry: name it")
    if name is not None and name not in board.entry_names():
        raise UnknownName("entry", name, board.entry_names())
    auditor = Auditor(runtime=Runtime(device, threads), progress=screen.progress(), **how)  # type: ignore[arg-type]
    audits = _audit_waiting(board, auditor) if name is None else [auditor.audit(board, name)]
    failed = False
    for audit in audits:
        failed |= not audit.passed
        path = board.keep_audit(audit)
        if as_json:
            click.echo(audit.model_dump_json())
            continue
        for task, found in audit.tasks.items():
            click.echo("\n".join(f"{task}: {line}" for line in found.faults or [found.summary]))
        click.echo(f"{path}: {'passed' if audit.passed else 'failed'}")
    return int(failed)


def _audit_waiting(board: Board, auditor: "Auditor") -> Iterator[Audit]:
    """Yield an audit of each verified entry that has none as it is today, and tell which cannot be audited."""
    names = board.entry_names()
    # In another order each night: a model that takes all the time there is must not keep the same ones waiting.
    for name in random.sample(names, len(names)):
        try:
            if board.audit(name) is None and parse_entry(board.entry_folder(name), name)[0].kind == "verified":
                yield auditor.audit(board, name)
        except Exception as error:  # Models of strangers raise what they like, and others wait behind them.
            told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            auditor.progress.note(f"warning: {name} is left out: {told}")


class _Row(TypedDict):
    name: str
    kind: str | None
    tasks: list[str]
    n_numbers: int
    found: str
    warnings: Sequence[str]
    refused: str | None


def _refused(name: str, fault: str) -> _Row:
    return _Row(name=name, kind=None, tasks=[], n_numbers=0, found="", warnings=(), refused=fault)


def _checked_row(board: Board, name: str, identities: Identities) -> _Row:
    try:
        checked = check_entry(board, name, identities)
        board.audit(name)
    except RefusedEntry as error:
        return _refused(name, str(error))
    return {
        "name": name,
        "kind": checked.entry.kind,
        "tasks": _tasks(checked),
        "n_numbers": checked.n_numbers,
        "found": _summary(checked),
        "warnings": checked.warnings,
        "refused": None,
    }


def _tasks(checked: CheckedEntry) -> list[str]:
    entry = checked.entry
    return sorted({*entry.tasks, *(reported.task for reported in entry.reported)})


def _summary(checked: CheckedEntry) -> str:
    tasks = ", ".join(_tasks(checked))
    if checked.entry.kind == "verified":
        return f"{tasks}: all {checked.n_numbers:,} numbers follow from the ranks"
    return f"{tasks}: {count(sum(len(each.values) for each in checked.entry.reported), 'number')} that a source reports"
