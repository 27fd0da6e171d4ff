"""Times the site of a board of many entries, and weighs its files.

`python -m tests.bench.board [ENTRIES ...] [TASK ...]` makes boards of 100 and 500 entries on XQuAD-R, or on the named
tasks, from the entries of this project: each is a mixture of two, cluster of topics by cluster, and its numbers are
those of the mixture. For each board it prints the seconds that `leaderboard check` and `leaderboard build` take when
everything that was found of an entry is kept, at first without what is about all of them together (ranks and near
pairs), and the bytes of the site by part, as they are and as servers send them (gzip). What a first check takes beyond
that is printed for one entry.
"""

import gzip
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import Identities, check_entry
from mlbench.leaderboard.check_files import canonical
from mlbench.leaderboard.entries import ENTRY_FILE, files_of, sealed
from mlbench.leaderboard.evidence import Evidence, kept_evidence
from mlbench.leaderboard.kept import kept_arrays
from mlbench.leaderboard.site import build_site, read_entries
from mlbench.leaderboard.standings import BoardEntry, CheckedResult
from mlbench.results import Result, digest
from tests.bench.timing import took

PROJECT = Board(Path(__file__).parents[2] / "leaderboard")
TASKS = ("xquad-r",)
ENTRIES = (100, 500)
LIMIT = 5_000_000


def main() -> None:
    """Print what boards of each size take."""
    sizes = [int(each) for each in sys.argv[1:] if each.isdigit()] or list(ENTRIES)
    tasks = sorted(each for each in sys.argv[1:] if not each.isdigit()) or list(TASKS)
    names = [name for name in PROJECT.entry_names() if (PROJECT.entry_folder(name) / files_of(tasks[0])[1]).exists()]
    bases = [entry for name in names if (entry := shown(name, tasks)) is not None]
    with TemporaryDirectory(prefix="mlbench-board-") as place:
        # A cache of one's own, so that the first time is one.
        os.environ["MLBENCH_CACHE"] = f"{place}/cache"
        first = took(lambda: check_entry(PROJECT, bases[0].name)).processor
        print(f"first check of one entry of the project: {first:.1f} s of processor time")
        for size in sizes:
            measure(bases, tasks, size, Path(place) / str(size))


def measure(bases: list[BoardEntry], tasks: list[str], size: int, folder: Path) -> None:
    """Make a board of `size` entries in a folder, and print what its checks and builds take."""
    board = Board(folder / "board")
    shutil.copytree(PROJECT.folder / "tasks", board.folder / "tasks")
    for number in range(size):
        write(board, bases, tasks, number)
    print(f"\n{size} entries on {', '.join(tasks)}")
    identities = Identities(board)
    checked = took(lambda: [check_entry(board, name, identities) for name in board.entry_names()])
    print(f"check, nothing changed: {checked.processor:.1f} s of processor time, {checked.clock:.1f} s")
    for which in ("first", "second"):
        start = process_time()
        entries = read_entries(board)
        read = process_time() - start
        built = took(lambda entries=entries: build_site(entries, folder / "site"))
        print(
            f"{which} build: {read + built.processor:.1f} s of processor time, {read:.1f} s of them to check and read"
        )
        del entries
    weigh(folder / "site")


def weigh(site: Path) -> None:
    """Print the bytes of a site by part."""
    plain: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for path in sorted(site.rglob("*")):
        if path.is_file():
            part = path.relative_to(site).parts[0] + (path.suffix if path.parent != site else "")
            plain[part] += path.stat().st_size
            sent[part] += len(gzip.compress(path.read_bytes()))
    for part, size in plain.most_common():
        print(f"  {part:<24}{size:>12,} bytes{sent[part]:>12,} sent")
    whole = plain.total()
    verdict = "within" if whole <= LIMIT else "BEYOND"
    print(f"  {'in all':<24}{whole:>12,} bytes{sent.total():>12,} sent: {verdict} {LIMIT / 1e6:.0f} MB")


def shown(name: str, tasks: list[str]) -> BoardEntry | None:
    """Return an entry of the project with its evidence; None where it lacks a task."""
    checked = check_entry(PROJECT, name)
    if not set(checked.entry.tasks) >= set(tasks):
        return None
    entries = read_entries(Only(PROJECT.folder, name))
    return entries[0]


class Only(Board):
    """A board of which one entry is seen."""

    __slots__ = ("name",)

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        object.__setattr__(self, "name", name)

    def entry_names(self) -> tuple[str, ...]:
        """Return the one name."""
        return (self.name,)

    def stray_audits(self) -> tuple[str, ...]:
        """Return nothing: the others' audits are theirs."""
        return ()


def write(board: Board, bases: list[BoardEntry], tasks: list[str], number: int) -> None:
    """Write an entry that mixes two others, and keep what a check and a build would find of it."""
    random = np.random.RandomState(number)
    one, other = (bases[place] for place in random.choice(len(bases), 2, replace=False))
    name, weight = f"organisation-model-large-{number:03}", random.uniform()
    folder = board.entry_folder(name)
    folder.mkdir(parents=True)
    digests: dict[str, str] = {}
    for task in tasks:
        document, ranks = files_of(task)
        evidence = mixed(one.tasks[task].evidence, other.tasks[task].evidence, weight, random)
        result = told(one.tasks[task], evidence)
        # The content of the ranks decides nothing here: what was found of them is kept.
        source = PROJECT.entry_folder(one.name) / ranks
        content = source.read_bytes() + f"{number}".encode()
        digests |= {ranks: digest(content)}
        plain = result.model_dump(mode="json")
        plain["ranks"] |= {"name": ranks, "sha256": digests[ranks]}
        written = canonical(plain)
        digests |= {document: digest(written)}
        (folder / ranks).write_bytes(content)
        (folder / document).write_bytes(written)
        n_queries = sum(each.n_queries for each in result.settings if each.kind == "multilingual")
        counts = random.randint(0, 2**63, n_queries, dtype=np.uint64)
        protocol = board.accepted(task).content_digest
        kept_arrays(
            task,
            (b"counts", f"{digests[document]} {digests[ranks]}".encode(), protocol),
            lambda counts=counts: {"counts": counts},
        )
        kept_evidence(task, [digests[document].encode(), digests[ranks].encode()], lambda kept=evidence: kept)
    said = one.entry.model_dump(mode="json") | {"name": name, "title": f"Organisation Model Large {number}"}
    said |= {"parameters": int(10 ** random.uniform(6, 10)), "url": f"https://example.org/organisation/{name}"}
    entry = sealed(**{**said, "tasks": tasks, "files": dict(sorted(digests.items()))})
    (folder / ENTRY_FILE).write_bytes(canonical(entry.model_dump(mode="json")))
    protocols = (board.accepted(task).content_digest for task in tasks)
    kept_arrays(name, (str(sorted(entry.files.items())).encode(), *protocols), lambda: {"n_numbers": np.array(10_000)})


def mixed(one: Evidence, other: Evidence, weight: float, random: np.random.RandomState) -> Evidence:
    """Return the evidence of a system that is as good as one or the other, cluster by cluster."""
    first = random.uniform(size=len(one.settings)) < weight

    def mix(a: Mapping[object, np.ndarray], b: Mapping[object, np.ndarray]) -> dict[object, np.ndarray]:
        return {column: np.where(first, a[column], b[column]) for column in a if column in b}

    return replace(
        one,
        columns=mix(one.columns, other.columns),
        summary=mix(one.summary, other.summary),
        settings=np.where(first[:, None], one.settings, other.settings),
    )


def told(base: CheckedResult, evidence: Evidence) -> Result:
    """Return the result of a mixture: of the base, each number moved as the contributions have."""
    document = base.result.model_dump(mode="json")
    settings = zip(document["settings"], (evidence.settings - base.evidence.settings).sum(axis=0).tolist(), strict=True)
    for setting, change in settings:
        moved(setting["measures"], setting["intervals"], {"AP": change})
    for mean in document["aggregates"]:
        moved(mean["measures"], mean["intervals"], dict(changes(base.evidence, evidence, mean["kind"])))
    return Result.model_validate(document)


def changes(before: Evidence, after: Evidence, kind: str) -> Iterator[tuple[str, float]]:
    for column, losses in after.columns.items():
        if column.kind == kind:
            yield column.name, float(before.columns[column].sum() - losses.sum())


def moved(measures: dict[str, float | None], intervals: dict[str, object], by: Mapping[str, float]) -> None:
    for name, change in by.items():
        value, bounds = measures.get(name), intervals.get(name)
        if value is not None:
            measures[name] = min(1.0, max(0.0, value + change))
            if isinstance(bounds, dict):
                intervals[name] = {end: min(1.0, max(0.0, limit + change)) for end, limit in bounds.items()}


if __name__ == "__main__":
    main()
