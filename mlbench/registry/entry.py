"""What the registry of models says of one model, and the form of its files."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mlbench.collection.languages import check_language
from mlbench.io.toml import Declared, checked, distinct, some
from mlbench.protocols import Similarity
from mlbench.provenance import Answer, QuestionSet

Kind = Literal["dense", "image_text", "late", "sparse", "static"]
"""The scheme that opens a model."""
HubId = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
_OldName = Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
_Texts = Annotated[tuple[str, ...], AfterValidator(distinct), Field(strict=False)]
USE = ("pooling", "query_prompt", "document_prompt", "max_length", "similarity")
"""Facts that say how a model is used, under the names of the keys that `--set` takes."""
FACTS = (*USE, "dim", "parameters", "licence", "languages", "trained_on")
"""All facts that need a source."""


class Entry(Declared):
    """One model by its hub id; a fact that is not known is None or missing.

    `aliases` are its other names on the hub, some of them old ones without an owner. `pretrained` says that it is no
    retriever but what retrievers are trained from. `instruction` is the form of the queries' prompt, with `{task}`
    where a task may be described in other words than those of `query_prompt`. `max_length` is in tokens. `languages`
    are tags, or about how many there are. `trained_on` says of data sets of questions whether they are in the training
    data: `no` where the authors list these. `remote_code` says that the model is computed by code of its own. `sources`
    are where facts were read, each with the names of the facts; `unconfirmed` facts are from memory, or from nobody who
    would know.
    """

    name: HubId
    aliases: Annotated[tuple[_OldName, ...], AfterValidator(distinct), Field(strict=False)] = ()
    kind: Kind = "dense"
    pretrained: bool = False
    pooling: Literal["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"] | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    instruction: str | None = None
    max_length: Annotated[int, Field(ge=1)] | None = None
    similarity: Similarity | None = None
    dim: Annotated[int, Field(ge=1)] | None = None
    parameters: Annotated[int, Field(ge=1)] | None = None
    licence: str | None = None
    languages: (
        Annotated[tuple[Annotated[str, checked(check_language)], ...], AfterValidator(some), Field(strict=False)]
        | Annotated[int, Field(ge=2)]
        | None
    ) = None
    trained_on: dict[QuestionSet, Answer] = Field(default={})
    remote_code: bool = False
    note: str = ""
    sources: dict[str, _Texts] = Field(default={})
    unconfirmed: _Texts = ()

    @property
    def stated(self) -> tuple[str, ...]:
        """The names of the facts that it states, in the order of `FACTS`."""
        return tuple(fact for fact in FACTS if getattr(self, fact) not in (None, {}))

    @property
    def use(self) -> dict[str, str | int]:
        """The facts of `USE` that it states."""
        return {fact: getattr(self, fact) for fact in USE if fact in self.stated}

    @model_validator(mode="after")
    def _facts_have_sources(self) -> Self:
        sourced = {fact for facts in self.sources.values() for fact in facts}
        unsourced = [fact for fact in self.stated if fact not in {*sourced, *self.unconfirmed}]
        faults = [f"{fact!r} has no source and is not in unconfirmed" for fact in unsourced]
        faults += [f"{fact!r} has a source but no value" for fact in sorted(sourced - {*self.stated})]
        faults += [f"{fact!r} is unconfirmed but has no value" for fact in sorted({*self.unconfirmed} - {*self.stated})]
        if self.instruction is not None and "{task}" not in self.instruction:
            faults.append("instruction needs {task}, where the task is described")
        if faults:
            raise ValueError(f"{self.name}: {', '.join(faults)}")
        return self


class RegistryFile(Declared):
    """A file of the registry: `sources` gives each source that its entries name its title or address."""

    sources: dict[str, Annotated[str, Field(min_length=8)]] = Field(default={})
    models: Annotated[tuple[Entry, ...], AfterValidator(some), Field(strict=False)]

    @model_validator(mode="after")
    def _sources_are_there(self) -> Self:
        used = {source for entry in self.models for source in entry.sources}
        faults = [f"sources.{name}: no entry names it" for name in sorted(self.sources.keys() - used)]
        faults += [f"sources has no {name!r}, which an entry names" for name in sorted(used - self.sources.keys())]
        if faults:
            raise ValueError(", ".join(faults))
        return self

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries with their sources in full."""
        return tuple(
            entry.model_copy(update={"sources": {self.sources[name]: facts for name, facts in entry.sources.items()}})
            for entry in self.models
        )
