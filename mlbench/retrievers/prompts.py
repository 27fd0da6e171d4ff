"""Prompts: what stands before the texts of a role, as it is given, chosen by name, or saved in the checkpoint."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from mlbench.errors import RetrieverError
from mlbench.protocols import Role

# Names under which checkpoints save the prompt of a role, in the order in which the library's encode_query and
# encode_document try them; an empty prompt counts as none.
_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
_TEXTS: dict[Role, str] = {"query": "queries", "document": "documents"}
_PLACEHOLDER = re.compile(r"\{\w*\}")


class PromptSettings(BaseModel):
    """Keys that choose prompts; what is not set comes from the checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query_prompt: str | None = Field(default=None, description="put before each query, with its blank, as in 'query: '")
    document_prompt: str | None = Field(default=None, description="put before each document, as in 'passage: '")
    query_prompt_name: str | None = Field(
        default=None, description="name of the saved prompt that is put before each query"
    )
    document_prompt_name: str | None = Field(default=None, description="name of the saved prompt for documents")


@dataclass(frozen=True)
class Prompts:
    """The prompt of each role, and in one line each what a user should know of the choice."""

    texts: dict[Role, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Choice:
    """The prompt of one role: `asked` where the user gave or named it, `name` where it is a saved one."""

    role: Role
    text: str
    asked: bool = False
    name: str | None = None


def choose_prompts(saved: Mapping[str, str], default: str | None, asked: PromptSettings) -> Prompts:
    """Return the prompts of queries and documents: those asked for, else what a checkpoint saves, else empty texts.

    `saved` are the prompts of the checkpoint by name, and `default` is its `default_prompt_name`. As in the library's
    `encode_query` and `encode_document`, the default is not used. A saved `passage` or `corpus` is used where the
    prompt called `document` is empty. Raises `RetrieverError` for a name that is not saved, and where a role is given
    both a prompt and a name.
    """
    query = _choose("query", saved, asked.query_prompt, asked.query_prompt_name)
    document = _choose("document", saved, asked.document_prompt, asked.document_prompt_name)
    warnings = (
        *_unused(saved, default, (query, document)),
        *(warning for choice in (query, document) for warning in _warnings(saved, choice)),
    )
    return Prompts({"query": query.text, "document": document.text}, warnings)


def saves_prompts(saved: Mapping[str, object]) -> bool:
    """Say whether a checkpoint saves a prompt that a role takes by itself, among its prompts by name."""
    return any(saved.get(name) for names in _NAMES.values() for name in names)


def _choose(role: Role, saved: Mapping[str, str], text: str | None, name: str | None) -> _Choice:
    if name is not None:
        if text is not None:
            raise RetrieverError(f"set {role}_prompt or {role}_prompt_name, not both")
        if name not in saved:
            raise RetrieverError(f"{role}_prompt_name={name}: the checkpoint saves {_listed(_filled(saved))}")
        return _Choice(role, saved[name], asked=True, name=name)
    if text is not None:
        return _Choice(role, text, asked=True)
    found_name = next((each for each in _NAMES[role] if saved.get(each)), None)
    return _Choice(role, saved[found_name] if found_name else "", name=found_name)


def _unused(saved: Mapping[str, str], default: str | None, choices: tuple[_Choice, ...]) -> Iterator[str]:
    """Yield what is saved, and not used though a role has no prompt and the user has not asked for that."""
    bare = [choice.role for choice in choices if not choice.text and not choice.asked]
    unused = [name for name in _filled(saved) if saved[name] not in {choice.text for choice in choices}]
    if not bare or not unused:
        return
    texts = " and ".join(_TEXTS[role] for role in bare)
    keys = " and ".join(f"--set {role}_prompt_name=NAME" for role in bare)
    if default in unused:
        applied = f"its default prompt {default!r} is for encode alone, not for encode_query and encode_document"
        listed = f"; it saves {_listed(_filled(saved))}" if len(unused) > 1 else ""
    else:
        applied, listed = f"the checkpoint saves {_listed(unused)}, which no role takes by itself", ""
    yield f"{texts} get no prompt: {applied}{listed}; choose with {keys}, or set an empty {bare[0]}_prompt"


def _warnings(saved: Mapping[str, str], choice: _Choice) -> Iterator[str]:
    """Yield where a prompt is not what the library would take, or not what whoever wrote it may have meant."""
    first = _NAMES[choice.role][0]
    if choice.name is not None and not choice.asked and choice.name != first:
        yield (
            f"{_TEXTS[choice.role]} get the prompt that is saved as {choice.name!r}; encode_{choice.role} of "
            f"sentence-transformers takes {first!r} alone, and gives them none"
        )
    found = _PLACEHOLDER.search(choice.text)
    if found:
        yield f"the prompt of {_TEXTS[choice.role]} holds {found[0]}, which is put before each text as it stands"
    if choice.asked and choice.name is None and "\\n" in choice.text:
        yield (
            f"the prompt of {_TEXTS[choice.role]} holds a backslash and an n: a line break is written $'...\\n...' in "
            'a shell, and "...\\n..." in TOML'
        )


def _filled(saved: Mapping[str, str]) -> list[str]:
    """Return the names of the prompts that are not empty, sorted: the library adds empty ones of its own."""
    return sorted(name for name, text in saved.items() if text)


def _listed(names: list[str]) -> str:
    return f"{'a prompt' if len(names) == 1 else 'prompts'} under {', '.join(names)}" if names else "no prompts"
