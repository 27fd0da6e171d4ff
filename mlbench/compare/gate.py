"""The gate file: which worsening of a candidate stops it, declared in TOML."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from mlbench.collection.languages import Kind, full_language
from mlbench.errors import InvalidGate, UserError
from mlbench.io.toml import Declared, checked, faults_of, known, read_toml
from mlbench.measures.bias import BIAS_SCORES, topicwise
from mlbench.measures.ranked import parse

Rule = Literal["point", "significant", "non_inferior"]
"""When a drop line fails: `point` if the drop is larger than allowed; `significant` if it is significantly larger, the
adjusted one-sided p-value of what lies beyond being at most the level; `non_inferior` unless the interval excludes a
drop as large as allowed."""
PRIMARY = "primary"
"""In a gate, the primary measure of each task, whatever it is."""
MEAN, EVERY_LANGUAGE = "mean", "*"
"""In a floor, the mean of a kind and each of its query languages, in place of a language."""
BOUNDED = tuple(name for name, score in topicwise() if score.direction in ("lower", "nearer") and not score.conditional)
"""The bias scores that a gate may bound: those that are better when lower, or nearer to their ideal."""
RISING = tuple(name for name in BOUNDED if BIAS_SCORES[name].is_mean)
"""Those that it may keep from rising, or from moving away from their ideal: means over topics, which can be tested."""


def _language(name: str) -> str:
    return name if name in (MEAN, EVERY_LANGUAGE) else full_language(name)


def _name(name: str) -> str:
    return name if name == PRIMARY else parse(name).name


def _named_once(table: object) -> object:
    """Refuse two names of one measure, of which one would silently win."""
    names = dict[str, str]()
    for name in table if isinstance(table, dict) else ():
        # What is no measure is told by its own key.
        with suppress(UserError):
            other = names.setdefault(_name(str(name)), str(name))
            if other != name:
                raise ValueError(f"{other!r} and {name!r} are one measure: write one of them")
    return table


Measure = Annotated[str, checked(_name)]
Rising = Annotated[str, known("bias score that a gate keeps from rising", lambda: RISING)]
Bounded = Annotated[str, known("bias score that has a ceiling", lambda: BOUNDED)]
FloorLanguage = Annotated[str, checked(_language)]
Allowed = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Drops(Declared):
    """The largest drops of one measure: of the mean of each kind, and with `query_languages` of each row of a kind.

    Where images ask, rows are those of the captions' languages. A key that is absent, or null in flags, is not gated.
    Where kinds of settings of texts and of images are both gated, those that a task cannot have are passed over; where
    all kinds are, as by `--drop nDCG@10=0.01`, those that a task does not have.
    """

    monolingual: Allowed | None = None
    cross_lingual: Allowed | None = None
    multilingual: Allowed | None = None
    text_to_image: Allowed | None = None
    image_to_text: Allowed | None = None
    image_to_pool: Allowed | None = None
    query_languages: Allowed | None = None


class GateLines(Declared):
    """What is gated: `drop` by measure, `rise` and `ceiling` by bias score, `floor` by measure, kind and language.

    A floor's language is a tag, `mean` for the mean of the kind, or `*` for every query language.
    """

    drop: Annotated[dict[Measure, Drops], BeforeValidator(_named_once)] = Field(default_factory=dict)
    rise: dict[Rising, Allowed] = Field(default_factory=dict)
    floor: Annotated[dict[Measure, dict[Kind, dict[FloorLanguage, Bound]]], BeforeValidator(_named_once)] = Field(
        default_factory=dict
    )
    ceiling: dict[Bounded, Bound] = Field(default_factory=dict)


class Gate(GateLines):
    """A gate: its lines hold for every task, those under `[task.NAME]` replace entries of the same name for one.

    `level` bounds the chance that a candidate which is worse by no more than is allowed fails any drop line of the
    whole gate under the rule `significant`. `required_tasks` must be there on both sides.
    """

    rule: Rule = "significant"
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    required_tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    task: dict[str, GateLines] = Field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """That of the intervals shown beside the lines; under `non_inferior` each of their sides holds at the level."""
        return 1 - (2 if self.rule == "non_inferior" else 1) * self.level


DEFAULT = Gate(
    drop={PRIMARY: Drops.model_validate(dict.fromkeys(Drops.model_fields, 0.005))},
    rise={"own_language_preference": 0.005},
)
"""What holds without a gate file."""


def load_gate(path: Path | None, changes: Mapping[tuple[str, ...], object] | None = None) -> Gate:
    """Return the gate in a TOML file, with the `changes` that options make at the paths of their keys.

    Without a file these alone are the gate. One that declares no lines has those of `DEFAULT`. Raises `DataError` for a
    file that cannot be read, and `InvalidGate` with all faults at once.
    """
    table = read_toml(path, str(path), InvalidGate) if path else {}
    for keys, value in (changes or {}).items():
        _put(table, keys, value)
    source = " with ".join([*([str(path)] if path else []), *(["the options"] if changes else [])])
    try:
        gate = Gate.model_validate(table)
    except ValidationError as error:
        raise InvalidGate(source, faults_of(error, Gate)) from error
    return gate if _has_lines(gate) else gate.model_copy(update={"drop": DEFAULT.drop, "rise": DEFAULT.rise})


def _put(table: dict[str, object], keys: tuple[str, ...], value: object) -> None:
    """Set a value at the path of its keys; a list is added to the one there."""
    *outer, last = keys
    for key in outer:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            # A fault of the file, which is told with the others.
            return
        table = inner
    there = table.get(last)
    table[last] = [*there, *value] if isinstance(there, list) and isinstance(value, list) else value


def _has_lines(gate: Gate) -> bool:
    return any(each.drop or each.rise or each.floor or each.ceiling for each in (gate, *gate.task.values()))
