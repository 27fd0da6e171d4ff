"""A result document made by hand: values that look real, and no retriever behind them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mlbench.collection.languages import TEXT_KINDS, Kind, settings_of
from mlbench.provenance import Contamination, Provenance, TrainedOn
from mlbench.results import (
    Aggregate,
    Bias,
    BiasResult,
    Bounds,
    Cost,
    Environment,
    LanguageShare,
    LanguageValue,
    RanksFile,
    Result,
    RetrieverInfo,
    SettingResult,
    Statistics,
    TaskInfo,
)

TRAINING = Provenance(
    recipe={"name": "static-hybrid", "seed": 3},
    recipe_fingerprint="a" * 64,
    data=(TrainedOn(name="ntrex", fingerprint="b" * 64), TrainedOn(name="flores", fingerprint="c" * 64)),
    code_version="0.1.0",
    seed=3,
    steps=4000,
    contamination=Contamination(tasks=("xquad-r", "mlqa-r"), texts=25_600, hits=0),
)
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
MEASURES = ("AP", "RR", "RR@10", "R@1", "R@10", "R@100", "nDCG@10", "Success@10")
SCALE = {
    "AP": 1.0,
    "RR": 1.02,
    "RR@10": 1.0,
    "R@1": 0.85,
    "R@10": 1.1,
    "R@100": 1.2,
    "nDCG@10": 1.05,
    "Success@10": 1.1,
}
LEVEL: dict[Kind, float] = {"monolingual": 0.79, "cross_lingual": 0.67, "multilingual": 0.55}


def make_result(languages: Sequence[str] = LANGUAGES, *, kinds: Sequence[Kind] = TEXT_KINDS) -> Result:
    settings = make_settings(languages, kinds)
    return Result(
        task=TaskInfo(
            name="xquad-r",
            version="1",
            fingerprint="f" * 64,
            fingerprints={},
            languages=tuple(languages),
            partial=False,
            parallel=True,
            document_text="sentence",
            measures=MEASURES,
            primary_measure="AP",
            bias_scores=(),
        ),
        retriever=RetrieverInfo(
            spec="dense:intfloat/multilingual-e5-small",
            kind="encoder",
            fingerprint="e" * 64,
            dim=384,
            similarity="cosine",
        ),
        settings=settings,
        aggregates=tuple(make_aggregate(kind, settings, language) for kind in kinds for language in (None, *languages)),
        bias=make_bias(languages) if "multilingual" in kinds else None,
        statistics=Statistics(
            clustered_by="article", n_clusters=48, resamples=2000, seed=0, confidence=0.95, redraws=0
        ),
        cost=Cost(
            texts=26_078,
            encoded_texts=26_078,
            tokens=1_234_567,
            read_seconds=1.24,
            encode_seconds=318.4,
            rank_seconds=4.06,
            score_seconds=7.7,
            peak_bytes=None,
            finished_at="2026-11-20T12:00:00+00:00",
        ),
        environment=Environment(
            mlbench="0.1.0", python="3.11.9", platform="Linux", cpus=2, libraries={}, command=None, git_commit=None
        ),
        ranks=RanksFile(name="xquad-r.ranks.npz", sha256="0" * 64),
    )


def make_settings(languages: Sequence[str], kinds: Sequence[Kind]) -> tuple[SettingResult, ...]:
    random = np.random.RandomState(0)
    quality = dict(zip(languages, random.uniform(-0.12, 0.1, len(languages)), strict=True))
    made = []
    for setting in settings_of(languages, kinds):
        documents = np.mean([quality[language] for language in setting.document_languages])
        level = LEVEL[setting.kind] + (quality[setting.query_language] + documents) / 2 + random.uniform(-0.02, 0.02)
        made.append(
            SettingResult(
                kind=setting.kind,
                query_language=setting.query_language,
                document_languages=setting.document_languages,
                n_queries=1190,
                n_documents=1200 * len(setting.document_languages),
                tied_share=0.0,
                unretrieved_share=0.0,
                measures={name: float(level * SCALE[name]) for name in MEASURES},
                intervals={"AP": Bounds(low=float(level) - 0.03, high=float(level) + 0.02)},
            )
        )
    return tuple(made)


def make_aggregate(kind: Kind, settings: Sequence[SettingResult], language: str | None = None) -> Aggregate:
    chosen = [s for s in settings if s.kind == kind and language in (None, s.query_language)]
    means = {name: float(np.mean([setting.measures[name] for setting in chosen])) for name in MEASURES}
    m = len(chosen[0].document_languages)
    return Aggregate(
        kind=kind,
        aggregation="macro",
        query_language=language,
        n_settings=len(chosen),
        n_queries=sum(setting.n_queries for setting in chosen),
        measures=means | ({"R@1": means["R@1"] / m, "R@10": means["R@10"] / 1.2} if m > 1 else {}),
        intervals={"AP": Bounds(low=means["AP"] - 0.013, high=means["AP"] + 0.012)},
        ceilings={name: min(1.0, int(name[2:]) / m) if name.startswith("R@") else 1.0 for name in MEASURES},
    )


def make_bias(languages: Sequence[str]) -> Bias:
    def rows(low: float, high: float) -> tuple[LanguageValue, ...]:
        values = np.linspace(low, high, len(languages))
        return tuple(LanguageValue(language=a, value=float(v)) for a, v in zip(languages, values, strict=True))

    def score(name: str, value: float | None, **more: object) -> BiasResult:
        return BiasResult.model_validate({"name": name, "value": value, **more})

    def beside(ideal: float, chance: float) -> dict[str, float]:
        return {"ideal": ideal, "chance": chance}

    by_query, by_document = {"rows_by": "query_language"}, {"rows_by": "document_language"}
    return Bias(
        document_languages=tuple(languages),
        n_topics=1190,
        n_documents=13_014,
        warning=None,
        scores=(
            score(
                "own_language_preference",
                0.6123,
                references={"ideal": 0.5, "chance": 0.5},
                interval=Bounds(low=0.604, high=0.621),
            ),
            score("rank_distance", 410.23, references=beside(10.0, 10845.83), rows=rows(290, 612), **by_query),
            score("rank_distance_median", 101.5, references=beside(10.0, 11089.0), rows=rows(60, 180), **by_query),
            score("rank_distance_log2", 6.104, references=beside(3.459, 4.221), rows=rows(5.2, 7.4), **by_query),
            score("max_rank", 415.7, references=beside(11.0, 11_930.4), rows=rows(300, 620), **by_query),
            score("max_rank_norm", 61.34, references=beside(100.0, 1.28), rows=rows(55, 66), **by_query),
            score("complete@m", 0.0312, references=beside(1.0, 0.0), rows=rows(0.01, 0.05), **by_query),
            score("complete@20", 0.1201, references=beside(1.0, 0.0), rows=rows(0.08, 0.16), **by_query),
            score("complete@100", 0.4421, references=beside(1.0, 0.0), rows=rows(0.31, 0.51), **by_query),
            score("language_prior", 0.2213, references=beside(0.0, 0.0097), rows=rows(0.38, 0.6013), **by_document),
            score(
                "same_language_first",
                0.3514,
                references={**beside(1 / 11, 1 / 11), "other_languages": 0.0712},
                rows=rows(0.2, 0.5),
                **by_query,
            ),
            score("removal_gap", 0.0912, references=beside(0.0, 0.0), rows=rows(0.05, 0.13), **by_query),
            score("rank_spread", 1.2034, references=beside(0.0, 1.4417)),
            score("worst_language", 0.4312, references={**beside(1.0, 0.0016), "ratio": 0.7212}),
            score("transfer_gap", 0.1213, references=beside(0.0, 0.0)),
            score("language_share@10", 2.4, references=beside(1.0, 1.0), rows=rows(1.4, 3.1), **by_query),
        ),
        language_shares=tuple(
            LanguageShare(cutoff=k, query_language=a, document_language=b, share=2.4 if a == b else 0.86)
            for k in (10,)
            for a in languages
            for b in languages
        ),
    )


HOSTILE = "</td></script><script>alert(1)</script>|*a*`b`[x](y)<img src=q onerror=alert(1)>&amp;{{ 7*7 }}$\\x%#_^~@me"
"""A name that means something in every format."""
UNSEEN = "\x1b[31mred\u202egnp\nnext\x00\u2028line\u200b"
"""Characters that act without being seen."""


def spoil(result: Result, name: str = HOSTILE + UNSEEN) -> Result:
    """Put a hostile name wherever a result has a free text."""
    document = result.model_dump()
    training = TRAINING.model_dump() | {"recipe": {"name": name}, "code_version": name, "code_commit": name}
    training |= {"data": [{"name": name, "fingerprint": name, "rows": None}], "recipe_fingerprint": name}
    training["contamination"] |= {"tasks": [name], "rows": {name: 3}}
    document["retriever"] |= {"spec": name, "parameters": {name: name}, "training": training}
    document["task"] |= {"name": name, "version": name, "document_text": name, "partial": True}
    document["environment"] |= {"command": name, "platform": name, "libraries": {name: name}, "git_commit": name}
    document["statistics"]["clustered_by"] = name
    document["bias"] |= {"warning": name}
    document["bias"]["scores"][-1]["name"] = name
    document["cost"]["finished_at"] = name
    document["ranks"]["name"] = name
    first = document["task"]["languages"][0]
    document["task"]["languages"] = [name, *document["task"]["languages"][1:]]
    for row in [*document["settings"], *document["aggregates"]]:
        row["query_language"] = name if row["query_language"] == first else row["query_language"]
        if "document_languages" in row:
            row["document_languages"] = [name if a == first else a for a in row["document_languages"]]
    return Result.model_validate(document)


@pytest.fixture
def small() -> Result:
    """Three languages, all kinds of settings: what the golden files show."""
    return make_result(("de", "en", "th"))


@pytest.fixture
def trained_result(small: Result) -> Result:
    """The small result, of a checkpoint that says how it was trained."""
    return small.model_copy(update={"retriever": small.retriever.model_copy(update={"training": TRAINING})})


@pytest.fixture
def hostile() -> Result:
    """A result whose names try to break out of every format."""
    return spoil(make_result(("de", "en", "th")))


@pytest.fixture
def result() -> Result:
    """Eleven languages, all kinds of settings."""
    return make_result()


@pytest.fixture(scope="session")
def result_of() -> Callable[..., Result]:
    """Makes a result of other languages or kinds."""
    return make_result
