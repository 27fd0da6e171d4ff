"""Checks a result against trec_eval and plain loops: `python -m tests.functional.reference --model SPEC --task TASK`.

Vectors and their grid are taken from mlbench; everything after that is done again in another way: whole rows of scores,
runs of every document with the dense rank of its score (so that ties stay ties for trec_eval, which keeps scores as
float32), and loops over topics for the bias scores.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import pytrec_eval

from mlbench.collection.languages import Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.embeddings.encode import embed
from mlbench.embeddings.exact import to_grid
from mlbench.embeddings.store import VectorStore
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.open_model import LoadedModel
from mlbench.protocols import Encoder, Runtime, Silence
from mlbench.results import Result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

MEASURES = {
    "AP": "map",
    "RR": "recip_rank",
    "R@1": "recall_1",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "nDCG@10": "ndcg_cut_10",
}
WANTED = {"map", "recip_rank", "recall.1,10,100", "ndcg_cut.10"}
BATCH = 100

Place = dict[str, dict[str, dict[str, int]]]
"""By topic, query language and document language: the rank of the topic's best-ranked relevant document."""


@dataclass(frozen=True)
class Figure:
    """One number as the result states it, and as it was found here."""

    name: str
    stated: float | None
    found: float | None

    @property
    def difference(self) -> float:
        """How far apart they are; infinite where only one is there."""
        if self.stated is None or self.found is None:
            return 0.0 if self.stated is self.found else float("inf")
        return abs(self.stated - self.found)


@dataclass(frozen=True)
class Vectors:
    """The grid vectors of a collection: float64 (n, dim) by language."""

    collection: Collection
    queries: dict[str, np.ndarray]
    documents: dict[str, np.ndarray]

    @staticmethod
    def of(encoder: Encoder, collection: Collection, cache: Path) -> "Vectors":
        """Encode a collection, or read what is in the store in `cache`."""
        sides = {"query": collection.queries, "document": collection.documents}
        texts = {(role, tag): [row.text for row in rows[tag]] for role, rows in sides.items() for tag in rows}
        found = embed(encoder, texts, VectorStore(cache, Silence()), Silence())
        grids = {}
        for role, tag in texts:
            grids[role, tag] = to_grid(found.vectors(role, tag), encoder.similarity)
        return Vectors(
            collection,
            {tag: grids["query", tag] for tag in collection.languages},
            {tag: grids["document", tag] for tag in collection.languages},
        )

    def scores(self, setting: Setting) -> Iterator[tuple[str, list[str], np.ndarray]]:
        """Yield each topic of the setting with the ids and the exact scores of all documents of its pool."""
        ids = [d.doc_id for tag in setting.document_languages for d in self.collection.documents[tag]]
        documents = np.concatenate([self.documents[tag] for tag in setting.document_languages])
        queries = self.collection.queries[setting.query_language]
        for start in range(0, len(queries), BATCH):
            rows = self.queries[setting.query_language][start : start + BATCH] @ documents.T
            for query, row in zip(queries[start : start + BATCH], rows, strict=True):
                yield query.topic_id, ids, row


def trec_eval(vectors: Vectors, setting: Setting) -> dict[str, float | None]:
    """Return the mean of each measure over the topics with relevant documents in the setting; None without any."""
    qrels = {
        topic: {j.doc_id: j.grade for j in rows if j.language in setting.document_languages}
        for topic, rows in vectors.collection.judgments.items()
    }
    found: list[dict[str, float]] = []
    run: dict[str, dict[str, float]] = {}

    def evaluate() -> None:
        if run:
            judged = {topic: qrels[topic] for topic in run}
            found.extend(pytrec_eval.RelevanceEvaluator(judged, WANTED).evaluate(run).values())
            run.clear()

    for topic, ids, scores in vectors.scores(setting):
        if qrels[topic]:
            dense = np.unique(scores, return_inverse=True)[1]
            run[topic] = dict(zip(ids, dense.astype(float).tolist(), strict=True))
        if len(run) == BATCH:
            evaluate()
    evaluate()
    return {name: mean(row[key] for row in found) if found else None for name, key in MEASURES.items()}


def pool_places(vectors: Vectors) -> Place:
    """Return the ranks of translations in the pool of all languages, each by counting along a whole row of scores."""
    collection = vectors.collection
    places: Place = {}
    for language in collection.languages:
        order: np.ndarray | None = None
        for topic, ids, scores in vectors.scores(Setting(language, collection.languages)):
            if order is None:
                order = np.empty(len(ids), dtype=np.int64)
                order[sorted(range(len(ids)), key=ids.__getitem__, reverse=True)] = np.arange(len(ids))
                index = {doc_id: number for number, doc_id in enumerate(ids)}
            row = places.setdefault(topic, {}).setdefault(language, {})
            for judged in collection.judgments[topic]:
                if judged.doc_id in index:
                    own = index[judged.doc_id]
                    before = (scores > scores[own]) | ((scores == scores[own]) & (order < order[own]))
                    row[judged.language] = min(int(before.sum()) + 1, row.get(judged.language, len(ids)))
    return places


def rank_distance(places: Place) -> float:
    """Return the mean over query languages of the mean over topics of largest minus smallest rank."""
    by_language: dict[str, list[int]] = {}
    for rows in places.values():
        for language, ranks in rows.items():
            if len(ranks) >= 2:
                by_language.setdefault(language, []).append(max(ranks.values()) - min(ranks.values()))
    return mean(mean(distances) for distances in by_language.values())


def own_language_preference(places: Place) -> float:
    """Return the mean over topics of the share of ordered pairs whose own-language document stands before."""
    topics = []
    for rows in places.values():
        languages = [language for language in rows if language in rows[language]]
        pairs = list(permutations(languages, 2))
        if pairs:
            topics.append(mean(float(rows[a][a] < rows[a][c]) for a, c in pairs))
    return mean(topics)


def compare(result: Result, vectors: Vectors, settings: Sequence[Setting]) -> list[Figure]:
    """Return the measures of `settings` and two bias scores, as stated and as found."""
    stated = {Setting(s.query_language, s.document_languages): s.measures for s in result.settings}
    figures = []
    for setting in settings:
        where = f"{setting.query_language} against {'+'.join(setting.document_languages)}"
        found = trec_eval(vectors, setting)
        figures += [Figure(f"{name}, {where}", stated[setting][name], value) for name, value in found.items()]
    places = pool_places(vectors)
    for name, value in (
        ("rank_distance", rank_distance(places)),
        ("own_language_preference", own_language_preference(places)),
    ):
        score = result.bias and result.bias.score(name)
        figures.append(Figure(name, score.value if score else None, value))
    return figures


def check(
    model: LoadedModel, task: str, settings: Sequence[Setting] | None, data_dir: Path | None, cache: Path
) -> list[Figure]:
    """Measure an encoder on a task and compare; `settings` None takes every monolingual one, and some of the others."""
    options = Options(cache=cache, resamples=2)
    result = measure(model, task, data_dir=data_dir, options=options).result
    collection = load_collection(load_task(task), data_dir=data_dir)
    assert isinstance(model.retriever, Encoder)
    return compare(result, Vectors.of(model.retriever, collection, cache), settings or some_settings(collection))


def some_settings(collection: Collection) -> list[Setting]:
    """Return every monolingual setting, fifteen cross-lingual ones and four pools."""
    mono, cross, multi = (
        settings_of(collection.languages, [kind]) for kind in ("monolingual", "cross_lingual", "multilingual")
    )
    return [*mono, *cross[:: max(1, len(cross) // 15)][:15], *multi[:: max(1, len(multi) // 4)][:4]]


def main() -> int:
    """Print every figure; 1 when one differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hashing")
    parser.add_argument("--task", default="mini")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--cache", type=Path, help="a folder of vectors to reuse; a temporary one by default")
    parser.add_argument("--all", action="store_true", help="every setting, not thirty of them")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    chosen = parser.parse_args()
    options = Options(settings=dict(pair.split("=", 1) for pair in chosen.set), runtime=Runtime(threads=chosen.threads))
    task = load_task(chosen.task)
    settings = settings_of(task.languages, task.settings) if chosen.all else None
    with TemporaryDirectory() as temporary:
        cache = chosen.cache or Path(temporary)
        figures = check(options.open_model(chosen.model), chosen.task, settings, chosen.data_dir, cache)
    for figure in figures:
        print(f"{figure.stated!s:<22} {figure.found!s:<22} {figure.difference:8.1e}  {figure.name}")
    worst = max(figure.difference for figure in figures)
    print(f"{len(figures)} figures, largest difference {worst:.1e}")
    return int(worst > chosen.tolerance)


if __name__ == "__main__":
    sys.exit(main())
