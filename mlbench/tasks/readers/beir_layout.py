"""Which files of a folder or data set are corpora, queries and judgments in the layouts of BEIR and mteb."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from itertools import product
from pathlib import PurePosixPath

from mlbench.collection.languages import find_language, full_language
from mlbench.errors import DataError, UserError
from mlbench.tasks.readers.rows import ending

CORPUS, QUERIES, QRELS = "corpus", "queries", "qrels"
KINDS = (CORPUS, QUERIES, QRELS)
_CALLED = {CORPUS: CORPUS, QUERIES: QUERIES, "query": QUERIES, QRELS: QRELS, "default": QRELS}
_CONFIG = re.compile(rf"(?:(?P<before>.+)[-_.])?(?P<kind>{'|'.join(_CALLED)})(?:[-_.](?P<after>.+))?")
_SPLITS = frozenset({"train", "dev", "test", "val", "valid", "validation", "eval"})
_SHARD = re.compile(r"[-_.]?\d+(?:-of-\d+)?$")
_LOCALES = frozenset({"en-gb", "en-us", "pt-br", "zh-cn", "zh-hk", "zh-tw"})
"""Tags of one language in a region, where others of this form are a pair of languages, such as `de-en`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file: its `kind`, the subset it belongs to, such as a language, and its split; both may be empty."""

    path: str
    kind: str
    subset: str = ""
    split: str = ""


def parts_of(paths: Iterable[str], card: Mapping[str, object]) -> tuple[Part, ...]:
    """Return what the files at `paths`, relative to their folder, are, in order; other files are left out.

    The configurations that a data card (`README.md`) lists tell; without any, names of folders and files do.
    """
    known = sorted(path for path in paths if ending(path))
    configs = card.get("configs")
    found = list(_of_card(known, configs)) if isinstance(configs, list) else []
    return tuple(found) if _is_complete(found) else tuple(filter(None, map(_of_path, known)))


def is_layout(parts: Sequence[Part]) -> bool:
    """Say whether there are documents, queries and judgments."""
    return _is_complete(parts)


def subsets_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the names of the subsets that have queries or documents of their own, sorted; the unnamed is none."""
    return tuple(sorted({part.subset for part in parts if part.kind != QRELS} - {""}))


def languages_of(subset: str) -> tuple[str, str] | None:
    """Return the languages of queries and of documents of a subset called `th`, or `de-en`; None for another name."""
    if subset.lower().replace("_", "-") not in _LOCALES:
        for match in re.finditer(r"[-.]|_to_", subset):
            sides = _tag(subset[: match.start()]), _tag(subset[match.end() :])
            if sides[0] and sides[1] and not re.fullmatch(r"[A-Z]{2}|\w{4}", subset[match.end() :]):
                return sides[0], sides[1]
    tag = _tag(subset)
    return (tag, tag) if tag else None


def choose_split(kind: str, splits: Sequence[str], asked: str | None) -> str:
    """Return the split of the files of one kind: the one that is asked for, else `test`, else the only one.

    As in mteb, a corpus or queries with one split are those of every split. No splits give an empty one. Raises
    `DataError` where there is no such split.
    """
    wanted = asked or "test"
    if not splits or wanted in splits:
        return wanted if splits else ""
    if len(splits) == 1 and (asked is None or kind != QRELS):
        return splits[0]
    raise DataError(
        f"there are no {kind} of the split {wanted!r}, but of {', '.join(sorted(splits))}: choose one with split in "
        "[options] of a task file, or as in hf://datasets/ORG/NAME#dev"
    )


def of_split(parts: Sequence[Part], asked: str | None) -> tuple[Part, ...]:
    """Return the parts of one split and those without any, as parts without a split; raises as `choose_split` does."""
    splits: dict[tuple[str, str], set[str]] = {}
    for part in parts:
        splits.setdefault((part.kind, part.subset), set()).add(part.split)
    chosen = {key: choose_split(key[0], sorted(found - {""}), asked) for key, found in splits.items()}
    return tuple(replace(part, split="") for part in parts if part.split in ("", chosen[part.kind, part.subset]))


def declare(parts: Sequence[Part], languages: Sequence[str] | None, told: Sequence[str]) -> dict[str, object]:
    """Return what a task file would say of `parts`: `languages`, `files`, `parallel` and `settings`.

    `languages` are those that the user asks for, `told` those that the data card names: they are asked where names
    of subsets do not tell. Raises `DataError` where neither does.
    """
    parts = _of_languages(parts)
    subsets = subsets_of(parts)
    pairs = _pairs(subsets, parts, languages, told)
    if pairs is None:
        return {"languages": None, "files": [{"path": part.path, "role": _role(part)} for part in parts]}
    files = [entry for part in parts for entry in _entries(part, pairs)]
    shared = len(pairs) > 1 and all(part.subset == "" for part in parts if part.kind == QRELS)
    tags = {query for query, _ in pairs.values()} | {document for _, document in pairs.values()}
    return {
        "languages": sorted(tags),
        "files": files,
        "parallel": shared or len(pairs) == 1,
        "settings": _settings(set(pairs.values()), shared=shared),
    }


def _of_card(paths: Sequence[str], configs: Sequence[object]) -> Iterator[Part]:
    named = {str(entry.get("config_name", "default")): entry for entry in configs if isinstance(entry, dict)}
    for name, entry in named.items():
        match = _CONFIG.fullmatch(name)
        # The unnamed judgments are those called `default`, else those called `qrels`.
        if not match or (name == QRELS and "default" in named):
            continue
        subset = match["before"] or match["after"] or ""
        base = str(entry.get("data_dir", ""))
        for split, pattern in _patterns(entry.get("data_files", "*" if base else None)):
            wanted = re.compile(translate(str(PurePosixPath(base, pattern))))
            yield from (Part(path, _CALLED[match["kind"]], subset, split) for path in paths if wanted.match(path))


def _patterns(data_files: object) -> Iterator[tuple[str, str]]:
    """Yield split and pattern of path; a list of paths without splits has none."""
    if isinstance(data_files, str):
        yield "", data_files
    elif isinstance(data_files, dict):
        items = [data_files] if "path" in data_files else [{"split": s, "path": p} for s, p in data_files.items()]
        for item in items:
            paths = item["path"] if isinstance(item["path"], list) else [item["path"]]
            yield from ((str(item.get("split", "")), str(path)) for path in paths)
    elif isinstance(data_files, list):
        for item in data_files:
            yield from _patterns(item)


def _of_path(path: str) -> Part | None:
    """Return what a path such as `de/qrels/test.tsv`, `de-corpus/test-00000-of-00001.parquet` or `corpus.jsonl` is."""
    *folders, name = path.split("/")
    stem = re.sub(r"\.[a-z]+(\.gz)?$", "", name, flags=re.IGNORECASE)
    whole = _SHARD.sub("", stem)
    kind, subset, split = "", "", ""
    for part in (*folders, whole):
        match = _CONFIG.fullmatch(part)
        if match and (not kind or match["kind"] != "default"):
            kind = _CALLED[match["kind"]]
            around = match["before"] or match["after"] or ""
            subset, split = (subset, around) if around in _SPLITS else (around or subset, split)
        elif part in _SPLITS:
            split = part
        # The name of a shard, such as `part-0`, says nothing.
        elif part not in ("", "data") and (part != whole or whole == stem or _tag(part)):
            subset = f"{subset}/{part}" if subset else part
    return Part(path, kind, subset, split) if kind else None


def _is_complete(parts: Sequence[Part]) -> bool:
    return {part.kind for part in parts} == set(KINDS)


def _of_languages(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts of the named subsets and what these share.

    Beside a whole unnamed set, a subset has queries and documents of its own: so `gen-queries.jsonl`, made for training
    from a BEIR folder, and `corpus_old.jsonl` are left alone.
    """
    if _is_complete([part for part in parts if not part.subset]):
        whole = {subset for subset in subsets_of(parts) if languages_of(subset) and _has_own(parts, subset)}
        parts = [part for part in parts if part.subset in {"", *whole}]
    subsets = set(subsets_of(parts))
    owners = {kind: {part.subset for part in parts if part.kind == kind} for kind in KINDS}
    return [part for part in parts if part.subset or not subsets or not owners[part.kind] >= subsets]


def _has_own(parts: Sequence[Part], subset: str) -> bool:
    return {CORPUS, QUERIES} <= {part.kind for part in parts if part.subset == subset}


def _pairs(
    subsets: Sequence[str], parts: Sequence[Part], languages: Sequence[str] | None, told: Sequence[str]
) -> dict[str, tuple[str, str]] | None:
    """Return the languages of queries and documents of each subset, None where nothing tells those of the only one."""
    wanted = {full_language(tag) for tag in languages or ()}
    if not subsets or (len(subsets) == 1 and languages_of(subsets[0]) is None):
        sole = wanted or {tag for tag in map(_tag, told) if tag}
        return {subset: (tag, tag) for subset in subsets or ("",) for tag in sole} if len(sole) == 1 else None
    pairs = {}
    for subset in subsets:
        named = languages_of(subset)
        if named is None:
            raise DataError(
                f"{subset!r} is no language, nor two as in 'de-en': measure one data set at a time, or write a task "
                "file that names their languages"
            )
        pairs[subset] = named
    queries, corpora = ({part.subset for part in parts if part.kind == kind} - {""} for kind in (QUERIES, CORPUS))
    query_language = _shared_language(pairs, queries, 0, wanted)
    document_language = _shared_language(pairs, corpora, 1, wanted)
    return {
        subset: (query if subset in queries else query_language, document if subset in corpora else document_language)
        for subset, (query, document) in pairs.items()
    }


def _shared_language(pairs: Mapping[str, tuple[str, str]], owners: set[str], side: int, wanted: set[str]) -> str:
    """Return the language of the queries (0) or documents (1) of the subsets that have none of their own.

    It is that of the only owner, else the one that names of pairs tell, or the user; empty where all are owners.
    """
    if owners >= pairs.keys():
        return ""
    tags = {tag for pair in pairs.values() for tag in pair}
    told = {pairs[subset][side] for subset in owners or pairs}
    if not owners and all(query == document for query, document in pairs.values()):
        told = {tag for tag in wanted if find_language(tag, sorted(tags)) is None} or wanted
    if len(told) != 1:
        what = "documents" if side else "queries"
        raise DataError(
            f"the data do not say the language of the {what} that several languages share: add it to these, as in "
            f"--languages {','.join(sorted(tags))},TAG, or write a task file"
        )
    return told.pop()


def _entries(part: Part, pairs: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Yield what a task file says of a part; one that several subsets share is of one language, or of none."""
    if part.subset and part.subset not in pairs:
        return
    own = [pairs[part.subset]] if part.subset in pairs else list(pairs.values())
    side = 0 if part.kind == QUERIES else 1
    tags = {pair[side] for pair in own}
    entry = {"path": part.path, "role": _role(part)}
    if len(tags) == 1:
        entry["language"] = tags.pop()
    if part.kind == QRELS and len(own) == 1 and own[0][0] != own[0][1]:
        entry["role"] = _role(part, own[0][0])
    yield entry


def _role(part: Part, query_language: str = "") -> str:
    """Return the role of a part: `corpus`, `queries/dev`, `qrels:de/test` for judgments of queries in German."""
    return part.kind + (f":{query_language}" if query_language else "") + (f"/{part.split}" if part.split else "")


def _settings(pairs: set[tuple[str, str]], *, shared: bool) -> list[str]:
    """Return the kinds of settings that the judgments answer; `shared` ones are of every query in every language."""
    if shared:
        pairs = set(product({query for query, _ in pairs}, {document for _, document in pairs}))
    searched = {each: {document for query, document in pairs if query == each} for each, _ in pairs}
    kinds = {
        "monolingual": any(query == document for query, document in pairs),
        "cross_lingual": any(query != document for query, document in pairs),
        "multilingual": any(len(documents) > 1 for documents in searched.values()),
    }
    return [kind for kind, there in kinds.items() if there]


def _tag(name: str) -> str:
    try:
        return full_language(name) if name else ""
    except UserError:
        return ""
