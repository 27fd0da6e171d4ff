"""What a corpus takes: the arithmetic, on rates that were measured or assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlbench.evaluation.streaming.corpus import PART

SIZES = (250_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
DIMS = (384, 768, 1024)
QUERIES = 1000
POOL = 16
"""Workers of the pool that hours are given for beside one."""

MANY_LANGUAGES = 1000
"""More than any collection has today: what their figures are is calculated."""

SCAN_BYTES = 8
"""Kept of each document's id by the scan."""
HASH_BYTES = 32
"""Kept of each text beside its vector."""
COPIES = 5
"""Of a part's float32 vectors that are in memory at once, at the worst: as they are saved."""
TILE_BYTES = 512 * 2048 * 8
"""A block of scores, of which a few are in memory for each thread."""

TEXT_BYTES = 4000
"""Of a text in memory with its id: a thousand characters, in a script that takes two bytes for each, twice."""

USEFUL = 25e12
"""Operations that a GPU is taken to do for an encoder in a second: an assumption, a tenth of what makers promise."""
TOKENS = 150
LAYERS = {384: 21e6, 768: 85e6, 1024: 302e6}
"""Weights in the layers of the usual encoders of these dimensions: 12 layers of 384, 12 of 768, 24 of 1,024."""
PRICES = {"processor": 0.05, "GPU": 2.0}
"""Money for an hour: assumptions."""


@dataclass(frozen=True)
class Load:
    """A corpus: how many documents, how many queries are asked of each, and the dimensions of vectors."""

    documents: int
    queries: int
    dim: int

    @property
    def parts(self) -> int:
        """How many parts it is cut into, if its shards leave no rest."""
        return -(-self.documents // PART)

    @property
    def vector_bytes(self) -> int:
        """Of the kept vectors, if no two texts are the same."""
        return self.documents * (4 * self.dim + HASH_BYTES)

    def stream_bytes(self, for_query_and_part: float) -> float:
        """Of what the scan and the counts leave."""
        return SCAN_BYTES * self.documents + for_query_and_part * self.queries * self.parts

    def part_bytes(self, text_bytes: float) -> float:
        """Of a part in a worker's memory, with queries and a few tiles, beside libraries and the model."""
        part = min(self.documents, PART)
        vectors = part * self.dim * (4 * COPIES + 8)
        return vectors + part * text_bytes + 8 * self.queries * self.dim + 4 * TILE_BYTES

    @property
    def operations(self) -> float:
        """Multiplications and additions of ranking."""
        return 2.0 * self.documents * self.queries * self.dim


def hours(amount: float, rate: float, workers: int = 1) -> float:
    """Return the hours for an amount of work at so much a second for each worker."""
    return amount / rate / workers / 3600


def money(amount: float, rate: float, price: float) -> float:
    """Return what the hours of workers cost; how many share the work does not matter."""
    return hours(amount, rate) * price


def gpu_rate(weights: float, tokens: float = TOKENS, useful: float = USEFUL) -> float:
    """Return the texts that a GPU encodes in a second: each token costs two operations for each weight."""
    return useful / (2 * weights * tokens)


def most_workers(rate: float, seconds: float) -> float:
    """Return how many workers the command keeps busy that encode at `rate`, where it needs so long for each part."""
    return PART / rate / seconds


def scaled(amount: float, measured: int, languages: int) -> float:
    """Return an amount that grows with the number of pairs of languages, for another number of languages."""
    return amount * (languages / measured) ** 2


def growth(streams: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return how the largest stream differs from the smallest."""
    small, *_, large = sorted(streams, key=lambda row: row["documents"])
    times = large["documents"] / small["documents"]
    return {
        "times": times,
        "memory": large["peak_bytes"] / small["peak_bytes"] - 1,
        "pace": large["processor_seconds"] / small["processor_seconds"] / times - 1,
    }
