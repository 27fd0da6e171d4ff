"""How a result was made, in a few words each: what the run took, and how its intervals were drawn."""

from mlbench.report.notation import count
from mlbench.results import Result, Statistics


def cost(result: Result) -> list[str]:
    """Return in a few words each what the run took."""
    taken = result.cost
    spent = [f"encode {taken.encode_seconds:,.1f} s", f"rank {taken.rank_seconds:,.1f} s"]
    if taken.texts is not None and taken.encoded_texts is not None:
        spent.insert(0, f"{taken.encoded_texts:,} of {count(taken.texts, 'distinct text')} encoded")
    if taken.images is not None and taken.encoded_images is not None:
        spent.insert(1, f"{taken.encoded_images:,} of {count(taken.images, 'distinct image')} encoded")
    return spent


def intervals(statistics: Statistics) -> list[str]:
    """Return in a few words each how intervals were made."""
    parts = [
        f"{100 * statistics.confidence:g} % intervals: {count(statistics.resamples, 'resample')} of"
        f" {count(statistics.n_clusters, 'cluster')}",
        f"unit {statistics.unit}",
        f"seed {statistics.seed}",
    ]
    if statistics.redraws:
        parts.append(count(statistics.redraws, "redraw"))
    return parts
