"""Which collections of ir_datasets make a task: its options, one line for a pair of languages or for many."""

import re
from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from mlbench.errors import DataError, suggest
from mlbench.protocols import Parameter

_BLANKS = re.compile(r"\{([^{}]*)\}")


class Part(NamedTuple):
    """One collection of ir_datasets: its queries are of one language, its documents of one, the same or another.

    `document_language` is empty for a part that is there for its queries alone. `query_field` names the field of its
    queries that is the text; empty for what ir_datasets takes by default.
    """

    query_language: str
    document_language: str
    dataset_id: str
    query_field: str = ""


def parts_of(options: Mapping[str, Parameter], languages: tuple[str, ...]) -> tuple[Part, ...]:
    """Return the parts that `options` name, sorted; no options give none.

    A key is a language (`th`), the language of the queries and that of the documents (`en/fa`), or that of queries
    which are taken without their documents and judgments (`en/`). Its value is the id of a collection, which may end in
    `#` and a field of its queries (`neuclir/1/fa/trec-2022#ht_title`). A key with
    `{language}` stands for every language, one with `{query}` and `{document}` for every ordered pair of different
    ones, and the same in the id is filled in; a key without them wins. Raises `DataError` for anything else.
    """
    parts: dict[tuple[str, str], Part] = {}
    for key, value in sorted(options.items(), key=lambda option: "{" not in option[0]):
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"options.{key}: must be an id of ir_datasets, such as 'mr-tydi/th/test', not {value!r:.60}"
            )
        for query_language, document_language, blanks in _pairs(key, languages):
            dataset_id, _, query_field = _filled(key, value.strip(), blanks).partition("#")
            pair = query_language, document_language
            parts[pair] = Part(*pair, dataset_id, query_field)
    return tuple(sorted(parts.values()))


def _pairs(key: str, languages: tuple[str, ...]) -> list[tuple[str, str, dict[str, str]]]:
    """Return the pairs that a key stands for, with what its blanks are filled in with."""
    query, slash, document = key.partition("/")
    names = dict.fromkeys(_BLANKS.findall(key))
    found = []
    for tags in product(languages, repeat=len(names)):
        blanks = dict(zip(names, tags, strict=True))
        pair = _filled(key, query, blanks), _filled(key, document if slash else query, blanks)
        for tag in pair if pair[1] else pair[:1]:
            if tag not in languages:
                raise DataError(f"options.{key}: unknown language {tag!r}: {suggest(tag, languages)}")
        if pair[0] != pair[1] or not names.keys() & {"query", "document"}:
            found.append((*pair, blanks))
    return found


def _filled(key: str, text: str, blanks: Mapping[str, str]) -> str:
    unknown = [name for name in _BLANKS.findall(text) if name not in blanks]
    if unknown or not blanks.keys() <= {"language", "query", "document"}:
        raise DataError(f"options.{key}: a key and its id have the same blanks, {{language}} or {{query}}/{{document}}")
    return _BLANKS.sub(lambda match: blanks[match[1]], text)
