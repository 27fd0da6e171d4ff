"""XQuAD-R in the layouts of BEIR and mteb: mteb's own numbers for one model, and those of mlbench on the same files.

After it a drawn set with what published ones have: grades from 2 to -1, judged documents that are missing, queries
without judgments, queries that are documents.

`python -m tests.bench.against_mteb_layout [MODEL [LANGUAGES]]` measures the default model in 11 languages, or another.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from warnings import simplefilter

from numpy.random import RandomState

import mlbench
from tests.bench.material import data_dir, skip

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.models.abs_encoder import AbsEncoder

CODES = {
    "ar": "ara",
    "de": "deu",
    "el": "ell",
    "en": "eng",
    "es": "spa",
    "hi": "hin",
    "ru": "rus",
    "th": "tha",
    "tr": "tur",
    "vi": "vie",
    "zh": "zho",
}
MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "AP@1000": "map_cut_1000",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "P@10": "P_10",
    "Success@10": "success_10",
    "RR@10": "",
}
"""Names here, and those of pytrec_eval in mteb, whose rounding to five decimals comes after; mteb counts RR itself."""

Rows = list[dict[str, object]]
Scores = dict[str, dict[str, float]]


def read(language: str) -> dict[str, Rows]:
    """Return documents, queries and judgments; of every third document, the first word is the title."""
    articles = json.loads((data_dir() / "xquad-r" / f"{language}.json").read_text("utf-8"))["data"]
    found: dict[str, Rows] = {"corpus": [], "queries": [], "qrels": []}
    for number, paragraph in enumerate(paragraph for article in articles for paragraph in article["paragraphs"]):
        breaks = paragraph["sentence_breaks"]
        for place, (start, end) in enumerate(breaks):
            sentence = paragraph["context"][start:end].strip()
            title, _, text = sentence.partition(" ") if place % 3 == 0 else ("", "", sentence)
            found["corpus"].append({"_id": f"{number}-{place}", "title": title, "text": text})
        for question in paragraph["qas"]:
            answer = question["answers"][0]["answer_start"]
            place = next(place for place, (start, end) in enumerate(breaks) if start <= answer < end)
            found["queries"].append({"_id": question["id"], "text": question["question"].strip()})
            found["qrels"].append({"query-id": question["id"], "corpus-id": f"{number}-{place}", "score": 1})
    return found


def draw() -> dict[str, Rows]:
    """Return documents, queries and judgments where a query's id is also that of a document, and one text of both."""
    chance = RandomState(3)
    words = [f"{name}{number}" for name in ("river", "hill", "salt", "sea", "wind") for number in range(8)]

    def text(length: int) -> str:
        return " ".join(chance.choice(words, length))

    corpus: Rows = [{"_id": f"{n}", "title": text(2) if n % 2 else "", "text": f" {text(7)}"} for n in range(300)]
    queries: Rows = [{"_id": f"{n}", "text": text(5)} for n in range(60)]
    corpus[3] = {"_id": "3", "title": "", "text": queries[3]["text"]}
    judged = [
        (n, doc, grade)
        for n in range(50)
        for grade, doc in zip((2, 1, 0, -1, 1), chance.permutation(300), strict=False)
    ]
    qrels: Rows = [{"query-id": f"{n}", "corpus-id": f"{doc}", "score": grade} for n, doc, grade in judged if n != doc]
    return {"corpus": corpus, "queries": queries, "qrels": [*qrels, {"query-id": "1", "corpus-id": "999", "score": 1}]}


def write_beir(folder: Path, language: str, rows: Mapping[str, Rows]) -> None:
    """Write what BEIR publishes: JSON lines, and judgments in a table with a header."""
    (folder / language / "qrels").mkdir(parents=True)
    for kind in ("corpus", "queries"):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows[kind]]
        (folder / language / f"{kind}.jsonl").write_text("".join(lines), "utf-8")
    table = ["query-id\tcorpus-id\tscore\n", *("\t".join(map(str, row.values())) + "\n" for row in rows["qrels"])]
    (folder / language / "qrels" / "test.tsv").write_text("".join(table), "utf-8")


def write_mteb(folder: Path, languages: Mapping[str, Mapping[str, Rows]]) -> None:
    """Write what mteb has on the hub: Parquet for each configuration, and the data card that lists them."""
    from pyarrow import Table
    from pyarrow.parquet import write_table

    configs = []
    for language, kinds in languages.items():
        for kind, rows in kinds.items():
            path = f"{language}-{kind}/test-00000-of-00001.parquet"
            (folder / path).parent.mkdir(parents=True)
            write_table(Table.from_pylist(rows), folder / path)
            configs.append(f"- config_name: {language}-{kind}\n  data_files:\n  - split: test\n    path: {path}\n")
    (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(configs)}---\n", "utf-8")


def build(folder: Path, languages: Sequence[str], ignore: bool) -> "AbsTaskRetrieval":
    """Return mteb's own kind of task on a folder, which its own loader reads."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Languages(AbsTaskRetrieval):
        ignore_identical_ids = ignore
        metadata = TaskMetadata(
            name="XQuADRLanguages",
            description="Sentences that answer a question, in each language.",
            type="Retrieval",
            category="t2t",
            eval_langs={tag: [f"{CODES[tag]}-Latn"] for tag in languages},
            main_score="ndcg_at_10",
            dataset={"path": str(folder), "revision": "1"},
        )

        def task_specific_scores(  # type: ignore[override]
            self, scores: Mapping[str, Mapping[str, float]], *_: object, **__: object
        ) -> dict[str, float]:
            """Hand over means of what pytrec_eval says of each query, which mteb rounds."""
            return {name: fmean(row[name] for row in scores.values()) for name in filter(None, MEASURES.values())}

    return Languages()


def wrap(model: mlbench.Encoder) -> "AbsEncoder":
    """Return an encoder of mlbench as one of mteb, so that both rank the same vectors."""
    import numpy as np
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    class Wrapped(AbsEncoder):
        mteb_model_meta = ModelMeta.create_empty(
            {"name": "mlbench/model", "revision": "1", "similarity_fn_name": ScoringFunction(model.similarity)}
        )

        def __init__(self) -> None: ...

        def encode(self, inputs, *, prompt_type=None, **_):  # type: ignore[no-untyped-def]
            texts = [text for batch in inputs for text in batch["text"]]
            role = "query" if str(getattr(prompt_type, "value", prompt_type)) == "query" else "document"
            return np.asarray(model.encode(texts, role))

    return Wrapped()


def run_mteb(model: mlbench.Encoder, folder: Path, languages: Sequence[str], ignore: bool = False) -> Scores:
    from datasets import config
    from mteb import evaluate

    # What `datasets` keeps of another folder with the same names must not be taken for this one's.
    config.HF_DATASETS_CACHE = folder.parent / "datasets"
    encoding: dict[str, object] = {"batch_size": 256, "show_progress_bar": False}
    result = evaluate(
        wrap(model), build(folder, languages, ignore), cache=None, show_progress_bar=False, encode_kwargs=encoding
    )
    return {
        row["hf_subset"]: {name: row[theirs or "mrr_at_10"] for name, theirs in MEASURES.items()}
        for row in result.task_results[0].scores["test"]
    }


def run_mlbench(model: mlbench.Encoder, folder: Path, cache: Path, ignore: bool = False) -> Scores:
    task = mlbench.load_task(str(folder)).model_copy(
        update={"measures": tuple(MEASURES), "ignore_identical_ids": ignore}
    )
    rows = mlbench.evaluate(model, task, options=mlbench.Options(cache=cache, resamples=0)).result.settings
    return {row.query_language: {name: row.measures[name] or 0.0 for name in MEASURES} for row in rows}


def report(theirs: Scores, found: Mapping[str, Scores]) -> None:
    for name, ours in found.items():
        print(f"\n{name}: mteb, mlbench, and the largest difference over {len(ours)} languages")
        print("| measure | mteb | mlbench | largest difference |\n|---|---|---|---|")
        for measure in MEASURES:
            apart = max(abs(theirs[tag][measure] - ours[tag][measure]) for tag in ours)
            means = [fmean(scores[tag][measure] for tag in ours) for scores in (theirs, ours)]
            print(f"| {measure} | {means[0]:.6f} | {means[1]:.6f} | {apart:.1e} |")
        for tag in ours:
            far = [measure for measure in MEASURES if abs(theirs[tag][measure] - ours[tag][measure]) > 1e-6]
            if far:
                told = ", ".join(
                    f"{measure} {theirs[tag][measure]:.6f} and {ours[tag][measure]:.6f}" for measure in far
                )
                print(f"  {tag}: {told}")


def main(arguments: Sequence[str]) -> None:
    data_dir()
    try:
        import mteb
    except ModuleNotFoundError:
        skip("needs mteb: pip install 'mlbench[bench]'")
    simplefilter("ignore", FutureWarning)
    model = mlbench.open_retriever(arguments[0] if arguments else "static", {}, mlbench.Runtime())
    languages = {language: read(language) for language in (arguments[1].split(",") if arguments[1:] else CODES)}
    with TemporaryDirectory() as name:
        beir, layout = Path(name, "beir"), Path(name, "mteb")
        for language, rows in languages.items():
            write_beir(beir, language, rows)
        write_mteb(layout, languages)
        print(f"mteb {mteb.__version__} and mlbench {mlbench.__version__} on XQuAD-R")
        theirs = run_mteb(model, layout, list(languages))
        folders = {"BEIR's layout": beir, "mteb's layout": layout}
        report(theirs, {title: run_mlbench(model, folder, Path(name)) for title, folder in folders.items()})
    with TemporaryDirectory() as name:
        beir, layout, drawn = Path(name, "beir"), Path(name, "mteb"), {"en": draw()}
        write_beir(beir, "en", drawn["en"])
        write_mteb(layout, drawn)
        for ignore in (False, True):
            theirs = run_mteb(model, layout, ["en"], ignore)
            title = f"a drawn set{', without documents that have the id of the query' if ignore else ''}"
            report(theirs, {title: run_mlbench(model, beir, Path(name), ignore)})


if __name__ == "__main__":
    main(sys.argv[1:])
