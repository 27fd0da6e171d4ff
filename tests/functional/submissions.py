"""Spoils entries of a leaderboard and has them checked, in one process with little memory and time.

    python -m tests.functional.submissions --cases 200 --seed 0
    python -m tests.functional.submissions --cases 10 --results results --board leaderboard

Half of the cases are left as they are spoiled: none may pass. In the others a forger has written every digest anew:
what passes may differ only in what is said of a system and cannot be proved. A case is named after its kind and number
(`counts-17`) and is the same each time; `--only counts-17` runs it alone.
"""

import argparse
import io
import math
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mlbench.cli import call
from mlbench.embeddings.commitment import ARRAYS as COMMITTED
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.audit import Audit, status_of
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.entries import ENTRY_FILE
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add
from tests.functional import mutators
from tests.functional.forging import read, reseal, reseal_files, write
from tests.functional.mutations import TooSlow, limited, resident

Draw = random.Random

SECONDS = 10
"""Of the processor: a machine that is busy with something else fails nobody."""

HANGING_SECONDS = 120
MOST_RESIDENT = 512 * 2**20
MOST_ADDRESSES = 2**30
LONGEST_LINE = 500
NAME = "ours"

AUDIT = {
    "name": NAME,
    "passed": False,
    "by": "the board",
    "finished_at": "2026-11-30T12:00:00+00:00",
    "seed": "ab" * 20,
    "commit": "ab" * 20,
    "model": "hashing:",
    "same_fingerprint": False,
    "mlbench": "0.1.0",
}
FOUND = {
    **{"n_texts": 440, "n_drawn": 200, "n_topics": 20, "n_queries": 220, "share": 0.5},
    **{"largest_error": 1.4, "mean_error": 1.0, "faults": ["200 of 200 drawn vectors are not those committed to"]},
}

CLAIMED = ("retriever", "cost", "environment")
"""Parts of a result that nothing proves."""

SAID = ("title", "summary", "url", "licence", "parameters")
WRITTEN_ANEW = ("files", "fingerprint", "ranks.sha256")
UNCOUNTED = ("ties", "top", *COMMITTED)
"""Arrays with numbers that no published number need depend on: how many tie beyond one, what is not relevant, and the
sketches of vectors, which an audit compares."""


@dataclass
class Tally:
    """How the cases of one kind went; `claims` passed with another claim, `same` with nothing changed that is read."""

    refused: int = 0
    claims: int = 0
    same: int = 0
    longest: float = 0.0
    peak: int = 0
    faults: list[str] = field(default_factory=list)


def documents(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def archive(folder: Path, draw: Draw) -> Path:
    return draw.choice(sorted(folder.glob("*.npz")))


def leaves(part: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from leaves(value, (*steps, key))
    else:
        yield steps, part


def change_leaf(folder: Path, draw: Draw, wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> None:
    """Change one value of a document that is of the wanted kind."""
    path = draw.choice(documents(folder))
    document = read(path)
    found = [(steps, value) for steps, value in leaves(document) if wanted(value)]
    if not found:
        return change_leaf(folder, draw, wanted, change)
    # Many settings are alike: choose among the places first that differ in more than a number.
    kinds = sorted({tuple(str(step) for step in steps if not isinstance(step, int)) for steps, _ in found})
    kind = draw.choice(kinds)
    alike = [each for each in found if tuple(str(step) for step in each[0] if not isinstance(step, int)) == kind]
    (*steps, last), value = draw.choice(alike)
    inner = document
    for step in steps:
        inner = inner[step]
    inner[last] = change(value)
    write(path, document)
    return None


def numbers(folder: Path, draw: Draw) -> None:
    """Change a number of a document: a little, much, or its sign."""

    def change(value: float) -> float:
        if isinstance(value, int):
            return value + draw.choice((1, -1, 10, 1000))
        return draw.choice((value + 1e-6, value * 1.01 + 1e-5, value - 0.1, -value - 0.001, 1 - value + 1e-5))

    change_leaf(folder, draw, lambda value: type(value) in (int, float), change)


def names(folder: Path, draw: Draw) -> None:
    """Exchange, add or remove a character of a text."""

    def change(text: str) -> str:
        place = draw.randrange(len(text) + 1)
        signs = "abcXYZ019-._ /<>&\"'\\\u202e\u200b\u0430\x00\n\x1b😀"
        longer = text[:place] + draw.choice(signs) + text[place + draw.choice((0, 1)) :]
        return longer if longer != text else text + "x"

    change_leaf(folder, draw, lambda value: isinstance(value, str), change)


def fingerprints(folder: Path, draw: Draw) -> None:
    """Change a digit of a digest."""

    def change(digest: str) -> str:
        place = draw.randrange(len(digest))
        other = draw.choice([digit for digit in "0123456789abcdef" if digit != digest[place]])
        return digest[:place] + other + digest[place + 1 :]

    change_leaf(folder, draw, lambda value: isinstance(value, str) and len(value) == 64, change)


def spoiled_documents(folder: Path, draw: Draw) -> None:
    """Spoil a document as text, or as JSON."""
    path = draw.choice(documents(folder))
    mutate = draw.choice((*mutators.BYTES, mutators.lines, *[mutators.json_value] * 8))
    path.write_bytes(mutate(path.read_bytes(), draw))


def spoiled_archives(folder: Path, draw: Draw) -> None:
    """Spoil the bytes of an archive, or what stands around its arrays."""
    path = archive(folder, draw)
    content = path.read_bytes()
    around = (
        lambda: content + draw.randbytes(draw.choice((1, 22, 1000))),
        lambda: draw.randbytes(draw.choice((1, 30))) + content,
        lambda: written_again(content, comment=b"hello"),
        lambda: written_again(content, backwards=True),
        lambda: written_again(content, method=zipfile.ZIP_STORED),
        lambda: written_again(content, method=zipfile.ZIP_LZMA),
        lambda: written_again(content, date=(2020, 2, 2, 2, 2, 2)),
        lambda: written_again(content, more=("../../outside", b"hello")),
        lambda: written_again(content, more=("ahead.npy", b"hello")),
        lambda: mutators.bomb(2**28, "ahead"),
    )
    spoil = draw.choice((*around, *[lambda: draw.choice(mutators.BYTES)(content, draw)] * len(around)))
    path.write_bytes(spoil())


def written_again(
    content: bytes,
    *,
    comment: bytes = b"",
    backwards: bool = False,
    method: int = zipfile.ZIP_DEFLATED,
    date: tuple[int, ...] = (1980, 1, 1, 0, 0, 0),
    more: tuple[str, bytes] | None = None,
) -> bytes:
    """Return an archive of the same members, not quite as numpy writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        new.comment = comment
        members = [(name, old.read(name)) for name in old.namelist()]
        for name, data in [*(reversed(members) if backwards else members), *([more] if more else [])]:
            info = zipfile.ZipInfo(name, date)  # type: ignore[arg-type]
            info.compress_type = method
            info.external_attr = 0o600 << 16
            with warnings.catch_warnings(), new.open(info, "w", force_zip64=True) as member:
                warnings.simplefilter("ignore")
                member.write(data)
    return buffer.getvalue()


def spoiled_arrays(folder: Path, draw: Draw) -> None:
    """Spoil an array, or several that belong together, in a sound archive."""
    (path,) = folder.glob("*.ranks.npz")
    path.write_bytes(mutators.npz(path.read_bytes(), draw))


def commitments(folder: Path, draw: Draw) -> None:
    """Spoil the commitment to vectors, as an archive or in its arrays."""
    (path,) = folder.glob("*.vectors.npz")
    with np.load(path) as old:
        arrays = {name: old[name] for name in old.files}
    sketches, norms = arrays["sketches"], arrays["norms"]
    spoiled: dict[str, np.ndarray] = draw.choice(
        (
            {"norms": np.where(np.arange(len(norms)) == draw.randrange(len(norms)), np.float32(np.nan), norms)},
            {"norms": np.where(np.arange(len(norms)) == draw.randrange(len(norms)), np.float32(np.inf), norms)},
            {"norms": -norms},
            {"norms": norms.astype(np.float64)},
            {"norms": norms[:-1], "sketches": sketches[:-1]},
            {"norms": norms.repeat(2), "sketches": sketches.repeat(2, axis=0)},
            {"norms": norms[:0], "sketches": sketches[:0]},
            {"sketches": sketches[:, :-1]},
            {"sketches": sketches.T},
            {"sketches": np.asfortranarray(sketches)},
            {"sketches": np.full_like(sketches, -(2**15))},
            {"sketches": sketches.astype(np.int32)},
            {"sketches": np.zeros((2**20, 32), np.int16)},
            {"sketches": sketches[::-1].copy()},
            {"texts": arrays["texts"][:5]},
            {"texts": np.array(["a" * 40] * 8)},
            {"more": norms},
        )
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**arrays, **spoiled})
    path.write_bytes(buffer.getvalue())


def audits(folder: Path, draw: Draw) -> None:
    """Spoil the record of an audit that failed: a value, a text, the file, or whose it is."""
    path = folder.parents[1] / "audits" / f"{NAME}.json"
    document = read(path)
    match draw.randrange(6):
        case 0:
            document |= draw.choice(({"passed": True}, {"name": "theirs"}, {"entry_fingerprint": "0" * 64}, {"a": 1}))
        case 1:
            document["tasks"] = draw.choice(({}, {"other": FOUND}, {"mini": {**FOUND, "faults": []}}, [], None))
        case 2:
            steps, value = draw.choice([each for each in leaves(document) if isinstance(each[1], float | int)])
            inner = document
            for step in steps[:-1]:
                inner = inner[step]
            inner[steps[-1]] = draw.choice((-1, 10**30, 1e300, "1", None, value))
        case 3:
            document |= {
                draw.choice(("by", "model", "finished_at", "seed")): draw.choice(("", "<b>", "a\nb", "x" * 999))
            }
        case 4:
            path.unlink()
            path.symlink_to(folder.with_name("theirs") / ENTRY_FILE)
            return
        case _:
            mutate = draw.choice((*mutators.BYTES, mutators.json_value))
            path.write_bytes(mutate(path.read_bytes(), draw))
            return
    write(path, document)


def counts(folder: Path, draw: Draw) -> None:
    """Change one number of one array, and save it as numpy does."""
    (path,) = folder.glob("*.ranks.npz")
    with np.load(path) as old:
        arrays = {name: old[name] for name in old.files}
    name = draw.choice([name for name, array in arrays.items() if array.dtype.kind == "i"] + ["ahead", "top"] * 4)
    array = arrays[name].copy()
    place = draw.randrange(array.size)
    array.flat[place] += draw.choice((1, -1, 2, 7))
    if draw.random() < 0.3:
        other = draw.randrange(array.size)
        array.flat[[place, other]] = arrays[name].flat[[other, place]]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{**arrays, name: array})
    path.write_bytes(buffer.getvalue())


def files(folder: Path, draw: Draw) -> None:
    """Add, remove, exchange, link or rename files, or the folder."""
    inside = sorted(folder.iterdir())
    one, other = draw.sample(inside, 2)
    theirs = folder.with_name("theirs")
    match draw.randrange(10):
        case 0:
            one.unlink()
        case 1:
            (folder / draw.choice(("more.json", ".hidden", "a\nb", "mini.ranks.npz.bak", "ENTRY.JSON"))).write_text("x")
        case 2:
            (folder / "more").mkdir()
        case 3:
            one.unlink()
            one.symlink_to(theirs / one.name)
        case 4:
            one.unlink()
            os.mkfifo(one)
        case 5:
            one.write_bytes(other.read_bytes())
        case 6:
            shutil.copy(theirs / one.name, one)
        case 7:
            os.truncate(one, draw.choice((0, 1, 2**26, 2**40)))
        case 8:
            one.rename(folder / f"{one.name}x")
        case _:
            shutil.rmtree(folder)
            shutil.copytree(theirs, folder)


KINDS: dict[str, Callable[[Path, Draw], None]] = {
    "numbers": numbers,
    "names": names,
    "fingerprints": fingerprints,
    "documents": spoiled_documents,
    "archives": spoiled_archives,
    "arrays": spoiled_arrays,
    "counts": counts,
    "commitments": commitments,
    "files": files,
    "audits": audits,
}


def forge(folder: Path) -> None:
    """Write every digest anew, as far as what is there can be read."""
    if any(path.is_fifo() for path in folder.iterdir()):  # Nobody would ever write into it.
        return
    for seal in (reseal, reseal_files):
        try:
            return seal(folder)
        except Exception:  # What is spoiled may be anything.
            continue


def write_material(folder: Path, results: Path | None, accepted: Path) -> None:
    """Write a board with the entries `ours` and `theirs`, of `mini` or of real results."""
    board = Board(folder)
    if results is not None:
        shutil.copytree(accepted / "tasks", folder / "tasks")
        systems: dict[str, list[Path]] = {}
        for path in sorted(results.glob("*.json")):
            systems.setdefault(read(path)["retriever"]["fingerprint"], []).append(path)
        ours, theirs = list(systems.values())[:2]
    else:
        for dim in ("32", "64"):
            out = folder.with_name(dim)
            evaluate(
                "hashing", "mini", out=out, options=Options(resamples=100, settings={"dim": dim}, commit_vectors=True)
            )
        ours, theirs = (sorted(folder.with_name(dim).glob("*.json")) for dim in ("32", "64"))
        board.take(accept(*read_pair(ours[0])))
    for name, paths in ((NAME, ours), ("theirs", theirs)):
        add(board, name, paths, Description(title=f"System {name}", parameters=1000, url="https://example.org/a"))
    entry = check_entry(board, NAME).entry
    tasks = dict.fromkeys(entry.tasks, FOUND)
    board.keep_audit(Audit.model_validate({**AUDIT, "entry_fingerprint": entry.fingerprint, "tasks": tasks}))


def changes(before: Path, after: Path) -> set[str]:
    """Return what differs between two entries in what is read of them: places in documents, and names of arrays."""
    found = set()
    for path in documents(before):
        name = "" if path.name == ENTRY_FILE else f"{path.name}:"
        old, new = (
            {".".join(map(str, steps)): (type(value), value) for steps, value in leaves(read(folder / path.name))}
            for folder in (before, after)
        )
        found |= {f"{name}{place}" for place in old.keys() | new.keys() if not alike(old.get(place), new.get(place))}
    for path in before.glob("*.npz"):
        with np.load(path) as old_arrays, np.load(after / path.name) as new_arrays:
            found |= {
                f"array:{name}" for name in old_arrays.files if not np.array_equal(old_arrays[name], new_arrays[name])
            }
    return found


def alike(one: tuple[type, Any] | None, other: tuple[type, Any] | None) -> bool:
    """Say whether two values are the same, or numbers that no processor can be held to; what is absent is null."""
    if {one, other} == {None, (type(None), None)}:
        return True
    if one is not None and other is not None and one[0] is other[0] is float:
        return math.isclose(one[1], other[1], rel_tol=1e-9, abs_tol=1e-9)
    return one == other


def is_claim(place: str) -> bool:
    """Say whether nothing can prove what stands at a place of an entry."""
    source, _, inner = place.rpartition(":")
    part = inner.partition(".")[0]
    if source == "array":
        return inner in UNCOUNTED
    return inner in WRITTEN_ANEW or part in WRITTEN_ANEW or part in (CLAIMED if source else SAID)


def passed(before: Path, after: Path, forged: bool, tally: Tally) -> str:
    """Say what is wrong with an entry that passed, or nothing."""
    if not forged:
        same = all(path.read_bytes() == (after / path.name).read_bytes() for path in before.iterdir())
        tally.same += same
        return "" if same else "passed as it was spoiled"
    found = changes(before, after)
    proved = sorted(place for place in found if not is_claim(place))
    if proved:
        return f"passed with another {', '.join(proved)[:200]}"
    said = {place for place in found if place not in WRITTEN_ANEW and place.partition(".")[0] not in WRITTEN_ANEW}
    tally.claims += bool(said)
    tally.same += not said
    return ""


def checked(board: Board) -> tuple[int, list[str]]:
    """Return with which exit code `mlbench leaderboard check` ends, and the lines that it prints."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = call(["leaderboard", "check", NAME, "--board", str(board.folder)])
    return code, said.getvalue().splitlines()


def try_case(material: Path, kind: str, number: int, seed: int, tally: Tally) -> str:
    """Run one case; returns what is wrong."""
    draw = random.Random(f"{seed}-{kind}-{number}")
    forged = number % 2 == 1
    with tempfile.TemporaryDirectory(prefix="submissions-") as place:
        board = Board(Path(place) / "board")
        shutil.copytree(material, board.folder)
        folder = board.entry_folder(NAME)
        try:
            KINDS[kind](folder, draw)
        except struct.error:  # Some lies about an archive cannot be written.
            spoiled_archives(folder, draw)
        if forged:
            forge(folder)
        # Writing "5" makes the high-water mark of memory begin anew.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        begin, fault = time.process_time(), ""
        try:
            with limited(HANGING_SECONDS):
                code, lines = checked(board)
            took = time.process_time() - begin
            if code == 0:
                fault = passed(Board(material).entry_folder(NAME), folder, forged, tally)
                if status_of(check_entry(board, NAME).entry, board.audit(NAME)) == "audited":
                    fault = fault or "an audit that failed has passed"
            elif code not in (1, 2) or len(lines) != 1 or not lines[0].isprintable() or len(lines[0]) > LONGEST_LINE:
                fault = f"exit code {code}, and not one plain line: {lines}"[:LONGEST_LINE]
            tally.refused += code != 0
        except (Exception, TooSlow) as error:
            took = time.process_time() - begin
            traceback.print_exception(error)
            fault = f"{type(error).__name__}: {str(error)[:200]!r}"
        peak = resident("VmHWM")
    tally.longest, tally.peak = max(tally.longest, took), max(tally.peak, peak)
    if peak > MOST_RESIDENT or took > SECONDS:
        fault = fault or f"{peak >> 20} MiB, {took:.1f} s"
    if fault:
        tally.faults.append(f"{kind}-{number}: {fault}")
    return fault


def run(chosen: argparse.Namespace) -> dict[str, Tally]:
    """Run the cases, as many of each kind, and return how they went."""
    tallies = {kind: Tally() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="submissions-") as place:
        os.environ.update(MLBENCH_CACHE=str(Path(place) / "cache"), MLBENCH_OFFLINE="1")
        material = Path(place) / "material"
        write_material(material, chosen.results, chosen.board)
        every = ((kind, number) for number in range(chosen.cases) for kind in KINDS)
        if chosen.only is not None:
            kind, _, digits = chosen.only.rpartition("-")
            every = iter([(kind, int(digits))])
        for kind, number in islice(every, chosen.cases):
            try_case(material, kind, number, chosen.seed, tallies[kind])
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="KIND-NUMBER", help="one case")
    parser.add_argument("--results", type=Path, metavar="DIR", help="real results to make the entries of")
    parser.add_argument(
        "--board", type=Path, default=Path("leaderboard"), metavar="DIR", help="what it accepts of these"
    )
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    tallies = run(chosen)
    heads = ("refused", "claims", "same", "faults", "longest ms", "peak MiB")
    print(f"{'kind':<14}" + "".join(f"{head:>12}" for head in heads))
    for kind, tally in tallies.items():
        figures = (tally.refused, tally.claims, tally.same, len(tally.faults), round(tally.longest * 1000))
        print(f"{kind:<14}" + "".join(f"{figure:>12}" for figure in (*figures, tally.peak >> 20)))
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
