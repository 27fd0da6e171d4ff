"""How captions of each language go with their images: hit rates of both directions, and CLIPScore."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, Setting
from mlbench.measures.ranked import Explanation
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds, CaptionScores, ImageText
from mlbench.statistics.settings import ClusterSample, sum_settings

Floats = NDArray[np.float64]
EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        "r_mean": Explanation(
            "How often captions of a language find their image, and images a caption of theirs: mean of six hit rates.",
            "mean of Success@1, Success@5 and Success@10, from captions to images and from images to captions",
            "Li et al. 2019 (rsum / 6); arXiv 2107.07651",
        ),
        "clip_score": Explanation(
            "How close a caption is to its image in the model's own space; not to be compared between models.",
            "mean over captions of 2.5 max(cos(image, caption), 0)",
            "Hessel et al. 2021, CLIPScore, section 3, without its prompt",
        ),
        "ref_clip_score": Explanation(
            "The same, and how close the caption is to one of the same image in another language.",
            "mean over captions of the harmonic mean of CLIPScore and max(cos(caption, other caption), 0)",
            "Hessel et al. 2021, CLIPScore, section 4, with captions in other languages as references",
        ),
    }
)
"""What the scores of captions are, by name."""
CAPTION_SCORES = tuple(EXPLANATIONS)
_HITS = ("Success@1", "Success@5", "Success@10")
# Hessel et al. 2021, section 3: what spreads the cosines of CLIP over most of [0, 1].
_WEIGHT = 2.5


def score_captions(ranks: Ranks, settings: Sequence[Setting], sample: ClusterSample) -> ImageText | None:
    """Return the scores of each language's captions, and their means; None for a task without images.

    `r_mean` is there for languages whose captions are asked for and searched in `settings`.
    """
    if not ranks.has_images:
        return None
    languages = ranks.spoken_languages
    found = {"r_mean": _hit_rates(ranks, languages, set(settings), sample)}
    clip, reference = clip_scores(ranks)
    for name, values in (("clip_score", clip), ("ref_clip_score", reference)):
        found[name] = _over_captions(ranks, values, sample)
    counts = _caption_counts(ranks)
    return ImageText(
        languages=tuple(
            _scores(language, counts[language], [(found[name], [place]) for name in CAPTION_SCORES], sample)
            for place, language in enumerate(languages)
        ),
        mean=_scores(
            None,
            sum(counts.values()),
            [(found[name], list(range(len(languages)))) for name in CAPTION_SCORES],
            sample,
        ),
    )


def clip_scores(ranks: Ranks) -> tuple[Floats, Floats]:
    """Return CLIPScore and RefCLIPScore of each row, both float64 (rows,), NaN where there is none.

    They are those of captions, in the rows of the images that ask for them (Hessel et al. 2021, sections 3 and 4).
    """
    if ranks.alignment is None:
        nothing = np.full(len(ranks.row_queries), np.nan)
        return nothing, nothing
    image, caption = np.maximum(ranks.alignment.astype(np.float64), 0.0).T
    clip = _WEIGHT * image
    total = clip + caption
    with np.errstate(invalid="ignore", divide="ignore"):
        harmonic = np.where(total > 0, 2 * clip * caption / total, np.where(np.isnan(total), np.nan, 0.0))
    return clip, harmonic


def sum_captions(ranks: Ranks, settings: Sequence[Setting], sample: ClusterSample) -> dict[str, tuple[Floats, Floats]]:
    """Sum the caption scores that there are within clusters, and count what was summed: float64 (clusters, columns).

    The mean of the columns' ratios is the mean over languages that a result has: a column is a language, or a hit rate
    of a language.
    """
    if not ranks.has_images:
        return {}
    found = {}
    asked = [setting for pair in _pairs(ranks.spoken_languages, set(settings)).values() for setting in pair]
    if asked:
        hits = sum_settings(ranks, asked, _HITS, sample)
        shape = (sample.n_clusters, len(asked) * len(_HITS))
        found["r_mean"] = hits.sums.reshape(shape), np.repeat(hits.counts, len(_HITS), axis=1)
    for name, values in zip(CAPTION_SCORES[1:], clip_scores(ranks), strict=True):
        there, sums, counts = _sum_over_captions(ranks, values, sample)
        if len(there):
            found[name] = sums, counts
    return found


_Means = tuple[Floats, Floats]
"""Values (languages,), NaN where there is none, and their replicates (resamples, languages)."""


def _hit_rates(ranks: Ranks, languages: Sequence[str], asked: set[Setting], sample: ClusterSample) -> _Means:
    """Return the mean of the hit rates of both directions, for each language that has both."""
    pairs = _pairs(languages, asked)
    values = np.full(len(languages), np.nan)
    replicates = np.full((sample.resamples, len(languages)), np.nan)
    if pairs:
        sums = sum_settings(ranks, [setting for pair in pairs.values() for setting in pair], _HITS, sample)
        drawn = sample.bootstrap(sums.sums, sums.counts)
        size = (len(pairs), 2 * len(_HITS))
        values[list(pairs)] = sums.means.reshape(size).mean(axis=1)
        replicates[:, list(pairs)] = drawn.ratios.reshape(-1, *size).mean(axis=2)
    return values, replicates


def _pairs(languages: Sequence[str], asked: set[Setting]) -> dict[int, tuple[Setting, Setting]]:
    """Return the settings of both directions by the place of their language, where both are asked."""
    both = [(Setting(language, (IMAGE,)), Setting(IMAGE, (language,))) for language in languages]
    return {place: pair for place, pair in enumerate(both) if set(pair) <= asked}


def _over_captions(ranks: Ranks, scores: Floats, sample: ClusterSample) -> _Means:
    """Return the mean of `scores` (rows,) over the captions of each language."""
    size = len(ranks.spoken_languages)
    values = np.full(size, np.nan)
    replicates = np.full((sample.resamples, size), np.nan)
    there, sums, counts = _sum_over_captions(ranks, scores, sample)
    if len(there):
        values[there] = sums.sum(axis=0) / counts.sum(axis=0)
        replicates[:, there] = sample.bootstrap(sums, counts).ratios
    return values, replicates


def _sum_over_captions(ranks: Ranks, scores: Floats, sample: ClusterSample) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the places of the languages that have `scores` (rows,), their sums and counts (clusters, languages)."""
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    rows = np.flatnonzero(np.isfinite(scores))
    columns = np.where(ranks.row_languages[rows, None] == spoken, scores[rows, None], np.nan)
    there = np.flatnonzero(np.isfinite(columns).any(axis=0))
    topics = ranks.query_topics[ranks.row_queries[rows]].astype(np.int64)
    return there, *sample.sum_within(columns[:, there], topics)


def _caption_counts(ranks: Ranks) -> dict[str, int]:
    """Return how many captions of each language belong to images that ask for them."""
    asked = ranks.query_languages[ranks.row_queries] == ranks.language_index(IMAGE)
    found = np.bincount(ranks.row_languages[asked], minlength=len(ranks.languages))
    return {language: int(found[ranks.language_index(language)]) for language in ranks.spoken_languages}


def _scores(
    language: str | None, n_captions: int, found: Sequence[tuple[_Means, list[int]]], sample: ClusterSample
) -> CaptionScores:
    """Return the mean of each score over the languages at the places given that have it."""
    means: dict[str, float | None] = {}
    intervals: dict[str, Bounds | None] = {}
    for name, ((values, replicates), places) in zip(CAPTION_SCORES, found, strict=True):
        there = [place for place in places if np.isfinite(values[place])]
        means[name] = float(values[there].mean()) if there else None
        intervals[name] = sample.bounds(replicates[:, there].mean(axis=1)[:, None])[0] if there else None
    return CaptionScores(language=language, n_captions=n_captions, intervals=intervals, **means)
