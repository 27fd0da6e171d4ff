"""Results of small collections as files, and differences made of numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from unit.statistics.cases import Order, make_collection, random_orders, ranks_of

from mlbench.collection.languages import TEXT_KINDS, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.compare.gate import Gate
from mlbench.compare.pairing import ResultWithRanks
from mlbench.provenance import Provenance
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import write_ranks
from mlbench.results import (
    Bounds,
    Cost,
    Environment,
    RanksFile,
    Result,
    RetrieverInfo,
    Statistics,
    TaskInfo,
    digest,
    write_result,
)
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.differences import Contributions, Difference, Differences, Subject
from mlbench.statistics.score import score

MEASURES = ("AP", "RR", "R@5")
BIAS_SCORES = ("own_language_preference", "rank_distance", "rank_distance_median", "max_rank", "complete@100")
COLLECTION = make_collection(seed=0, topics=12)
SUBJECTS = tuple(Subject(family="aggregates", name="AP", kind=kind) for kind in TEXT_KINDS)


def differences_of(
    columns: np.ndarray,
    subjects: Sequence[Subject] | None = None,
    *,
    shares: np.ndarray | None = None,
    intervals: Sequence[Bounds | None] | None = None,
) -> Differences:
    """Return differences to which clusters add `columns` (clusters, subjects)."""
    n_clusters, size = columns.shape
    subjects = subjects or [
        Subject(family="query_languages", name="AP", kind="monolingual", query_language=f"{chr(97 + i)}x")
        for i in range(size)
    ]
    shares = np.full(n_clusters, 1 / n_clusters) if shares is None else shares
    each = tuple(
        Difference(
            subject=subject,
            base=np.array([0.5]),
            candidate=np.array([0.5 + added.sum()]),
            interval=interval,
            n_topics=n_clusters,
            n_clusters=n_clusters,
            contributions=Contributions(added, shares),
        )
        for subject, added, interval in zip(subjects, columns.T, intervals or [None] * size, strict=True)
    )
    statistics = Statistics(
        clustered_by="topic", n_clusters=n_clusters, resamples=0, seed=0, confidence=0.95, redraws=0
    )
    return Differences(each, "AP", 1, 1, statistics)


def gate(**table: Any) -> Gate:
    return Gate.model_validate(table)


def filtered(orders: Mapping[tuple[str, str], Order], collection: Collection) -> dict[tuple[str, str], Order]:
    """Return the orders of a collection's queries over its documents alone."""
    ids = {document.doc_id for rows in collection.documents.values() for document in rows}
    asked = {(language, topic) for language, rows in collection.queries.items() for topic, _ in rows}
    return {key: [doc_id for doc_id in order if doc_id in ids] for key, order in orders.items() if key in asked}


def skilled(collection: Collection = COLLECTION, *, seed: int = 0, skill: float = 1.0) -> Ranks:
    return ranks_of(collection, random_orders(collection, seed, skill=skill))


def trained(seed: int | None, *, alpha: float = 0.5, steps: int = 100) -> Provenance:
    recipe = {"name": "small", "batches": {"alpha": alpha}, "seed": seed}
    return Provenance(
        recipe=recipe, recipe_fingerprint=f"{alpha}{seed}", data=(), code_version="0", seed=seed, steps=steps
    )


def result_of(
    ranks: Ranks,
    collection: Collection = COLLECTION,
    *,
    spec: str = "model",
    settings: Sequence[Setting] | None = None,
    training: Provenance | None = None,
    **task: Any,
) -> Result:
    """Return the document of ranks; `task` are changes of what it says of the task."""
    about = TaskInfo(
        name="small",
        version="1",
        fingerprint=collection.fingerprint(),
        fingerprints=collection.fingerprints(),
        languages=collection.languages,
        partial=False,
        parallel=collection.parallel,
        document_text="sentence",
        measures=MEASURES,
        primary_measure="AP",
        bias_scores=BIAS_SCORES,
    )
    about = TaskInfo.model_validate({**about.model_dump(), **task})
    request = ScoreRequest(
        settings=tuple(settings or settings_of(collection.languages)),
        measures=about.measures,
        primary_measure=about.primary_measure,
        bias_scores=about.bias_scores,
        parallel=about.parallel,
        resamples=2,
    )
    scores = score(ranks, request)
    seed = "" if training is None else f"-{training.seed}"
    content = write_ranks(ranks)
    return Result(
        task=about,
        retriever=RetrieverInfo(
            spec=spec, kind="encoder", fingerprint=digest(f"{spec}{seed}".encode()), training=training
        ),
        settings=scores.settings,
        aggregates=scores.aggregates,
        bias=scores.bias,
        statistics=scores.statistics,
        cost=Cost(
            texts=None,
            encoded_texts=None,
            tokens=None,
            read_seconds=0,
            encode_seconds=0,
            rank_seconds=0,
            score_seconds=0,
            peak_bytes=None,
            finished_at="",
        ),
        environment=Environment(
            mlbench="0", python="3", platform="", cpus=None, libraries={}, command=None, git_commit=None
        ),
        ranks=RanksFile(name=f"{about.name}.{spec}{seed}.ranks.npz", sha256=digest(content)),
    )


def measured(ranks: Ranks, *about: Any, **more: Any) -> ResultWithRanks:
    """Return a result that was read; arguments as for `result_of`."""
    result = result_of(ranks, *about, **more)
    return ResultWithRanks(Path(result.ranks.name.replace(".ranks.npz", ".json")), result, ranks)


def put(folder: Path, ranks: Ranks, *about: Any, **more: Any) -> Path:
    """Write a result and its ranks; returns the path of the document."""
    return write_result(result_of(ranks, *about, **more), write_ranks(ranks), folder)
