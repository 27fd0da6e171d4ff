"""The static site: pages that read without scripts, a data file for each entry, and small scripts that draw them."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mlbench.atomic import whole_folder
from mlbench.leaderboard.columns import MEASURES, title
from mlbench.leaderboard.entries import Entry
from mlbench.leaderboard.evidence import gather
from mlbench.leaderboard.overview import SHORT, overview
from mlbench.leaderboard.standings import Measured, Shown, standings
from mlbench.paired import FLIPS
from mlbench.ranks import Ranks
from mlbench.results import Result
from mlbench.version import __version__

_SIZES = (
    ("", "any"),
    ("10e6", "up to 10 M"),
    ("150e6", "up to 150 M"),
    ("600e6", "up to 600 M"),
    ("2e9", "up to 2,000 M"),
    ("unknown", "unknown"),
)


def shown(name: str, entry: Entry, pairs: Mapping[str, tuple[Result, Ranks]]) -> Shown:
    """Return a checked entry as the site shows it; `pairs` are its results and ranks by task, none if reported."""
    return Shown(
        name, entry, {task: Measured(result, gather(result, ranks)) for task, (result, ranks) in pairs.items()}
    )


def build(entries: Sequence[Shown], folder: Path, *, flips: int = FLIPS) -> None:
    """Write the site to `folder`, whole or not at all; the same entries give the same bytes. Raises `OSError`."""
    with whole_folder(folder, "") as unfinished:
        for name, text in pages(entries, flips=flips):
            path = unfinished / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        for asset in sorted(files("mlbench.leaderboard").joinpath("assets").iterdir(), key=lambda each: each.name):
            path = unfinished / "assets" / asset.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(asset.read_bytes())


def pages(entries: Sequence[Shown], *, flips: int = FLIPS) -> Iterator[tuple[str, str]]:
    """Yield path and text of every page and data file."""
    environment = Environment(
        loader=PackageLoader("mlbench.leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    every = standings(entries, flips=flips)
    yield (
        "index.html",
        environment.get_template("overview.html").render(
            root="",
            page="index",
            version=__version__,
            parts=[overview(each) for each in every],
            tasks=[*((each.task, each.task) for each in every), ("all", "all")],
            measures=[*((measure, title(measure)) for measure in MEASURES), ("all", "all")],
            kinds=[("", "all"), *SHORT.items()],
            sizes=_SIZES,
        ),
    )
