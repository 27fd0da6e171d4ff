"""Entries of a leaderboard: folders with verified results and their ranks, or with numbers that a paper reports."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlbench.languages import Kind

SCHEMA_VERSION = 1
ENTRY_FILE = "entry.json"
"""In the folder of every entry; a verified one has `TASK.json` and `TASK.ranks.npz` for each of its tasks beside it."""

NAME = r"^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$"
"""What an entry and its folder may be called."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReportedValue(_Part):
    """A number as a source gives it: a measure's mean over a kind of settings, or without a kind a bias score.

    With a `query_language`, only of the settings that ask in it.
    """

    name: str
    kind: Kind | None
    query_language: str | None
    value: float


class ReportedTask(_Part):
    """What a source reports for one task; `unstated` are the parts of the protocol that it leaves open.

    `aggregation` is how means were made: macro means over settings and micro means over queries never share a column.
    `document_text` is what a document was, null where unstated.
    """

    task: str
    aggregation: Literal["macro", "micro"]
    document_text: str | None
    unstated: tuple[str, ...]
    values: tuple[ReportedValue, ...]


class Entry(_Part):
    """One row of the leaderboard; everything but `tasks` and `reported` is what the submitter says.

    `parameters` counts the weights; `source` is where reported numbers are from. A verified entry has `tasks`, a
    reported one `source` and `reported`.
    """

    schema_version: Literal[1] = 1
    kind: Literal["verified", "reported"]
    title: str
    summary: str = ""
    url: str | None = None
    licence: str | None = None
    parameters: Annotated[int, Field(ge=0)] | None = None
    tasks: tuple[str, ...] = ()
    source: str | None = None
    reported: tuple[ReportedTask, ...] = ()
