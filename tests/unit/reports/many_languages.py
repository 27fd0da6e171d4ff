"""A result of 205 languages and 42,025 settings, made of values that look real: as large as one on FLORES-200."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from unit.reports.conftest import make_result

from mlbench.collection.language_info import language_info
from mlbench.results import Aggregate, Bounds, Result, SettingResult
from mlbench.tasks.task import load_task

MEASURES = ("AP", "RR", "R@1", "R@10", "nDCG@10", "Success@1")
SCALE = {"AP": 1.0, "RR": 1.0, "R@1": 0.85, "R@10": 1.15, "nDCG@10": 1.05, "Success@1": 0.85}


@cache
def flores_result(seed: int = 0, n_languages: int = 205) -> Result:
    """Return a result on the first languages of FLORES-200: near where scripts, families and resources are alike."""
    languages = load_task("flores-200").languages[:n_languages]
    level, pool = values(languages, seed)
    settings = [
        SettingResult(
            kind="cross_lingual",
            query_language=query,
            document_languages=(document,),
            n_queries=1004,
            n_documents=1004,
            tied_share=0.0,
            unretrieved_share=0.0,
            measures=measures(level[row, column]),
            intervals={"AP": Bounds(low=level[row, column] * 0.97, high=level[row, column] * 0.97 + 0.03)},
        )
        for row, query in enumerate(languages)
        for column, document in enumerate(languages)
        if row != column
    ]
    whole = tuple(sorted(languages))
    settings += [
        SettingResult(
            kind="multilingual",
            query_language=query,
            document_languages=whole,
            n_queries=1004,
            n_documents=1004 * len(languages),
            tied_share=0.0,
            unretrieved_share=0.0,
            measures=measures(pool[row]),
            intervals={"AP": Bounds(low=pool[row] * 0.95, high=pool[row] * 0.95 + 0.05)},
        )
        for row, query in enumerate(languages)
    ]
    small = make_result(languages[:3])
    task = small.task.model_copy(
        update={"name": "flores-200", "languages": languages, "measures": MEASURES, "document_text": "sentence"}
    )
    off = ~np.eye(len(languages), dtype=bool)
    means = [mean("cross_lingual", None, float(level[off].mean()), int(off.sum()))]
    means += [
        mean("cross_lingual", a, float(level[row][off[row]].mean()), off[row].sum()) for row, a in enumerate(languages)
    ]
    means += [mean("multilingual", None, float(pool.mean()), len(languages))]
    means += [mean("multilingual", a, float(pool[row]), 1) for row, a in enumerate(languages)]
    assert small.bias is not None
    bias = small.bias.model_copy(update={"document_languages": whole, "language_shares": ()})
    return small.model_copy(
        update={"task": task, "settings": tuple(settings), "aggregates": tuple(means), "bias": bias}
    )


def values(languages: tuple[str, ...], seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return made-up means of every pair, and those of each query language in the pool."""
    random = np.random.RandomState(seed)
    infos = [language_info(language) for language in languages]
    known = np.array([{"high": 0.9, "medium": 0.55, "low": 0.25}[info.resources] for info in infos])
    known = np.clip(known + random.normal(0, 0.08, len(known)), 0.02, 0.99)
    script = np.array([[a.script == b.script for b in infos] for a in infos])
    family = np.array([[a.family == b.family for b in infos] for a in infos])
    level = np.sqrt(np.outer(known, known)) - 0.12 + 0.08 * script + 0.08 * family
    level = np.clip(level + random.normal(0, 0.03, level.shape), 0.002, 0.999)
    return level, np.clip(level.mean(axis=1) * 0.6, 0.002, 0.999)


def measures(level: float) -> dict[str, float]:
    """Return made-up values of all measures."""
    return {name: float(min(1.0, level * SCALE[name])) for name in MEASURES}


def mean(kind: str, language: str | None, level: float, n_settings: int) -> Aggregate:
    """Return the macro mean of a kind of settings, or of those of one query language."""
    return Aggregate.model_validate(
        {
            "kind": kind,
            "aggregation": "macro",
            "query_language": language,
            "n_settings": int(n_settings),
            "n_queries": 1004 * int(n_settings),
            "measures": measures(level),
            "intervals": {"AP": {"low": level - 0.01, "high": level + 0.01}},
            "ceilings": dict.fromkeys(MEASURES, 1.0),
        }
    )
