"""Times two ways of doing the same by turns, so that a busy machine slows both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from statistics import median
from time import perf_counter, process_time
from typing import Any

PAIRS = 3


@dataclass(frozen=True)
class Took:
    """The seconds of some work: by the clock, and of all processors together, which other processes disturb less."""

    clock: float
    processor: float


def alternate(first: Callable[[], object], second: Callable[[], object], names: tuple[str, str]) -> tuple[float, float]:
    """Call A B A B ..., print the seconds of each pair and the ratios A / B; return the median seconds of both."""
    pairs = []
    print(f"  pair  {names[0]:>9}  {names[1]:>9}  ratio  (processor time: {names[0]}, {names[1]}, ratio)")
    for number in range(1, PAIRS + 1):
        a, b = took(first), took(second)
        pairs.append((a, b))
        print(
            f"  {number:<4}  {a.clock:>7.2f} s  {b.clock:>7.2f} s  {a.clock / b.clock:<5.2f}"
            f"  ({a.processor:.2f} s, {b.processor:.2f} s, {a.processor / b.processor:.2f})",
            flush=True,
        )
    print(f"  ratio {names[0]} / {names[1]}: {spread([a.clock / b.clock for a, b in pairs])}")
    print(f"  of processor time: {spread([a.processor / b.processor for a, b in pairs])}")
    return median(a.clock for a, _ in pairs), median(b.clock for _, b in pairs)


def took(work: Callable[[], object]) -> Took:
    clock, processor = perf_counter(), process_time()
    work()
    return Took(perf_counter() - clock, process_time() - processor)


def spread(values: list[float], form: str = ".2f") -> str:
    """Return median and range of some values."""
    return f"median {median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


@dataclass
class Forward:
    """The forward passes of all models of Sentence Transformers: how many texts, in how many seconds."""

    texts: int = 0
    seconds: float = 0.0


@contextmanager
def watch_forward() -> Iterator[Forward]:
    """Count forward passes for a while, whoever calls them."""
    from sentence_transformers import SentenceTransformer

    forward, seen = SentenceTransformer.forward, Forward()

    @wraps(forward)
    def watched(self: SentenceTransformer, features: dict[str, Any], **options: Any) -> object:
        start = perf_counter()
        answer = forward(self, features, **options)
        seen.seconds += perf_counter() - start
        seen.texts += len(features["attention_mask"])
        return answer

    SentenceTransformer.forward = watched  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        SentenceTransformer.forward = forward  # type: ignore[method-assign]
