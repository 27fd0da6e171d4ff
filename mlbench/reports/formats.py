"""The formats of reports, and the files that they are written to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from mlbench.compare.document import Comparison
from mlbench.errors import UserError
from mlbench.io.atomic import write_whole
from mlbench.reports.report import Report
from mlbench.reports.writers.console import write_text
from mlbench.reports.writers.csv import write_csv
from mlbench.reports.writers.html import write_html
from mlbench.reports.writers.json import write_json
from mlbench.reports.writers.junit import write_junit
from mlbench.reports.writers.latex import write_latex
from mlbench.reports.writers.markdown import write_markdown
from mlbench.reports.writers.model_card import write_model_card
from mlbench.reports.writers.png import write_png
from mlbench.reports.writers.svg import write_svg
from mlbench.results import Result


@dataclass(frozen=True)
class Format:
    """How a report becomes a file's content, and the `suffix` of such a file's name.

    A format `to_file` is never for a terminal, and a `binary` one is no text; one that is not for `several` documents
    has one in each file. A format may be of one kind of document `only`.
    """

    suffix: str
    write: Callable[[Report], str | bytes]
    to_file: bool = False
    binary: bool = False
    several: bool = True
    only: type[BaseModel] | None = None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "console": Format(".txt", write_text),
        "markdown": Format(".md", write_markdown),
        "html": Format(".html", write_html, to_file=True),
        "csv": Format(".csv", write_csv),
        "latex": Format(".tex", write_latex),
        "json": Format(".json", write_json),
        "svg": Format(".svg", write_svg, to_file=True),
        "png": Format(".png", write_png, to_file=True, binary=True, several=False),
        "junit": Format(".xml", write_junit, only=Comparison),
        "model-card": Format(".yaml", write_model_card, only=Result),
    }
)
"""The formats by the names that `--format` takes."""


def format_of(path: Path) -> str | None:
    """Return the name of the format with the file's suffix, or None."""
    return next((name for name, each in FORMATS.items() if each.suffix == path.suffix.lower()), None)


def render(name: str, report: Report) -> bytes:
    """Return the content of a file in the format `name`.

    Raises `UserError` for a report that the format has nothing for, such as PNG for one without a heat map.
    """
    only = FORMATS[name].only
    if only is not None and not any(isinstance(document, only) for document in report.documents):
        raise UserError(f"the format {name} is of a {only.__name__.lower()} only: choose another format")
    content = FORMATS[name].write(report)
    return content.encode() if isinstance(content, str) else content


def check_files(
    paths: Sequence[Path], read: Iterable[Path], document: type[BaseModel], *, option: str = "--write"
) -> None:
    """Raise `UserError` where a file to write has no known suffix, has no folder, or is one of those that were read.

    Called before the work on a kind of `document`, so that nothing is lost by a wrong name.
    """
    sources = {path.resolve() for path in read}
    suffixes = [each.suffix for each in FORMATS.values() if each.only in (None, document)]
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise UserError(f"{option} {path}: no format has this suffix: choose among {', '.join(suffixes)}")
        if not path.parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.parent}")
        if path.resolve() in sources:
            raise UserError(f"{option} {path}: that is one of the results: name another file")


def write_files(report: Report, paths: Sequence[Path], *, option: str = "--write") -> None:
    """Write a report to files, each in the format of its suffix; the files were checked before by `check_files`."""
    for path in paths:
        save(render(str(format_of(path)), report), path, option=option)


def save(content: bytes, path: Path, *, option: str = "--output") -> None:
    """Write a file whole or not at all; raises `UserError` naming the option where that cannot be done."""
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe is written to, never replaced.
            path.write_bytes(content)
            return
        write_whole(path.resolve(), content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name another file with {option}") from error
