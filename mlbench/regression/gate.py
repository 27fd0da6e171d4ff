"""The gate file: which worsening of a candidate stops it, declared in TOML."""

from typing import Annotated, Literal

from pydantic import Field

from mlbench.declarations import Declared
from mlbench.languages import Kind

Rule = Literal["point", "significant", "non_inferior"]
"""When a drop line fails: `point` if the drop is larger than allowed; `significant` if it is that and the adjusted
one-sided p-value is at most the level; `non_inferior` unless the interval excludes a drop as large as allowed."""

PRIMARY = "primary"
"""In a gate, the primary measure of each task, whatever it is."""

Allowed = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Drops(Declared):
    """The largest drops of one measure: of the mean of each kind, and with `query_languages` of each row of a kind.

    A key that is absent, or null in flags, is not gated.
    """

    monolingual: Allowed | None = None
    cross_lingual: Allowed | None = None
    multilingual: Allowed | None = None
    query_languages: Allowed | None = None


class Lines(Declared):
    """What is gated: `drop` by measure, `rise` and `ceiling` by bias score, `floor` by measure, kind and language.

    A floor's language is a tag, `mean` for the mean of the kind, or `*` for every query language.
    """

    drop: dict[str, Drops] = Field(default_factory=dict)
    rise: dict[str, Allowed] = Field(default_factory=dict)
    floor: dict[str, dict[Kind, dict[str, Bound]]] = Field(default_factory=dict)
    ceiling: dict[str, Bound] = Field(default_factory=dict)


class Gate(Lines):
    """A gate: its lines hold for every task, those under `[task.NAME]` replace entries of the same name for one.

    `level` bounds the chance that a candidate which is not worse fails any drop line of the whole gate under the rule
    `significant`. `required_tasks` must be there on both sides.
    """

    rule: Rule = "significant"
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    required_tasks: tuple[str, ...] = ()
    task: dict[str, Lines] = Field(default_factory=dict)


DEFAULT = Gate(
    drop={PRIMARY: Drops(monolingual=0.005, cross_lingual=0.005, multilingual=0.005, query_languages=0.005)},
    rise={"own_language_preference": 0.005},
)
"""What holds without a gate file."""
