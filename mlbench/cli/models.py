"""`mlbench models`: the kinds of retrievers and the keys that each takes, and the models that the registry knows."""

import inspect
import json
from collections.abc import Mapping
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
from mlbench.errors import UnknownName, UserError
from mlbench.open_model import load_scheme
from mlbench.protocols import ModelLoader
from mlbench.provenance import QUESTION_SETS
from mlbench.registry.entry import FACTS, Entry
from mlbench.registry.find import entries, look_up, read_entries

registry_option = click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with more models, or other facts of known ones.",
)


_NUMBERS = ("dimensions", "parameters", "tokens", "languages")


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
  mlbench models known
  mlbench models show intfloat/multilingual-e5-base
  mlbench models quantise ./checkpoint ./small""",
)
@click.pass_context
def command(context: click.Context) -> None:
    """List and explain the kinds of retrievers, and known models; without a command, list the kinds."""
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
@registry_option
@json_option
def known(registry: Path | None, as_json: bool) -> None:
    """List the models whose use, training data and licence are known.

    \b
    Example: mlbench models known
    """
    found = _entries(registry)
    if as_json:
        click.echo(
            json.dumps([entry.model_dump(mode="json") for entry in found.values()], indent=2, ensure_ascii=False)
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "kind", "dimensions", "parameters", "tokens", "languages", "licence"):
        table.add_column(heading, no_wrap=heading != "licence", justify="right" if heading in _NUMBERS else "left")
    for entry in found.values():
        size = "" if entry.parameters is None else f"{entry.parameters / 1e6:,.0f} M"
        numbers = [str(entry.dim or ""), size, str(entry.max_length or ""), _languages(entry, brief=True)]
        table.add_row(entry.name, entry.kind, *numbers, entry.licence or "")
    console().print(table)


@command.command()
@click.argument("name")
@registry_option
@json_option
def show(name: str, registry: Path | None, as_json: bool) -> None:
    """Explain a kind of retriever, with the keys that it takes with `--set KEY=VALUE`, or a known model.

    \b
    Example: mlbench models show dense
    """
    schemes = entry_points.names(entry_points.RETRIEVERS)
    if name in schemes:
        _show_scheme(name, as_json=as_json)
        return
    found = _entries(registry)
    try:
        _show_entry(look_up(name, found), as_json=as_json)
    except UnknownName:
        raise UnknownName("model or kind of retriever", name, [*schemes, *found]) from None


def _show_scheme(scheme: str, *, as_json: bool) -> None:
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


def _show_entry(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(entry.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    what = "pre-trained model, no retriever" if entry.pretrained else f"{entry.kind} retriever"
    click.echo(f"{entry.name}: {what}\n")
    table = Table(box=None, pad_edge=False)
    for heading in ("fact", "value", "source"):
        table.add_column(heading, no_wrap=heading != "value", overflow="fold")
    for fact, value in _facts(entry).items():
        sources = [f"[{n}]" for n, facts in enumerate(entry.sources.values(), 1) if fact in facts]
        table.add_row(fact, escape(value), escape(" ".join(sources)) if sources else "not confirmed")
    console().print(table)
    click.echo("".join(f"\n[{n}] {source}" for n, source in enumerate(entry.sources, 1)))
    doubtful = [fact for facts in entry.sources.values() for fact in facts if fact in entry.unconfirmed]
    notes = [f"Not confirmed by its authors: {', '.join(dict.fromkeys(doubtful))}."] if doubtful else []
    if entry.instruction is not None:
        notes.append(f"A task is described to it by query_prompt={entry.instruction!r}.")
    code = " --trust-remote-code" if entry.remote_code else ""
    scheme = "" if entry.kind == "dense" else f"{entry.kind}:"
    notes += filter(None, [entry.note, f"Example: mlbench run --model {scheme}{entry.name}{code}"])
    click.echo("".join(f"\n{note}" for note in notes))


def _facts(entry: Entry) -> dict[str, str]:
    """Return the facts that an entry states as they are shown, in the order of `FACTS`."""
    answers = ", ".join(f"{QUESTION_SETS[name]}: {answer}" for name, answer in sorted(entry.trained_on.items()))
    count = "" if entry.parameters is None else f"{entry.parameters:,}"
    shown = {"trained_on": answers, "languages": _languages(entry), "parameters": count}
    shown |= {fact: repr(getattr(entry, fact)) for fact in ("query_prompt", "document_prompt")}
    return {fact: shown.get(fact) or str(getattr(entry, fact)) for fact in FACTS if fact in entry.stated}


def _languages(entry: Entry, *, brief: bool = False) -> str:
    if isinstance(entry.languages, tuple):
        return str(len(entry.languages)) if brief else ", ".join(entry.languages)
    return "" if entry.languages is None else f"about {entry.languages}"


def _entries(registry: Path | None) -> Mapping[str, Entry]:
    return entries(read_entries(registry) if registry else ())


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
