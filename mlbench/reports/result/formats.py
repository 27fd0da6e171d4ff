"""The formats of `mlbench report`, and the files they are written to."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rich.console import Console, Group, RenderableType
from rich.rule import Rule

from mlbench.errors import UserError
from mlbench.io.atomic import write_whole
from mlbench.reports.formatting import harmless
from mlbench.reports.result.console import console_report, header
from mlbench.reports.result.csv import csv_pools, csv_report
from mlbench.reports.result.latex import latex_report
from mlbench.reports.result.markdown import markdown_pools, markdown_report
from mlbench.reports.result.model_card import model_card_report
from mlbench.reports.result.page import html_report
from mlbench.reports.result.png import png_report
from mlbench.reports.result.pool import PoolTable
from mlbench.reports.result.tables import compare
from mlbench.results import Result
from mlbench.statistics.pool import PoolAnswer

_FILE_WIDTH = 120


@dataclass(frozen=True)
class Format:
    """How results, and the answers of pools where the format has them, become a file's content.

    `suffix` is that of a file's name; a format `to_file` is written beside the result where no file is named,
    one for each result unless it takes `several`.
    """

    suffix: str
    report: Callable[[Sequence[Result], str | None], str | bytes]
    pools: Callable[[Sequence[Result], Sequence[PoolAnswer]], str] | None = None
    to_file: bool = False
    several: bool = True


def console_reports(results: Sequence[Result], *, measure: str | None = None, full: bool = True) -> RenderableType:
    """Return one report, or several below a table across them; without `full`, several are that table alone."""
    reports = [console_report(result, measure=measure) for result in results]
    if len(results) == 1:
        return reports[0]
    parts = [part for report in reports for part in (Rule(style="dim"), report)] if full else []
    return Group(compare(results, measure=measure), *parts)


def console_pools(results: Sequence[Result], answers: Sequence[PoolAnswer]) -> RenderableType:
    """Return the answers of pools, each from the result in the same place."""
    parts: list[RenderableType] = []
    for result, answer in zip(results, answers, strict=True):
        parts += [*([Rule(style="dim")] if parts else []), header(result)[0], PoolTable(answer)]
    return Group(*parts)


def as_text(report: RenderableType) -> str:
    """Return what a console without colours would show."""
    console = Console(file=io.StringIO(), width=_FILE_WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(report)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _model_card(results: Sequence[Result], measure: str | None) -> str:
    if measure is not None:
        raise UserError("a model card has all measures: leave out --measure")
    return model_card_report(results)


def _png(results: Sequence[Result], measure: str | None) -> bytes:
    if len(results) > 1:
        raise UserError("a PNG figure shows one result: leave out --output to get one beside each")
    return png_report(results[0], measure=measure)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "console": Format(
            ".txt",
            lambda results, measure: as_text(console_reports(results, measure=measure)),
            lambda results, answers: as_text(console_pools(results, answers)),
        ),
        "markdown": Format(".md", lambda results, measure: markdown_report(results, measure=measure), markdown_pools),
        "html": Format(".html", lambda results, measure: html_report(results, measure=measure), to_file=True),
        "csv": Format(".csv", lambda results, measure: csv_report(results, measure=measure), csv_pools),
        "latex": Format(".tex", lambda results, measure: latex_report(results, measure=measure)),
        "png": Format(".png", _png, to_file=True, several=False),
        "model-card": Format(".yaml", _model_card),
    }
)
"""The formats by the names that `--format` takes."""


def format_of(path: Path) -> str | None:
    """Return the name of the format with the file's suffix, or None."""
    return next((name for name, each in FORMATS.items() if each.suffix == path.suffix.lower()), None)


def render(name: str, results: Sequence[Result], *, measure: str | None = None) -> bytes:
    """Return the content of a file in the format `name`; what could act unseen in a name is made visible first."""
    content = FORMATS[name].report([harmless(result) for result in results], measure)
    return content.encode() if isinstance(content, str) else content


def render_pools(name: str, results: Sequence[Result], answers: Sequence[PoolAnswer]) -> bytes:
    """Return the same for the answers of pools; raises `UserError` for a format that has none."""
    write = FORMATS[name].pools
    if write is None:
        able = ", ".join(each for each, known in FORMATS.items() if known.pools)
        raise UserError(f"the format {name} has no pools: leave out --pool, or choose among {able}")
    return write([harmless(result) for result in results], answers).encode()


def save(content: bytes, path: Path, *, option: str = "--output") -> None:
    """Write a file whole or not at all; raises `UserError` where that cannot be done, for whoever gave the option."""
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe is written to, never replaced.
            path.write_bytes(content)
            return
        write_whole(path.resolve(), content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name another file with {option}") from error
