"""The command line: one module per command; a user's error becomes one line and an exit code.

Exit codes: 0 fine, 1 a gate failed, 2 the user's error, 3 our error, 130 interrupted, 141 the reader of a pipe left.
"""

import codecs
import errno
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from types import MappingProxyType
from typing import NoReturn

import click

from mlbench.cli.progress import Screen
from mlbench.errors import MlbenchError, UnknownName
from mlbench.version import __version__

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "Measure retrievers on tasks.",
        "compare": "Compare a candidate with its base, and stop one that is worse.",
        "index-costs": "Show what approximate indexes cost, in quality and in time.",
        "history": "Show a series of checkpoints as a table and a plot.",
        "train": "Train an encoder as a recipe says, to a checkpoint that can be measured.",
        "mine": "Find hard negatives for the rows of a recipe with a model.",
        "sweep": "Train and measure every combination of values of a recipe, and compare them.",
        "tune": "Find the weights of a fusion on a task, to be measured on other topics.",
        "tasks": "List, explain, check and download tasks.",
        "benchmarks": "List and explain benchmarks, sets of tasks with one score.",
        "models": "List and explain the kinds of retrievers.",
        "measures": "Explain every measure and bias score with its formula.",
        "verify": "Recompute every number of a result from its ranks.",
        "report": "Show results as tables, or write them in other formats; answer other pools.",
        "cache": "List and remove the vectors that earlier runs kept.",
        "leaderboard": "Check, add and show the entries of a leaderboard.",
    }
)
"""The commands with their short help, so that `mlbench --help` imports none; `run` is mlbench.cli.run.command."""

INTERRUPTED = 130
PIPE_CLOSED = 141

_ESCAPED = "mlbench-escaped"

# What the machine or the user withholds, as opposed to a path that we got wrong.
_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP})


class CommandGroup(click.Group):
    """The commands of `COMMANDS`, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that are there, in the order of `COMMANDS`."""
        return [name for name in COMMANDS if find_spec(_module_of(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, which then takes -q and -v as well; None for an unknown name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(_module_of(cmd_name)).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{_module_of(cmd_name)}.command is not a command")
        _accept_verbosity(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown name raises `UnknownName` with the nearest known ones."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the short help of the table."""
        if rows := [(name, COMMANDS[name]) for name in self.list_commands(ctx)]:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _module_of(name: str) -> str:
    return f"{__name__}.{name.replace('-', '_')}"


def _verbosity() -> list[click.Parameter]:
    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Screen), str(parameter.name), True)

    texts = {"quiet": "Print results and warnings only.", "verbose": "Show the traceback of an error."}
    return [
        click.Option([f"-{name[0]}", f"--{name}"], is_flag=True, expose_value=False, callback=remember, help=text)
        for name, text in texts.items()
    ]


def _accept_verbosity(command: click.Command) -> None:
    """Let -q and -v stand after the command as well as before it."""
    taken = {option for parameter in command.params for option in parameter.opts}
    command.params += [option for option in _verbosity() if taken.isdisjoint(option.opts)]
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _accept_verbosity(subcommand)


@click.group(
    cls=CommandGroup,
    params=_verbosity(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  mlbench run                           the default model on the task that is shipped
  mlbench run --model ./checkpoint --task xquad-r
  mlbench tasks                         what can be measured
  mlbench measures R@k                  what a number means
  eval "$(_MLBENCH_COMPLETE=bash_source mlbench)"   completion in this shell (bash, zsh, fish)""",
)
@click.version_option(__version__, prog_name="mlbench", message="%(prog)s %(version)s")
@click.pass_context
def group(context: click.Context) -> None:
    """Measure how well retrievers find answers across languages, and how fair they are between them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """Run the command line of this process and end it; what `mlbench` and `python -m mlbench` call."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, TextIOWrapper):
        codecs.register_error(_ESCAPED, _escape)
        sys.stdout.reconfigure(errors=_ESCAPED)
    if "_MLBENCH_COMPLETE" in os.environ:
        group.main(prog_name="mlbench")
    sys.exit(call(sys.argv[1:]))


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks as JSON does, so that --json stays right where stdout is ASCII."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


def call(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error ends here as one line on stderr."""
    screen = Screen()
    try:
        return _invoke(arguments, screen)
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        _abandon_stdout()
        return PIPE_CLOSED
    except (Exception, KeyboardInterrupt) as error:
        screen.close()
        if screen.verbose:
            traceback.print_exception(error)
        message, code = explain(error)
        click.echo(message, err=True)
        return code
    finally:
        screen.close()


def explain(error: BaseException) -> tuple[str, int]:
    """Return what the user is told about `error`, and the exit code.

    That is one line, but for a command called with nothing where it needs something: it answers with its help.
    """
    match error:
        case KeyboardInterrupt() | click.Abort():
            return "mlbench: interrupted; what was saved is kept", INTERRUPTED
        case click.exceptions.NoArgsIsHelpError():
            return error.format_message(), 2
        case click.UsageError(ctx=click.Context() as context):
            return _line(f"{error.format_message()} (see {context.command_path} --help)"), 2
        case click.ClickException():
            return _line(error.format_message()), 2
        case MlbenchError(exit_code=2):
            return _line(str(error)), 2
        case MemoryError():
            return _line("out of memory: measure fewer --languages at once, or use a machine with more"), 2
        case OSError(errno=number) if number in _REFUSED:
            return _line(": ".join(str(part) for part in (error.strerror, error.filename) if part)), 2
    fault = str(error) if isinstance(error, MlbenchError) else f"{type(error).__name__}: {error}"
    return _line(f"{fault} (a fault of ours: please report it with what the same command prints under -v)"), 3


def _line(message: str) -> str:
    """Write a message as one line; control characters, which names in files may hold, are shown and do nothing."""
    line = " ".join(message.split("\n"))
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return "mlbench: error: " + "".join(shown)


def _invoke(arguments: Sequence[str], screen: Screen) -> int:
    with group.make_context("mlbench", list(arguments), obj=screen) as context:
        code = group.invoke(context)
    # A pipe whose reader has left shows when it is flushed; at the interpreter's end it would be too late to be quiet.
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _abandon_stdout() -> None:
    """Let the interpreter flush what is left into nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
