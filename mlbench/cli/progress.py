"""What a command shows while it works, on stderr, and the console that its results go to, on stdout."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    from mlbench.protocols import Progress


WARNING = "warning"
"""A note that begins with this word is shown even under --quiet."""
_UNITS = {
    "open": "models",
    "encode": "texts",
    "encode images": "images",
    "rank": "queries",
    "scan": "shards",
    "stream": "documents",
    "download": "bytes",
    "prepare": "texts",
    "look": "rows",
    "check": "images",
    "check entries": "entries",
    "write": "entries",
    "unpack": "images",
    "learn": "texts",
    "cut": "texts",
    "train": "steps",
    "count": "batches",
    "draw": "images",
}
_PIPED_WIDTH = 160
# What is slower in a second would be written as 0.0.
_SLOWEST = 0.05


@dataclass
class Screen:
    """How much the user wants to see; commands get it by `pass_screen`.

    `quiet` leaves results and warnings only, `verbose` adds the traceback of an error.
    """

    quiet: bool = False
    verbose: bool = False
    _bars: list["Bars"] = field(default_factory=list)

    def progress(self) -> "Progress":
        """Return what draws the progress of a run: bars on a terminal, else a plain line every few seconds."""
        if self.quiet:
            return Warnings()
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return PlainProgress()
        self._bars.append(Bars())
        return self._bars[-1]

    def close(self) -> None:
        """Give the terminal back: no bar is left running, the cursor is visible again."""
        for bars in self._bars:
            bars.finish()


pass_screen = click.make_pass_decorator(Screen, ensure=True)


def console() -> "Console":
    """Return the console for results: stdout, without colour when piped or under NO_COLOR.

    Text is printed as it is: square brackets are no markup. Piped tables may be 160 columns wide unless $COLUMNS says
    otherwise. Long lines are wrapped, so JSON belongs into `click.echo`. Raises `BrokenPipeError` as `print` does.
    """
    from rich.console import Console

    class ResultConsole(Console):
        def on_broken_pipe(self) -> None:
            # Rich would exit with 1, the code of a failed gate.
            raise BrokenPipeError

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return ResultConsole(markup=False, highlight=False, emoji=False, width=width)


# No `Silence` of the protocols, which bring numpy: `mlbench --help` does without.
class Warnings:
    """A `Progress` that says nothing but warnings."""

    def start(self, phase: str, total: int) -> None:
        """Ignore it."""

    def advance(self, done: int) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Print `message` if it is a warning."""
        if message.lower().startswith(WARNING):
            click.echo(message, err=True)


class Pace:
    """How far a phase is and how fast it goes, over the last two minutes.

    A `total` of 0 is not known, as of a download without its size; `clock` counts in seconds.
    """

    window = 120.0

    def __init__(self, phase: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.phase, self.total, self.done = phase, total, 0
        self._unit = _UNITS.get(phase) or _UNITS.get(phase.partition(" ")[0], "")
        self._clock = clock
        self._begin = clock()
        self._marks = deque([(self._begin, 0)])

    def advance(self, done: int) -> None:
        """Add `done` units."""
        self.done += done
        now = self._clock()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and self._marks[1][0] <= now - self.window:
            self._marks.popleft()

    def rate(self) -> float | None:
        """Return units per second, or None before the first advance."""
        (begin, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - begin) if end > begin else None

    def now(self) -> str:
        """Say how far it is, such as `1,024 of 26,104 texts, 82 texts/s, 5 min 6 s left`."""
        rate = self.rate()
        parts = [f"{self._number(self.done)} of {self._amount(self.total)}" if self.total else self._amount(self.done)]
        if rate and rate >= _SLOWEST:
            parts.append(f"{self._amount(rate)}/s")
        if rate and self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)

    def whole(self) -> str:
        """Say what it was in the end, such as `26,104 texts in 5 min 18 s, 82 texts/s`."""
        seconds = self._clock() - self._begin
        rate = self.done / seconds if seconds > 0 else 0.0
        pace = f", {self._amount(rate)}/s" if rate >= _SLOWEST else ""
        return f"{self._amount(self.done)} in {duration(seconds)}{pace}"

    def _amount(self, number: float) -> str:
        noun = "MB" if self._unit == "bytes" else self._unit
        return f"{self._number(number)} {noun}".rstrip()

    def _number(self, number: float) -> str:
        if self._unit == "bytes":
            return f"{number / 1e6:,.1f}"
        # A slow model on a slow machine encodes less than one text in a second.
        return f"{number:,.1f}" if number < 10 and number != int(number) else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Return a time span for people: `0.4 s`, `12 s`, `5 min 6 s`, `2 h 3 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class PlainProgress:
    """A `Progress` of plain lines for logs: one at most every `every` seconds, and one at the end of each phase."""

    def __init__(
        self, stream: TextIO | None = None, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._every, self._clock = stream, every, clock
        self._pace: Pace | None = None
        self._last = 0.0

    def start(self, phase: str, total: int) -> None:
        """Begin `phase`, ending the one before."""
        self.finish()
        self._pace = Pace(phase, total, self._clock)
        self._last = self._clock()

    def advance(self, done: int) -> None:
        """Add `done` units; print a line if the last one is old enough."""
        if self._pace is None:
            return
        self._pace.advance(done)
        if self._clock() - self._last >= self._every:
            self._last = self._clock()
            self.note(f"{self._pace.phase}: {self._pace.now()}")

    def finish(self) -> None:
        """Print what the phase took."""
        if self._pace is not None:
            self.note(f"{self._pace.phase}: {self._pace.whole()}")
            self._pace = None

    def note(self, message: str) -> None:
        """Print `message`."""
        click.echo(message, file=self._stream, err=self._stream is None)


class Bars:
    """A `Progress` of bars on a terminal, one for each phase; a finished one stays, with what it took."""

    def __init__(self, console: "Console | None" = None) -> None:
        self._console = console
        self._pace: Pace | None = None
        self._live: RichProgress | None = None

    def start(self, phase: str, total: int) -> None:
        """Begin `phase`, ending the one before."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self.finish()
        self._pace = Pace(phase, total)
        # The spinner turns while a slow model works on one batch and nothing else moves.
        columns = (
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
        )
        self._live = Progress(*columns, console=self._screen())
        self._live.add_task(phase, total=total or None, pace=self._pace.now())
        self._live.start()

    def advance(self, done: int) -> None:
        """Add `done` units to the bar."""
        if self._live is not None and self._pace is not None:
            self._pace.advance(done)
            self._live.update(self._live.task_ids[0], advance=done, pace=self._pace.now())

    def finish(self) -> None:
        """Leave the bar as it is, with what the phase took."""
        if self._live is not None and self._pace is not None:
            self._live.update(self._live.task_ids[0], pace=self._pace.whole())
            self._live.stop()
        self._live = self._pace = None

    def note(self, message: str) -> None:
        """Print `message` above the bar."""
        from rich.text import Text

        style = "yellow" if message.lower().startswith(WARNING) else ""
        self._screen().print(Text(message, style), soft_wrap=True)

    def _screen(self) -> "Console":
        from rich.console import Console

        if self._console is None:
            self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        return self._console
