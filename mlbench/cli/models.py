"""`mlbench models`: the kinds of retrievers, and the keys that each takes."""

import inspect
import json
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypedDict, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlbench import entry_points, members
from mlbench.cli.options import json_option
from mlbench.cli.progress import console
from mlbench.errors import UserError
from mlbench.open_model import load_scheme
from mlbench.protocols import ModelLoader


class Key(TypedDict):
    """What `--set` takes; `default` is as it would be written there, None where the key is required or unset."""

    key: str
    type: str
    default: str | None
    required: bool
    description: str


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  mlbench models
  mlbench models show dense
  mlbench models list --json
  mlbench models quantise ./checkpoint ./small""",
)
@click.pass_context
def command(context: click.Context) -> None:
    """List and explain the kinds of retrievers; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@json_option
def list_(as_json: bool = False) -> None:
    """List what may stand before the colon in `--model SCHEME:PATH_OR_ID`.

    \b
    Example: mlbench models list --json
    """
    rows = [summary(name) for name in entry_points.names(entry_points.RETRIEVERS)]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("scheme", "what", "package", "installed"):
        table.add_column(heading, no_wrap=heading in ("scheme", "package"))
    for row in rows:
        missing = f"no: pip install '{row['package']}[{row['extra']}]'" if row["extra"] else "no"
        table.add_row(
            str(row["scheme"]), str(row["summary"]), str(row["package"]), "yes" if row["installed"] else missing
        )
    console().print(table)


@command.command()
@click.argument("scheme")
@json_option
def show(scheme: str, as_json: bool) -> None:
    """Explain a kind of retriever: the keys that it takes with `--set KEY=VALUE`, and its default model.

    \b
    Example: mlbench models show dense
    """
    loaded = load_scheme(scheme)
    keys = keys_of(loaded.Settings)
    example = f"mlbench run --model {members.example_of(loaded) or scheme + ':PATH_OR_ID'}"
    packaged = members.packaged(loaded)
    if as_json:
        shown = {**summary(scheme), "packaged": packaged, "keys": keys, "example": example}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo(f"{scheme}: {_first_line(loaded)}\n")
    if packaged is not None:
        click.echo(f"Without a path or hub id, the default model: {packaged}\n")
    _print(keys)
    click.echo(f"Example: {example}")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
def quantise(folder: Path, target: Path) -> None:
    """Write a static checkpoint with rows of int8, a quarter of the size, for `static` alone.

    \b
    Example: mlbench models quantise checkpoints/static-cross small
    """
    from mlbench.retrievers import static_checkpoint

    static_checkpoint.quantise(folder, target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    click.echo(f"{target}: {size / 1e6:.1f} MB; measure it: mlbench run --model {target}")


def summary(name: str) -> dict[str, str | bool | None]:
    """Return name, first docstring line, package and extra of a scheme, and whether its libraries are installed.

    A plugin that cannot be imported is not installed, and its summary is the fault.
    """
    package = entry_points.origin(entry_points.RETRIEVERS, name)
    try:
        scheme = load_scheme(name)
    except UserError as error:
        return {"scheme": name, "summary": str(error), "package": package, "extra": None, "installed": False}
    installed = all(find_spec(library) is not None for library in members.libraries_of(scheme))
    return {
        "scheme": name,
        "summary": _first_line(scheme),
        "package": package,
        "extra": members.extra_of(scheme),
        "installed": installed,
    }


def keys_of(settings: type[BaseModel]) -> list[Key]:
    """Return the keys of a scheme in the order of their definition; a scheme without keys gives none."""
    return [_key(name, field) for name, field in settings.model_fields.items()]


def _key(name: str, field: FieldInfo) -> Key:
    default = None if field.is_required() or field.default is None else str(field.default)
    return {
        "key": name,
        "type": _type(field.annotation),
        "default": default,
        "required": field.is_required(),
        "description": field.description or "",
    }


def _type(annotation: object) -> str:
    """Return what may be written: the choices of a Literal, else the names of the types; None is left out."""
    if get_origin(annotation) is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return "|".join(_type(part) for part in get_args(annotation) if part is not NoneType)
    return str(getattr(annotation, "__name__", annotation))


def _first_line(scheme: ModelLoader) -> str:
    return (inspect.getdoc(scheme) or "").partition("\n")[0]


def _print(keys: list[Key]) -> None:
    from rich.table import Table

    if not keys:
        click.echo("It takes no keys.\n")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "type", "default", "description"):
        table.add_column(heading, no_wrap=heading == "key")
    for key in keys:
        default = "required" if key["required"] else key["default"] or ""
        table.add_row(key["key"], key["type"], default, key["description"])
    console().print(table)
    click.echo()
