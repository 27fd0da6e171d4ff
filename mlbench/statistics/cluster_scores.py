"""Everything that the ranks of one system say, summed within clusters: what results and comparisons are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.io.threads import one_blas_thread
from mlbench.measures.bias import find_score
from mlbench.ranking.ranks import Ranks
from mlbench.results import Result
from mlbench.statistics.bias import BiasSums, ScoreSums, has_pool, sum_bias
from mlbench.statistics.captions import CaptionSums, count_captions, sum_captions
from mlbench.statistics.clusters import ClusterSample
from mlbench.statistics.settings import QueryValues, SettingSums, sum_settings


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What is to be computed from ranks, and how intervals are made.

    `translated` says that the relevant documents of a topic are translations of each other.
    """

    settings: tuple[Setting, ...]
    measures: tuple[str, ...]
    primary_measure: str
    bias_scores: tuple[str, ...]
    parallel: bool
    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95
    translated: bool = True

    @property
    def suited_bias_scores(self) -> tuple[str, ...]:
        """The bias scores for which topics and documents have what they need; raises `UnknownName`."""
        asked = ((name, find_score(name)) for name in self.bias_scores)
        return tuple(name for name, one in asked if one.suits(parallel=self.parallel, translated=self.translated))

    @classmethod
    def of_result(cls, result: Result) -> Self:
        """Return what was computed for a result document, as far as it follows from ranks."""
        task, statistics = result.task, result.statistics
        return cls(
            settings=tuple(Setting(each.query_language, each.document_languages) for each in result.settings),
            measures=tuple(name for name in task.measures if name not in result.listed_measures),
            primary_measure=task.primary_measure,
            bias_scores=task.bias_scores,
            parallel=task.parallel,
            translated=task.documents == "translations",
            resamples=statistics.resamples,
            seed=statistics.seed,
            confidence=statistics.confidence,
        )


@dataclass(frozen=True, eq=False)
class ClusterScores:
    """What one ranks file says, summed within clusters; compared with others of the same `request` and `data`.

    `bias` is None with a single language, and where the pool of all languages was not ranked. `captions` are the scores
    of captioned images and `n_captions` counts them by language; both are empty for texts. `asked` bool (topics,
    settings) says which topics have a query and a relevant document in a setting. `languages` are those of the ranks
    file, images among them. `data` names what was measured on, aspect by aspect, with its digest.
    """

    request: ScoreRequest
    cluster_unit: str
    sample: ClusterSample
    languages: tuple[str, ...]
    settings: SettingSums
    bias: BiasSums | None
    captions: Mapping[str, CaptionSums]
    n_captions: Mapping[str, int]
    asked: NDArray[np.bool_]
    data: Mapping[str, str]

    @property
    def bias_scores(self) -> Mapping[str, ScoreSums]:
        """The bias scores that come topic by topic; none where there is no bias."""
        return {} if self.bias is None else self.bias.scores

    @property
    def caption_scores(self) -> Mapping[str, CaptionSums]:
        """The scores of captions that some language has."""
        return {name: sums for name, sums in self.captions.items() if len(sums.present)}


@one_blas_thread()
def sum_by_cluster(ranks: Ranks, request: ScoreRequest, others: QueryValues | None = None) -> ClusterScores:
    """Compute each score of each topic and sum within clusters; `others` are measures that do not follow from ranks.

    Raises `UserError` for settings that the ranks cannot answer, `UnknownName` for an unknown measure or bias score.
    """
    sample = ClusterSample.of(ranks, request.resamples, request.seed, request.confidence, request.parallel)
    # The pool's ranks are gone before sums over clusters are held.
    bias = sum_bias(ranks, request.suited_bias_scores, sample) if has_pool(ranks) else None
    settings = sum_settings(ranks, request.settings, request.measures, sample, others, request.primary_measure)
    return ClusterScores(
        request=request,
        cluster_unit=str(ranks.cluster_unit[0]),
        sample=sample,
        languages=tuple(ranks.languages.tolist()),
        settings=settings,
        bias=bias,
        captions=sum_captions(ranks, request.settings, sample),
        n_captions=count_captions(ranks) if ranks.has_images else {},
        asked=_asked(ranks, request.settings),
        data=describe_data(ranks, settings.pool_sizes),
    )


def describe_data(ranks: Ranks, pool_sizes: NDArray[np.int64]) -> dict[str, str]:
    """Return digests of what was measured on, aspect by aspect; `pool_sizes` (settings,) are numbers of documents."""
    mentioned = np.zeros(len(ranks.document_ids), dtype=np.bool_)
    mentioned[ranks.row_documents] = True
    judged = np.flatnonzero(mentioned)
    # The numbers of documents depend on the lists, which mention others: they are numbered by id.
    judged = judged[np.argsort(ranks.document_ids[judged])]
    numbers = np.zeros(len(mentioned), dtype=np.int32)
    numbers[judged] = np.arange(len(judged))
    relevant = sha256(_digest(ranks.document_ids[judged], ranks.document_languages[judged]).encode())
    first = 0
    for part in ranks.parts():
        pairs = part.row_queries.astype(np.int64) + first << 32 | numbers[part.row_documents]
        order = np.argsort(pairs, kind="stable")
        relevant.update(np.stack([pairs[order], part.row_grades[order]], axis=1).astype("<i8").tobytes())
        first += len(part.query_topics)
    aspects = {
        "languages": _digest(ranks.languages),
        "topics": _digest(ranks.topic_ids),
        "clusters": _digest(ranks.cluster_unit, ranks.topic_clusters),
        "queries": _digest(ranks.query_topics, ranks.query_languages),
        "relevant documents": relevant.hexdigest(),
        "numbers of documents": _digest(pool_sizes),
    }
    return aspects if ranks.grade_scale is None else aspects | {"grades": _digest(ranks.grade_scale)}


def _digest(*arrays: NDArray[np.str_] | NDArray[np.signedinteger]) -> str:
    return sha256(b"".join(_content(array) for array in arrays)).hexdigest()


def _content(array: NDArray[np.str_] | NDArray[np.signedinteger]) -> bytes:
    """Return the bytes of an array, the same whatever type its numbers or texts have, with its length before them."""
    plain = "\0".join(array.tolist()).encode() if array.dtype.kind == "U" else array.astype("<i8").tobytes()
    return f"{len(array)}:".encode() + plain


def _asked(ranks: Ranks, settings: Sequence[Setting]) -> NDArray[np.bool_]:
    size = len(ranks.languages)
    index = {language: number for number, language in enumerate(ranks.languages.tolist())}
    pairs = np.zeros((len(ranks.topic_ids), size, size), dtype=np.bool_)
    for part in ranks.parts():
        topics, languages = part.query_topics[part.row_queries], part.query_languages[part.row_queries]
        pairs[topics, languages, part.row_languages] = True
    asked = np.zeros((len(pairs), len(settings)), dtype=np.bool_)
    for place, setting in enumerate(settings):
        documents = [index[language] for language in setting.document_languages]
        asked[:, place] = pairs[:, index[setting.query_language], documents].any(axis=1)
    return asked
