"""`mlbench cache`: the vectors, counts and graphs that runs kept, what trainings made of data, and downloaded data."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import click

from mlbench.cli.options import json_option
from mlbench.cli.progress import console
from mlbench.evaluation.cache_contents import (
    CachedItem,
    CachedVectors,
    cached_items,
    downloaded_data,
    remove,
    to_remove,
)
from mlbench.io.cache import CHECKS, GRAPHS, STREAMS, TRAINING, cache_dir

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(h|d|w)", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_UNKNOWN = "(not known)"


def _age(context: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    match = _AGE.fullmatch(text.strip()) if text is not None else None
    if text is not None and match is None:
        raise click.BadParameter(f"{text!r} is no age: write 12h, 30d or 8w")
    try:
        return timedelta(hours=float(match[1]) * _HOURS[match[2].lower()]) if match else None
    except OverflowError as error:
        raise click.BadParameter(f"{text!r} is longer than any cache is old") from error


def _bytes(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no size: write 500MB or 2GB")
    power = [unit.lower() for unit in _UNITS].index(match[2].lower())
    try:
        amount: float = float(match[1]) * _THOUSAND**power
        return round(amount)
    except OverflowError as error:
        raise click.BadParameter(f"{text!r} is larger than any cache") from error


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  mlbench cache
  mlbench cache list --json
  mlbench cache prune --older-than 30d
  mlbench cache prune --larger-than 2GB --yes""",
)
@click.pass_context
def command(context: click.Context) -> None:
    """List and remove what earlier runs and trainings kept; without a command, list it.

    It is in the folder that $MLBENCH_CACHE names, or in the platform's. A model whose vectors were removed encodes
    its texts again, one whose graph was removed is made into it again, a training makes its data ready again, a corpus
    whose counts were removed is read again, and an entry whose check was removed is recomputed.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List kept vectors, counts, graphs, training data and checks, last used first, and downloaded data.

    \b
    Example: mlbench cache list --json
    """
    cache = cache_dir()
    data, kinds = downloaded_data(cache), cached_items(cache)
    if as_json:
        found = {"folder": str(cache), **kinds, "data": data}
        click.echo(json.dumps(found, default=lambda part: part.model_dump(mode="json"), ensure_ascii=False, indent=1))
        return
    if not any((*kinds.values(), data)):
        click.echo(f"nothing is kept in {cache}")
        return
    _print_items([each for kept in kinds.values() for each in kept])
    if data:
        rows = [(entry.folder.name, f"{entry.files:,}", size(entry.bytes), ", ".join(entry.tasks)) for entry in data]
        _print_table({"data": "left", "files": "right", "size": "right", "read by": "left"}, rows)
    sums = {name: sum(each.bytes for each in kept) for name, kept in kinds.items()}
    sums["data"] = sum(entry.bytes for entry in data)
    totals = ", ".join(f"{name} {size(total)}" for name, total in sums.items())
    click.echo(f"{totals}, in {cache}")


@command.command()
@click.option("--older-than", callback=_age, metavar="AGE", help="What was not used for so long, such as 12h, 30d, 8w.")
@click.option(
    "--larger-than",
    callback=_bytes,
    metavar="SIZE",
    help="The least recently used, until the rest is no larger, such as 500MB, 2GB.",
)
@click.option("--all", "everything", is_flag=True, help="All vectors, counts, graphs, training data and checks.")
@click.option("--yes", is_flag=True, help="Remove them; without it they are only shown.")
def prune(older_than: timedelta | None, larger_than: int | None, everything: bool, yes: bool) -> None:
    """Remove kept vectors, counts, graphs, training data and checks; without --yes only show which.

    Downloaded data stay, as does every file that mlbench did not put there. A run that is going on encodes again what
    it misses.

    \b
    Example: mlbench cache prune --older-than 30d --yes
    """
    if older_than is None and larger_than is None and not everything:
        raise click.UsageError("say what may go: --older-than 30d, --larger-than 2GB or --all")
    cache = cache_dir()
    items = [each for kept in cached_items(cache).values() for each in kept]
    before = None if older_than is None else _ago(older_than)
    chosen = to_remove(items, before=before, most_bytes=0 if everything else larger_than)
    if not chosen:
        click.echo(f"nothing to remove: {len(items)} kept, {size(sum(each.bytes for each in items))}")
        return
    _print_items(chosen)
    amount = f"{len(chosen)} of {len(items)} kept, {size(sum(each.bytes for each in chosen))}"
    if not yes:
        click.echo(f"would remove {amount}: add --yes to do it")
        return
    for each in chosen:
        remove(each)
    click.echo(f"removed {amount}")


def size(n_bytes: int) -> str:
    """Return a size for people: `0 B`, `12 kB`, `3.4 MB`, `1.2 GB`."""
    amount, unit = float(n_bytes), 0
    while round(amount, 1) >= _THOUSAND and unit < len(_UNITS) - 1:
        amount, unit = amount / _THOUSAND, unit + 1
    return f"{amount:,.{0 if unit < 2 else 1}f} {_UNITS[unit]}"


def _ago(age: timedelta) -> datetime:
    now = datetime.now(UTC)
    # Nothing is older than the calendar.
    return now - min(age, now - datetime.min.replace(tzinfo=UTC))


def _print_items(items: Sequence[CachedItem]) -> None:
    stores = [each for each in items if isinstance(each, CachedVectors)]
    if stores:
        _print_vectors(stores)
    for title, kind in (("stream", STREAMS), ("graph", GRAPHS), ("training", TRAINING), ("check", CHECKS)):
        own = [each for each in items if each.folder.parent.name == kind]
        rows = [(each.folder.name, size(each.bytes), _date(each.last_used)) for each in own]
        if rows:
            _print_table({title: "left", "size": "right", "last used": "left"}, rows)


def _date(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _print_vectors(stores: Sequence[CachedVectors]) -> None:
    columns: dict[str, Literal["left", "right"]] = {
        "retriever": "left",
        "vectors": "right",
        "dim": "right",
        "size": "right",
        "last used": "left",
    }
    rows = [
        (
            store.retriever or _UNKNOWN,
            f"{store.vectors:,}",
            "" if store.dim is None else f"{store.dim:,}",
            size(store.bytes),
            _date(store.last_used),
            store.key[:12],
        )
        for store in stores
    ]
    _print_table({**columns, "key": "left"}, rows)


def _print_table(columns: Mapping[str, Literal["left", "right"]], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, side in columns.items():
        # What names a thing may be long; it is folded, and numbers stay whole.
        table.add_column(title, justify=side, no_wrap=title != "retriever", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
