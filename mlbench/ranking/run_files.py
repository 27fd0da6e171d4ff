"""Ranked lists and judgments as TREC files, one pair for each setting, laid out as the `run:` retriever reads them."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Protocol

import numpy as np

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.embeddings.exact import Grid
from mlbench.errors import UserError
from mlbench.io.threads import usable_threads
from mlbench.protocols import Parameter, Progress, RankedList, Ranker, ScoredRanker
from mlbench.ranking.count_ahead import Block, Targets, Tiling, count_ahead
from mlbench.ranking.index_arrays import IndexArrays

DEPTH = 100
"""How many documents of each list are written unless somebody says otherwise."""
LONGEST = 2**24
"""Scores are n - position + 1, and float32, in which many tools keep them, holds whole numbers up to this one."""
TAG = "mlbench"
"""The last field of each line; with it, scores are positions (see above)."""
_LONGEST_NAME = 200
_COLUMNS = 2048
_CELLS = 2**21


@dataclass(frozen=True)
class SaveRun:
    """Asks for run files in `folder`, with the first `depth` documents of each list; raises `UserError` beyond 2^24."""

    folder: Path
    depth: int = DEPTH

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= LONGEST:
            raise UserError(f"lists of a run go from 1 to {LONGEST:,} documents, not {self.depth:,}")


class ListSink(Protocol):
    """Takes the lists of each setting as they are made; `depth` is how many documents of each it looks at."""

    arrays: IndexArrays
    settings: tuple[Setting, ...]
    depth: int

    def write(self, setting: Setting, lists: Iterable[Sequence[str]]) -> None:
        """Take the document ids for each of a setting's queries, those that a query may be itself among them."""
        ...


class SeveralSinks(ListSink):
    """Gives the same lists to several sinks."""

    def __init__(self, sinks: Sequence[ListSink]) -> None:
        self.arrays, self.settings = sinks[0].arrays, sinks[0].settings
        self.depth, self._sinks = max(sink.depth for sink in sinks), sinks

    def write(self, setting: Setting, lists: Iterable[Sequence[str]]) -> None:
        """Give the lists of a setting to all."""
        held = list(lists)
        for sink in self._sinks:
            sink.write(setting, held)


def without_itself(arrays: IndexArrays, setting: Setting, lists: Iterable[Sequence[str]]) -> Iterable[Sequence[str]]:
    """Return the lists of a setting without the documents that each query is itself."""
    collection = arrays.collection
    if not arrays.most_left_out:
        return lists
    queries = collection.queries[setting.query_language]
    own = [collection.itself(setting.query_language, query.topic_id) for query in queries]
    return ([doc_id for doc_id in found if doc_id not in gone] for gone, found in zip(own, lists, strict=True))


class RunFiles(ListSink):
    """The files of one run: `th-en.trec` and `th-en.qrels` for each setting.

    A context: at its end all files appear, after an error none. Entering raises `UserError` where an id holds a blank,
    where the folder cannot be written, or where it holds run files that this run would not replace.
    """

    def __init__(self, wanted: SaveRun, arrays: IndexArrays, settings: Sequence[Setting]) -> None:
        self.arrays, self.settings, self.depth = arrays, tuple(settings), wanted.depth
        self._folder = wanted.folder
        self._is_new = not wanted.folder.exists()
        self._unfinished: dict[Path, Path] = {}

    def __enter__(self) -> "RunFiles":
        _check_ids(self.arrays)
        self._open_folder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                for path, beside in self._unfinished.items():
                    beside.replace(path)
        except OSError as refusal:
            raise self._unwritable(refusal) from refusal
        finally:
            for beside in self._unfinished.values():
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
            if error is not None and self._is_new:
                # Only what was made for nothing is empty.
                with suppress(OSError):
                    self._folder.rmdir()

    def write(self, setting: Setting, lists: Iterable[Sequence[str]]) -> None:
        """Write the run and the judgments of a setting; `lists` are the document ids for each of its queries."""
        queries = self.arrays.collection.queries[setting.query_language]
        stem = stem_of(setting)
        self._write(f"{stem}.trec", _run_lines(queries, without_itself(self.arrays, setting, lists), self.depth))
        self._write(f"{stem}.qrels", self._judgment_lines(setting, queries))

    def _write(self, name: str, lines: Iterable[str]) -> None:
        beside = self._folder / f".{name}.{token_hex(8)}.tmp"
        try:
            with beside.open("x", encoding="utf-8", newline="\n") as file:
                self._unfinished[self._folder / name] = beside
                file.writelines(lines)
        except OSError as error:
            raise self._unwritable(error) from error

    def _judgment_lines(self, setting: Setting, queries: Sequence[Query]) -> Iterator[str]:
        for query in queries:
            for language, doc_id, grade in self.arrays.collection.judged(setting.query_language, query.topic_id):
                if language in setting.document_languages:
                    yield f"{query.topic_id} 0 {doc_id} {grade}\n"

    def _open_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in self._folder.iterdir()}
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise self._unwritable(error) from error
        own = {f"{stem_of(setting)}.trec" for setting in self.settings}
        foreign = sorted(name for name in there - own if name.endswith((".trec", ".trec.gz")))
        if foreign:
            raise UserError(f"{self._folder} holds {foreign[0]} of another run: name an empty folder with --save-run")

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write run files to {self._folder}: {error.strerror or error}; name another folder with --save-run"
        )


class RecordingRanker(ScoredRanker):
    """A ranker whose lists are given to a sink, such as run files, as it gives them."""

    def __init__(self, ranker: Ranker, sink: ListSink) -> None:
        self._ranker, self._files = ranker, sink

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Those of the ranker."""
        return self._ranker.parameters

    def fingerprint(self) -> str:
        """Return that of the ranker."""
        return self._ranker.fingerprint()

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return the ranker's lists; they are written unless their number shows at once that they are wrong."""
        lists = members.search_scored(self._ranker, setting, queries, documents, depth)
        if len(lists) == len(queries):
            self._files.write(setting, [found.doc_ids for found in lists])
        return lists


def save_rankings(
    files: ListSink, queries: Grid, blocks: Sequence[Block], *, threads: int | None = None, progress: Progress
) -> None:
    """Write the lists that grid vectors give, in the total order of their exact scores.

    `queries` and the `blocks` of each language are in the order of `files.arrays`. Working memory is a block of
    queries, whatever their number.
    """
    arrays = files.arrays
    by_pool: dict[tuple[str, ...], list[Setting]] = {}
    for setting in files.settings:
        by_pool.setdefault(setting.document_languages, []).append(setting)
    progress.start("save run", len(arrays.query_topics) * len(by_pool))
    for pool, settings in by_pool.items():
        own = [blocks[arrays.collection.languages.index(language)] for language in pool]
        for setting in settings:
            language = arrays.collection.languages.index(setting.query_language)
            asked = queries.take(slice(*np.searchsorted(arrays.query_languages, (language, language + 1))))
            files.write(setting, _lists(files, asked, own, threads or usable_threads()))
            progress.advance(len(asked))
    progress.finish()


def stem_of(setting: Setting) -> str:
    """Return what the files of a setting are called, without ending: `th-en`, `th-ar+en+th`, or `th-all` for many."""
    stem = f"{setting.query_language}-{'+'.join(setting.document_languages)}"
    return stem if len(stem) <= _LONGEST_NAME else f"{setting.query_language}-all"


def _lists(files: ListSink, queries: Grid, blocks: Sequence[Block], threads: int) -> Iterator[list[str]]:
    """Yield for each query the ids of the best documents of the blocks, a few tiles of queries at a time."""
    # More, for the documents that a query may be itself.
    depth = min(files.depth + files.arrays.most_left_out, sum(len(block.positions) for block in blocks))
    columns = max(_COLUMNS, depth)
    rows = max(1, min(256, _CELLS // columns))
    tiling = Tiling(depth=depth, rows=rows, columns=columns, width=columns, threads=threads)
    nothing = Targets(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64))
    at_once = tiling.rows * threads
    for start in range(0, len(queries), at_once):
        asked = queries.take(slice(start, start + at_once))
        for positions in count_ahead(asked, nothing, blocks, tiling=tiling).top.tolist():
            yield [files.arrays.document_ids[position] for position in positions]


def _run_lines(queries: Sequence[Query], lists: Iterable[Sequence[str]], depth: int) -> Iterator[str]:
    for query, found in zip(queries, lists, strict=True):
        n = min(len(found), depth)
        for position, doc_id in enumerate(found[:n], 1):
            yield f"{query.topic_id} Q0 {doc_id} {position} {n - position + 1} {TAG}\n"


def _check_ids(arrays: IndexArrays) -> None:
    for kind, names in (("topic", arrays.topic_ids), ("document", arrays.document_ids)):
        for name in names:
            if len(name.split()) != 1 or name != name.strip():
                raise UserError(f"{kind} id {name!r} holds a blank, which TREC files cannot: rename it for --save-run")
