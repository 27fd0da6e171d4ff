"""How well captions of each language and their images go together: hit rates and CLIPScore, summed within clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, Setting
from mlbench.measures.ranked import Explanation
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.clusters import ClusterSample, Limits
from mlbench.statistics.resampling import macro_contributions
from mlbench.statistics.settings import sum_settings

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
            # Cosines of another model have another scale.
            direction=None,
        ),
        "ref_clip_score": Explanation(
            "The same, and how close the caption is to one of the same image in another language.",
            "mean over captions of the harmonic mean of CLIPScore and max(cos(caption, other caption), 0)",
            "Hessel et al. 2021, CLIPScore, section 4, with captions in other languages as references",
            direction=None,
        ),
        "judged_text_to_image": Explanation(
            "How close a caption is to the first image that is found for it, in the space of a judge.",
            "mean over captions of 2.5 max(cos(caption, first image), 0) by the judge; 0 where nothing is found",
            "Hessel et al. 2021, CLIPScore, section 3, without its prompt, of what is retrieved",
        ),
        "judged_image_to_text": Explanation(
            "How close an image is to the first caption in a language that is found for it, in the space of a judge.",
            "mean of 2.5 max(cos(image, first caption), 0) by the judge, each image as often as it has captions in the "
            "language; 0 where nothing is found",
            "Hessel et al. 2021, CLIPScore, section 3, without its prompt, of what is retrieved",
        ),
        "judged_own": Explanation(
            "What both would be if each caption found its image, and each image a caption of its own.",
            "mean over captions of 2.5 max(cos(image, caption), 0) by the judge",
            "Hessel et al. 2021, CLIPScore, section 3, without its prompt",
            # It says something of the judge and the captions alone.
            direction=None,
        ),
    }
)
"""What the scores of captions are, by name."""
CAPTION_SCORES = tuple(EXPLANATIONS)
CAPTION_LIMITS: Mapping[str, Limits] = MappingProxyType(
    {name: (0.0, 1.0) if name == "r_mean" else (0.0, 2.5) for name in EXPLANATIONS}
)
"""Between which each of them lies. The harmonic mean of at most 2.5 and at most 1 is smaller still."""
_HITS = ("Success@1", "Success@5", "Success@10")
# Hessel et al. 2021, section 3: what spreads the cosines of CLIP over most of [0, 1].
_WEIGHT = 2.5


@dataclass(frozen=True, eq=False)
class CaptionSums:
    """One score of captions, summed within clusters.

    `values` float64 (languages,) are NaN for the languages without it; `present` are the indexes of the others. `sums`
    and `counts` are float64 (clusters, present languages x k): a language has k columns beside each other, whose ratios
    have its value as their mean. `n_topics` counts the images and captions that ask.
    """

    values: Floats
    present: NDArray[np.int64]
    sums: Floats
    counts: Floats
    n_topics: int

    @property
    def value(self) -> float:
        """The mean over all columns; NaN without any."""
        return float(macro_contributions(self.sums, self.counts).sum())

    def counts_of(self, chosen: Sequence[int]) -> Floats:
        """Return the columns of `counts` that are about the languages numbered `chosen`, all with a value."""
        if not len(self.present):
            return self.counts
        by_language = self.counts.reshape(len(self.counts), len(self.present), -1)
        return by_language[:, np.isin(self.present, chosen)].reshape(len(self.counts), -1)

    def replicates(self, sample: ClusterSample) -> Floats:
        """Return the value of each language in each resample, (resamples, languages); NaN for those without one."""
        found = np.full((sample.resamples, len(self.values)), np.nan)
        if len(self.present):
            drawn = sample.bootstrap(self.sums, self.counts)
            found[:, self.present] = drawn.ratios.reshape(
                len(found), len(self.present), self.sums.shape[1] // len(self.present)
            ).mean(axis=2)
        return found


def sum_captions(ranks: Ranks, settings: Sequence[Setting], sample: ClusterSample) -> dict[str, CaptionSums]:
    """Sum each score of captions within clusters; empty for a task without images.

    `r_mean` is there for languages whose captions are asked for and searched in `settings`.
    """
    if not ranks.has_images:
        return {}
    clip, reference = clip_scores(ranks)
    return {
        "r_mean": _sum_hits(ranks, set(settings), sample),
        "clip_score": _sum_over_captions(ranks, clip, sample),
        "ref_clip_score": _sum_over_captions(ranks, reference, sample),
        **{name: _sum_over_captions(ranks, scores, sample) for name, scores in _judged_scores(ranks).items()},
    }


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


def _judged_scores(ranks: Ranks) -> dict[str, Floats]:
    """Return CLIPScores by the judge of each row, float64 (rows,), NaN in the rows they are not about."""
    if ranks.judged is None:
        return {}
    own, found = _WEIGHT * np.maximum(ranks.judged.astype(np.float64), 0.0).T
    by_image = ranks.query_languages[ranks.row_queries] == ranks.language_index(IMAGE)
    return {
        "judged_text_to_image": np.where(by_image, np.nan, found),
        "judged_image_to_text": np.where(by_image, found, np.nan),
        "judged_own": np.where(by_image, own, np.nan),
    }


def count_captions(ranks: Ranks) -> dict[str, int]:
    """Return how many captions of each language belong to images that ask for them."""
    asked = ranks.query_languages[ranks.row_queries] == ranks.language_index(IMAGE)
    found = np.bincount(ranks.row_languages[asked], minlength=len(ranks.languages))
    return {language: int(found[ranks.language_index(language)]) for language in ranks.spoken_languages}


def _sum_hits(ranks: Ranks, asked: set[Setting], sample: ClusterSample) -> CaptionSums:
    """Sum the hit rates of both directions, for each language that has both."""
    languages = ranks.spoken_languages
    both = [(Setting(language, (IMAGE,)), Setting(IMAGE, (language,))) for language in languages]
    present = np.array([index for index, pair in enumerate(both) if set(pair) <= asked], dtype=np.int64)
    hits = sum_settings(ranks, [setting for index in present for setting in both[index]], _HITS, sample)
    values = np.full(len(languages), np.nan)
    if len(present):
        values[present] = hits.means.reshape(len(present), 2 * len(_HITS)).mean(axis=1)
    flat = hits.totals.reshape(sample.n_clusters, len(present) * 2 * len(_HITS))
    return CaptionSums(values, present, flat, np.repeat(hits.cell_counts, len(_HITS), axis=1), _n_topics(ranks))


def _sum_over_captions(ranks: Ranks, scores: Floats, sample: ClusterSample) -> CaptionSums:
    """Sum `scores` (rows,), NaN where there are none, over the captions of each language."""
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    rows = np.flatnonzero(np.isfinite(scores))
    asked, found = ranks.query_languages[ranks.row_queries[rows]], ranks.row_languages[rows]
    captions = np.where(asked == ranks.language_index(IMAGE), found, asked)
    columns = np.where(captions[:, None] == spoken, scores[rows, None], np.nan)
    present = np.flatnonzero(np.isfinite(columns).any(axis=0))
    topics = ranks.query_topics[ranks.row_queries[rows]].astype(np.int64)
    sums, counts = sample.sum_within(columns[:, present], topics)
    values = np.full(len(spoken), np.nan)
    values[present] = sums.sum(axis=0) / counts.sum(axis=0)
    return CaptionSums(values, present, sums, counts, _n_topics(ranks))


def _n_topics(ranks: Ranks) -> int:
    return len(np.unique(ranks.query_topics[ranks.row_queries]))
