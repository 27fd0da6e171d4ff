"""The synthetic corpus of the benchmarks: sound, the same for the same seed, and of one kind at every size."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from bench.corpus import LONGEST, SHORTEST, Size, write_corpus

from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.measures.formulas import UNRETRIEVED
from mlbench.ranking.ranks import MISSING, pool_counts
from mlbench.ranking.ranks_file import read_ranks
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

TAGS = ("sw", "yo", "te")


def documents(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each language's shards, in their order."""
    found: dict[str, list[dict[str, str]]] = {}
    for tag in TAGS:
        paths = sorted((folder / f"corpus-{tag}").glob("*"), key=lambda path: int(path.name.split(".")[0][5:]))
        lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]
        found[tag] = [json.loads(line) for line in lines]
    return found


@pytest.mark.slow
def test_is_a_task_whose_ranks_are_spread(tmp_path: Path) -> None:
    task = load_task(str(write_corpus(tmp_path, TAGS, Size(2000, 60, per_shard=300))))
    collection = load_collection(task)
    held = {row.doc_id for rows in collection.documents.values() for row in rows}
    relevant = {topic: [row.doc_id for row in rows] for topic, rows in collection.judgments.items()}
    assert len(held) == 2000
    assert {topic: 1 <= len(rows) <= 4 for topic, rows in relevant.items()} == dict.fromkeys(collection.clusters, True)
    missing = [doc_id for rows in relevant.values() for doc_id in rows if doc_id not in held]
    assert len(missing) == 12
    result = evaluate(
        "hashing", task, out=tmp_path / "out", options=Options(resamples=0, cache=tmp_path / "cache")
    ).result
    assert {(one.kind, one.query_language) for one in result.settings} == {
        (kind, tag) for kind in ("monolingual", "multilingual") for tag in TAGS
    }
    ranks = read_ranks(tmp_path / "out" / result.ranks.name)
    assert (ranks.ahead == MISSING).all(axis=1).sum() == len(missing)
    pool = pool_counts(ranks, TAGS)
    found = pool.rank[pool.rank < UNRETRIEVED]
    assert np.quantile(found, 0.2) == 1
    assert np.quantile(found, 0.95) > 50
    assert (pool.ties > 0).any()


def test_the_same_arguments_give_the_same_texts_whatever_the_size_of_a_shard(tmp_path: Path) -> None:
    write_corpus(tmp_path / "one", TAGS, Size(600, 9, per_shard=100))
    write_corpus(tmp_path / "same", TAGS, Size(600, 9, per_shard=100))
    write_corpus(tmp_path / "shards", TAGS, Size(600, 9, per_shard=33))
    write_corpus(tmp_path / "seed", TAGS, Size(600, 9, per_shard=100), seed=1)
    one = sorted(path for path in (tmp_path / "one").rglob("*") if path.is_file())
    same = [tmp_path / "same" / path.relative_to(tmp_path / "one") for path in one]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in same]
    assert documents(tmp_path / "one") == documents(tmp_path / "shards")
    assert len(list((tmp_path / "shards").rglob("docs-*"))) == 21
    assert documents(tmp_path / "one") != documents(tmp_path / "seed")


@pytest.mark.slow
def test_documents_are_of_one_kind_at_every_size(tmp_path: Path) -> None:
    means = []
    for total in (6000, 12_000):
        write_corpus(tmp_path / str(total), TAGS, Size(total, 30, per_shard=900))
        rows = documents(tmp_path / str(total))
        texts = [row["text"] for each in rows.values() for row in each if not row["text"].startswith("lorem")]
        lengths = [len(text.split()) for text in texts]
        assert (min(lengths), max(lengths)) == (SHORTEST, LONGEST)
        means.append((np.mean(lengths), np.mean([len(text) for text in texts])))
        for tag, each in rows.items():
            assert len({row["docid"] for row in each}) == total // 3, tag
            # One document in a hundred has a text that another has, some of them in other shards.
            copied = {}
            for place, row in enumerate(each):
                copied.setdefault((row["title"], row["text"]), []).append(place // 900)
            assert 0.005 < 1 - len(copied) / len(each) < 0.015
            assert any(len(set(places)) > 1 for places in copied.values())
    assert means[0] == pytest.approx(means[1], rel=0.01)


def test_too_few_documents_for_the_queries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 documents for each query"):
        write_corpus(tmp_path, TAGS, Size(100, 60))
    with pytest.raises(ValueError, match="needs a query"):
        write_corpus(tmp_path, TAGS, Size(100, 2))
