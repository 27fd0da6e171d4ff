"""Strict TOML: unknown keys are errors, and all faults of a file are reported at once."""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails

from mlbench.errors import DataError, FaultyDeclaration, UnknownName, UserError, suggest
from mlbench.io.untrusted import check_numbers

Items = TypeVar("Items", bound=tuple[object, ...])
_LARGEST_BYTES = 2**22


def checked(check: Callable[[str], str]) -> AfterValidator:
    """Return a validator that reports a user's error of `check` as a fault of the field."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except UserError as error:
            raise ValueError(str(error)) from error

    return AfterValidator(validate)


def known(kind: str, names: Callable[[], Collection[str]]) -> AfterValidator:
    """Return a validator that wants one of `names`, and suggests the nearest ones of that `kind` for another."""

    def check(name: str) -> str:
        if name not in names():
            raise UnknownName(kind, name, names())
        return name

    return checked(check)


def some(items: Items) -> Items:
    """Return `items`; raises `ValueError` where there are none, or one is there twice."""
    if not items:
        raise ValueError("must not be empty")
    return distinct(items)


def distinct(items: Items) -> Items:
    """Return `items`; raises `ValueError` where one is there twice."""
    # Compared, not hashed: a declared table may hold a mapping.
    twice = [item for number, item in enumerate(items) if item in items[:number]]
    if twice:
        # A file is known by its path, a task of a benchmark by its name.
        named = getattr(twice[0], "path", getattr(twice[0], "task", twice[0]))
        raise ValueError(f"{named!r:.80} is there twice")
    return items


def relative_path(path: str) -> str:
    """Return `path` in its plain form; raises `ValueError` where it does not stay inside its folder."""
    pure = PurePosixPath(path)
    outside = pure.is_absolute() or PureWindowsPath(path).drive or re.search(r"(^|/)\.\.(/|$)|[\\\0]|[^/]{256}", path)
    if outside or not pure.parts:
        raise ValueError(f"{path!r} must be a relative path that stays inside its folder, such as 'xquad-r/ar.json'")
    return str(pure)


Sorted = AfterValidator(lambda tags: tuple(sorted(some(tags))))
RelativePath = Annotated[str, AfterValidator(relative_path)]


class Declared(BaseModel):
    """A table of a TOML file: unknown keys, values of another type and numbers that cannot be saved are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _can_be_saved(cls, value: object) -> object:
        check_numbers(value)
        return value


def read_toml(path: Path, source: str, invalid: type[FaultyDeclaration]) -> dict[str, object]:
    """Return the table in the file at `path`, which the user calls `source`.

    Raises `DataError` for a file that cannot be read, and `invalid` for one that is no TOML.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError("the file is larger than 4 MiB")
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        # What is too deep to copy, or has numbers too long to print, no fault could show.
        repr(deepcopy(table))
        return table
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise invalid(source, [f"not valid TOML: {error}"]) from error


def faults_of(
    error: ValidationError, model: type[BaseModel], *, also_known: Collection[str] = (), skip: Collection[str] = ()
) -> list[str]:
    """Return one line, beginning with the path of the key, for each fault that pydantic found in a table for `model`.

    `also_known` are keys of the outermost table that `model` has not; faults of the types in `skip` are left out.
    """
    return [_fault(detail, model, also_known) for detail in error.errors() if detail["type"] not in skip]


def _fault(detail: ErrorDetails, model: type[BaseModel], also_known: Collection[str]) -> str:
    """Say in one line what pydantic found, with the path of the key."""
    steps = [step for step in detail["loc"] if step != "[key]"]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            names = [*_table_at(model, steps[:-1]).model_fields, *(also_known if len(steps) == 1 else ())]
            message = f"unknown key: {suggest(str(steps[-1]), names)}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(context["error"])
        case "literal_error":
            names = re.findall(r"'([^']*)'", context["expected"])
            message = f"unknown value {detail['input']!r:.60}: {suggest(str(detail['input']), names)}"
        case "tuple_type" | "model_type" | "dict_type" as wanted:
            form = 'list, such as ["a", "b"]' if wanted == "tuple_type" else "table"
            message = f"must be a {form}, not {detail['input']!r:.60}"
        case _:
            message = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, not {detail['input']!r:.60}"
    return f"{place}: {message}" if place else message


def _table_at(model: type[BaseModel], steps: list[int | str]) -> type[BaseModel]:
    """Return the model of the table at the end of `steps`; numbers are places in lists."""
    for step in steps:
        if isinstance(step, str) and step in model.model_fields:
            model = next(_models_in(model.model_fields[step].annotation), model)
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
