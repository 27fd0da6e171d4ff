"""Queries that stand in the corpus: documents with their id are left out, by brute force, and without that are told."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.streaming.test_stream import Notes
from unit.ranking.test_self_match import Numbers, Sorting, average_precision, ordered

from mlbench.collection.records import Collection, name_of, own_topic_id
from mlbench.errors import InvalidTask
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import verify
from mlbench.ranking.ranks_file import read_ranks
from mlbench.ranking.run_files import SaveRun
from mlbench.results import Result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

LANGUAGES = ("de", "en")
Rows = dict[str, str]
# A few texts, so that they tie; some ids are those of topics.
IDS = st.sampled_from(["a", "b", "c", "x", "y", "z"])
CORPUS = st.dictionaries(IDS, st.sampled_from("stuvw"), min_size=3)
QUERIES = st.dictionaries(st.sampled_from("abc"), st.sampled_from("stuvw"), min_size=1)
JUDGED = st.dictionaries(st.sampled_from("abc"), st.sets(IDS, min_size=1, max_size=3), min_size=3)


def write(
    folder: Path, queries: dict[str, Rows], documents: dict[str, Rows], judged: dict[str, set[str]], toml: str
) -> Path:
    for kind, corpora in (("queries", queries), ("documents", documents)):
        for language, rows in corpora.items():
            lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in rows.items()]
            (folder / f"{kind}.{language}.jsonl").write_text("".join(lines), encoding="utf-8")
    lines = [f"{topic} 0 {name} 1\n" for topic, names in judged.items() for name in sorted(names)]
    (folder / "qrels.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "task.toml").write_text(f'name = "own"\nmeasures = ["AP"]\n{toml}', encoding="utf-8")
    return folder


def precision_by_hand(collection: Collection, language: str, pool: Sequence[str], *, parallel: bool) -> list[float]:
    """Return the average precision of each query among all documents but those of its name."""
    found = []
    for query in collection.queries[language]:
        name = query.topic_id if parallel else own_topic_id(query.topic_id, language)
        own = {
            row.doc_id
            for tag in (pool if parallel else [language])
            for row in collection.documents.get(tag, ())
            if name_of(row.doc_id, tag) == name
        }
        order = ordered(query, [row for tag in pool for row in collection.documents[tag] if row.doc_id not in own])
        rows = [row for row in collection.judgments[query.topic_id] if row.language in pool]
        relevant = [
            row
            for row in rows
            if name_of(row.doc_id, row.language) != name or (row.language != language and not parallel)
        ]
        if relevant:
            ranks = sorted(order.index(row.doc_id) + 1 for row in relevant if row.doc_id in order)
            found.append(average_precision(ranks) * len(ranks) / len(relevant) if ranks else 0.0)
    return found


def check(result: Result, collection: Collection, *, parallel: bool) -> None:
    for setting in result.settings:
        expected = precision_by_hand(collection, setting.query_language, setting.document_languages, parallel=parallel)
        assert setting.n_queries == len(expected)
        assert setting.measures["AP"] == (pytest.approx(np.mean(expected), abs=1e-12) if expected else None)


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(LANGUAGES, QUERIES)),
    st.fixed_dictionaries(dict.fromkeys(LANGUAGES, CORPUS)),
    JUDGED,
    st.booleans(),
)
def test_documents_with_the_id_of_a_query_leave_pool_and_judgments(
    tmp_path_factory: pytest.TempPathFactory,
    queries: dict[str, Rows],
    documents: dict[str, Rows],
    judged: dict[str, set[str]],
    parallel: bool,
) -> None:
    folder = tmp_path_factory.mktemp("own")
    if not parallel:
        queries = {
            language: {f"{language}:{name}": text for name, text in rows.items()} for language, rows in queries.items()
        }
        judged = {f"{language}:{topic}": names for language in LANGUAGES for topic, names in judged.items()}
    asked = {topic for rows in queries.values() for topic in rows}
    judged = {topic: names for topic, names in judged.items() if topic in asked}
    toml = f"ignore_identical_ids = true\nparallel = {str(parallel).lower()}\n"
    write(folder, queries, documents, judged, toml)
    collection = load_collection(load_task(str(folder)))
    if not any(collection.judged(tag, query.topic_id) for tag in LANGUAGES for query in collection.queries[tag]):
        return
    options = Options(resamples=0, cache=folder / "cache", save_run=SaveRun(folder / "runs", 4))
    for model in (Numbers(), Sorting()):
        check(evaluate(model, str(folder), options=options).result, collection, parallel=parallel)


QUERIES_IN_CORPUS = {"en": {f"a{n}": f"the {word} is here" for n, word in enumerate(("river", "bee", "train", "moon"))}}
ANSWERS = {f"c{n}": f"no, the {word} is there" for n, word in enumerate(("river", "bee", "train", "moon"))}
JUDGMENTS = {f"a{n}": {f"c{n}"} for n in range(4)}


def in_corpus(folder: Path, toml: str = "") -> Path:
    documents = {"en": QUERIES_IN_CORPUS["en"] | ANSWERS}
    return write(folder, QUERIES_IN_CORPUS, documents, JUDGMENTS, toml + 'settings = ["monolingual"]\n')


@pytest.mark.parametrize("model", ["hashing", "run"])
def test_what_stands_in_its_own_way_is_left_out(tmp_path: Path, model: str) -> None:
    folder, notes, found = in_corpus(tmp_path), Notes(), {}
    (tmp_path / "runs").mkdir()
    names = [*QUERIES_IN_CORPUS["en"], *ANSWERS]
    # Each query finds itself, then its answer, then others.
    lines = [f"a{n} Q0 {name} 1 {(name == f'a{n}') * 2 + (name[1] == str(n))} r\n" for n in range(4) for name in names]
    (tmp_path / "runs" / "en-en.trec").write_text("".join(lines), encoding="utf-8")
    spec = "hashing" if model == "hashing" else f"run:{tmp_path / 'runs'}"
    options = Options(resamples=50, cache=tmp_path / "cache", progress=notes)
    for ignore in (False, True):
        in_corpus(tmp_path, f"ignore_identical_ids = {str(ignore).lower()}\n")
        found[ignore] = evaluate(spec, str(folder), out=tmp_path / f"results-{ignore}", options=options).result
    assert found[False].settings[0].measures["AP"] == 0.5
    assert found[True].settings[0].measures["AP"] == 1.0
    assert [found[ignore].task.ignore_identical_ids for ignore in (False, True)] == [False, True]
    # They are not of the same data.
    assert found[False].task.fingerprint != found[True].task.fingerprint
    (warning,) = [line for line in notes.lines if line.startswith("warning") and "documents of the corpora" in line]
    assert "own: 4 queries are documents of the corpora, by text or id, and not judged relevant" in warning
    assert "ignore_identical_ids = true in the task file" in warning
    (path,) = (tmp_path / "results-True").glob("*.json")
    assert not verify(path).differences
    ranks = read_ranks(path.with_name(found[True].ranks.name))
    for query, top in enumerate(ranks.top):
        names_in_top = [name_of(str(ranks.document_ids[place]), "en") for place in top if place >= 0]
        assert len(names_in_top) == 7
        assert ranks.topic_ids[ranks.query_topics[query]] not in names_in_top


@pytest.mark.parametrize(
    ("queries", "documents", "judged", "said"),
    [
        ({"q": "same"}, {"d": "same", "e": "other"}, {"q": {"e"}}, "1 query is a document"),
        ({"q": "same"}, {"d": "same", "e": "other"}, {"q": {"e", "d"}}, ""),
        ({"q": "title"}, {"q": "another text", "e": "other"}, {"q": {"e"}}, "1 query is a document"),
        ({"7": "one"}, {"7": "two", "8": "other"}, {"7": {"8"}}, ""),
        ({"7": "one"}, {"7": "number one", "8": "other"}, {"7": {"8"}}, "1 query is a document"),
        ({"q": "one", "r": "two"}, {"d": "one", "e": "two"}, {"q": {"e"}, "r": {"d"}}, "2 queries are documents"),
    ],
    ids=["text", "judged", "id", "numbers", "a number and its text", "several"],
)
def test_queries_in_the_corpus_are_counted(
    tmp_path: Path, queries: Rows, documents: Rows, judged: dict[str, set[str]], said: str
) -> None:
    notes = Notes()
    folder = write(tmp_path, {"en": queries}, {"en": documents}, judged, "")
    load_collection(load_task(str(folder)), progress=notes)
    warned = [line for line in notes.lines if "of the corpora" in line]
    assert len(warned) == bool(said)
    assert said in "".join(warned)


def test_a_document_under_another_id_is_told_in_spite_of_the_option(tmp_path: Path) -> None:
    notes, toml = Notes(), "ignore_identical_ids = true\n"
    folder = write(tmp_path, {"en": {"q": "same"}}, {"en": {"d": "same", "q": "x", "e": "other"}}, {"q": {"e"}}, toml)
    load_collection(load_task(str(folder)), progress=notes)
    (warning,) = [line for line in notes.lines if "of the corpora" in line]
    assert "1 query is a document" in warning
    assert "they have other ids" in warning


def test_a_corpus_that_is_not_searched_is_no_matter(tmp_path: Path) -> None:
    queries, documents = {"de": {"q": "eins"}, "en": {"q": "one"}}, {"de": {"d": "zwei"}, "en": {"d": "one"}}
    for kinds, times in (('["cross_lingual"]', 0), ('["monolingual"]', 1)):
        notes = Notes()
        write(tmp_path, queries, documents, {"q": {"de:d"}}, f"settings = {kinds}\n")
        load_collection(load_task(str(tmp_path)), progress=notes)
        assert sum("of the corpora" in line for line in notes.lines) == times


def test_images_are_not_their_captions(tmp_path: Path) -> None:
    text = 'extends = "mini-images"\nname = "other"\nignore_identical_ids = true\n'
    (tmp_path / "other.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidTask, match="ignore_identical_ids: is for tasks of texts"):
        load_task(str(tmp_path / "other.toml"))
