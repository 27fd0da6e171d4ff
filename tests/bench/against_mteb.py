"""The same retrieval task in mteb and in mlbench: texts encoded, time, and the mAP of every pair of languages."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from warnings import simplefilter

import mlbench
from tests.bench.material import data_dir, minilm, skip
from tests.bench.timing import alternate, watch_forward

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from sentence_transformers import SentenceTransformer

LANGUAGES = {"de": "deu-Latn", "en": "eng-Latn", "es": "spa-Latn"}
ARTICLES = 12
"""How many of the 48 articles of XQuAD-R are taken."""

Scores = dict[tuple[str, str], float]


@dataclass
class Texts:
    """One language: texts by id, and the relevant document of each query."""

    queries: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)
    relevant: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What one side gave in its last run."""

    encoded: int = 0
    scores: Scores = field(default_factory=dict)


def read(language: str) -> Texts:
    articles = json.loads((data_dir() / "xquad-r" / f"{language}.json").read_text("utf-8"))["data"][:ARTICLES]
    texts = Texts()
    for number, paragraph in enumerate(paragraph for article in articles for paragraph in article["paragraphs"]):
        breaks = paragraph["sentence_breaks"]
        for place, (start, end) in enumerate(breaks):
            texts.documents[f"{language}-{number}-{place}"] = paragraph["context"][start:end]
        for question in paragraph["qas"]:
            answer = question["answers"][0]["answer_start"]
            place = next(place for place, (start, end) in enumerate(breaks) if start <= answer < end)
            texts.queries[question["id"]] = question["question"].strip()
            texts.relevant[question["id"]] = f"{language}-{number}-{place}"
    return texts


def write(folder: Path, collection: dict[str, Texts]) -> None:
    """Write the folder of a bring-your-own task."""
    qrels = []
    for language, texts in collection.items():
        for name, rows in (("queries", texts.queries), ("documents", texts.documents)):
            lines = [json.dumps({"id": key, "text": text}) + "\n" for key, text in rows.items()]
            (folder / f"{name}.{language}.jsonl").write_text("".join(lines), "utf-8")
        qrels += [f"{topic}\t0\t{document}\t1\n" for topic, document in texts.relevant.items()]
    (folder / "qrels.tsv").write_text("".join(qrels), "utf-8")


def build(collection: dict[str, Texts]) -> "AbsTaskRetrieval":
    """Return mteb's own kind of task, with a subset for each pair of languages."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    def rows(texts: dict[str, str]) -> Dataset:
        return Dataset.from_list([{"id": key, "text": text} for key, text in texts.items()])

    class Pairs(AbsTaskRetrieval):
        # mteb's default ends at 1,000, which cuts the lists of a whole corpus of XQuAD-R.
        k_values = (*AbsTaskRetrieval.k_values, 2000)
        metadata = TaskMetadata(
            name="XQuADRPairs",
            description="Sentences that answer a question, for each pair of languages.",
            type="Retrieval",
            category="t2t",
            eval_langs={f"{a}-{b}": [LANGUAGES[a], LANGUAGES[b]] for a in LANGUAGES for b in LANGUAGES},
            main_score="map_at_2000",
            dataset={"path": "in memory", "revision": "1"},
        )

        def load_data(self, **_: object) -> None:
            self.dataset = {
                f"{a}-{b}": {
                    "test": {
                        "queries": rows(asked.queries),
                        "corpus": rows(searched.documents),
                        "relevant_docs": {topic: {searched.relevant[topic]: 1} for topic in asked.queries},
                        "top_ranked": None,
                    }
                }
                for a, asked in collection.items()
                for b, searched in collection.items()
            }
            self.data_loaded = True

    return Pairs()


def run_mteb(model: "SentenceTransformer", collection: dict[str, Texts], outcome: Outcome) -> None:
    from mteb import evaluate

    with watch_forward() as forward:
        result = evaluate(model, build(collection), cache=None, show_progress_bar=False)
    rows = result.task_results[0].scores["test"]
    outcome.scores = {tuple(row["hf_subset"].split("-")): row["map_at_2000"] for row in rows}
    outcome.encoded = forward.texts


def run_mlbench(model: mlbench.Encoder, folder: Path, outcome: Outcome) -> None:
    with TemporaryDirectory() as cache, watch_forward() as forward:
        result = mlbench.evaluate(model, str(folder), options=mlbench.Options(cache=Path(cache))).result
    outcome.scores = {
        (row.query_language, row.document_languages[0]): row.measures["AP"]
        for row in result.settings
        if row.kind != "multilingual"
    }
    outcome.encoded = forward.texts


def report(theirs: Outcome, ours: Outcome, distinct: int) -> None:
    times = theirs.encoded / ours.encoded
    print(f"  texts encoded: mteb {theirs.encoded:,}, mlbench {ours.encoded:,} of {distinct:,} distinct: {times:.2f}")
    print("  mAP of    mteb   mlbench  apart")
    for pair, score in ours.scores.items():
        print(f"  {'-'.join(pair):<8}  {theirs.scores[pair]:.4f} {score:.4f}   {abs(theirs.scores[pair] - score):.1e}")
    # mteb rounds to 5 decimals, so that rounding again to 4 may fall on the other side.
    equal = sum(abs(theirs.scores[pair] - score) < 0.00005 for pair, score in ours.scores.items())
    print(f"  equal to 4 decimals: {equal} of {len(ours.scores)} pairs")


def main() -> None:
    data_dir()
    try:
        import mteb
    except ModuleNotFoundError:
        skip("needs mteb: pip install 'mlbench[bench]'")
    simplefilter("ignore", FutureWarning)
    model = mlbench.open_retriever(minilm(), {}, mlbench.Runtime())
    import torch
    from sentence_transformers import SentenceTransformer

    collection = {language: read(language) for language in LANGUAGES}
    distinct = len(
        {text for texts in collection.values() for text in (*texts.queries.values(), *texts.documents.values())}
    )
    print(f"against mteb {mteb.__version__}: {ARTICLES} articles of XQuAD-R in {', '.join(LANGUAGES)} with MiniLM-L6")
    print(f"  {len(LANGUAGES) ** 2} pairs on both sides; mlbench adds the pools; threads: {torch.get_num_threads()}")
    theirs, ours = Outcome(), Outcome()
    with TemporaryDirectory() as name:
        write(Path(name), collection)
        library = SentenceTransformer(minilm())
        alternate(
            partial(run_mteb, library, collection, theirs),
            partial(run_mlbench, model, Path(name), ours),
            ("mteb", "mlbench"),
        )
    report(theirs, ours, distinct)


if __name__ == "__main__":
    main()
