"""Systems as retrievers: encoders' lists are those of a plain run, texts are encoded once, results name the parts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from unit.retrievers.pipelines import toys
from unit.retrievers.pipelines.toys import ToyEncoder, ToyRanker
from unit.statistics.cases import TableEncoder, all_texts, make_collection

from mlbench import Options, evaluate, load_task, members, open_retriever
from mlbench.collection.languages import Setting, settings_of
from mlbench.collection.records import Collection, Document, Query
from mlbench.embeddings.encode import embed
from mlbench.errors import InvalidSystem, RetrieverError
from mlbench.open_model import LoadedModel
from mlbench.protocols import Encoder, Ranker, Role, Runtime, Silence, Similarity, Texts
from mlbench.ranking.count_ahead import Targets, Tiling, count_ahead
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import grid_vectors, rank_lists, rank_vectors
from mlbench.ranking.ranks import setting_ranks
from mlbench.retrievers.pipelines import parts
from mlbench.retrievers.pipelines.declaration import Fusion
from mlbench.retrievers.pipelines.fusion import FusionRanker
from mlbench.retrievers.pipelines.parts import Composite, EncoderLists, OpenedPart


def texts_of(collection: Collection) -> Texts:
    rows = {"query": collection.queries, "document": collection.documents}
    return {
        (role, language): [row.text for row in rows[role][language]]
        for role in ("query", "document")
        for language in collection.languages
    }


def write(folder: Path, text: str, name: str = "system.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def opened(folder: Path, text: str) -> Composite:
    retriever = open_retriever(write(folder, text), {}, Runtime())
    assert isinstance(retriever, Composite)
    assert isinstance(retriever, Ranker)
    return retriever


def fused(folder: Path, systems: str, more: str = "") -> Composite:
    return opened(folder, f'kind = "fusion"\nsystems = {systems}\n{more}')


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_an_encoders_lists_are_in_the_exact_order(seed: int, similarity: Similarity, prepared: bool) -> None:
    collection = make_collection(seed, several=True, documents=40)
    encoder = ToyEncoder(seed, similarity, dim=3)
    arrays, settings = index_collection(collection), settings_of(collection.languages)
    embeddings = embed(encoder, texts_of(collection), None, Silence())
    counted = rank_vectors(arrays, embeddings, similarity, Tiling(depth=20), Silence())
    queries, blocks = grid_vectors(arrays, embeddings, similarity)
    lists = EncoderLists(LoadedModel(encoder, "toy"), threads=2)
    if prepared:
        lists.prepare(texts_of(collection), None, Silence())
        toys.ENCODED.clear()
    table = rank_lists(arrays, lists, settings, 20, Silence())
    assert (toys.ENCODED.total() == 0) == prepared
    everything = table.columns.index(collection.languages)
    assert (table.ahead[:, everything] == counted.ahead.sum(axis=1)).all()
    assert (table.top == counted.top).all()
    for column, language in enumerate(collection.languages):
        own = arrays.document_languages[arrays.row_documents[arrays.present]] == column
        assert (table.ahead[own, table.columns.index((language,))] == counted.ahead[own, column]).all()
    assert counted.ties.any()  # Otherwise the order of ties would not be tested.
    nothing = Targets(arrays.row_queries[:0], np.empty(0), arrays.row_queries[:0])
    top = count_ahead(queries[:1], nothing, blocks[:1], tiling=Tiling(depth=7)).top
    [found] = lists.search(settings[0], collection.queries["ar"][:1], collection.documents["ar"], 7)
    assert found == [arrays.document_ids[place] for place in top[0]]


def test_no_queries_and_no_documents() -> None:
    collection = make_collection(0)
    lists = EncoderLists(LoadedModel(ToyEncoder(0), "toy"))
    setting = settings_of(collection.languages)[0]
    assert lists.search(setting, [], collection.documents["ar"], 5) == []
    assert lists.search(setting, collection.queries["ar"][:2], [], 5) == [[], []]


def test_parts_rank_with_the_threads_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def pool(threads: int) -> ThreadPoolExecutor:
        asked.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr(parts, "ThreadPoolExecutor", pool)
    collection = make_collection(0)
    system = open_retriever(write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "listing"]'), {}, Runtime(threads=3))
    assert isinstance(system, Composite)
    system.search(Setting("ar", ("ar",)), collection.queries["ar"], collection.documents["ar"], 5)
    assert asked == [3]


def measured(spec: str, cache: Path, languages: Sequence[str] | None = None) -> dict[str, object]:
    result = evaluate(spec, load_task("mini"), languages=languages, options=Options(cache=cache, resamples=2)).result
    return result.model_dump(exclude={"cost", "environment", "retriever", "ranks", "statistics"})


@pytest.mark.slow
def test_each_text_is_encoded_once_in_a_run_and_never_again(tmp_path: Path) -> None:
    spec = write(tmp_path, 'kind = "fusion"\nsystems = ["toy", {model = "toy", set = {seed = 1}}, "listing"]')
    first = measured(spec, tmp_path / "cache")
    assert set(toys.ENCODED.values()) == {2}
    assert measured(spec, tmp_path / "cache") == first
    assert set(toys.ENCODED.values()) == {2}


@pytest.mark.slow
def test_vectors_of_a_plain_run_are_used_again(tmp_path: Path) -> None:
    measured("toy", tmp_path / "cache")
    toys.ENCODED.clear()
    measured(write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "toy"]'), tmp_path / "cache")
    assert toys.ENCODED.total() == 0


def test_a_system_fused_with_itself_is_that_system(tmp_path: Path) -> None:
    plain = measured("toy", tmp_path, ("de", "en", "th"))
    both = measured(write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "toy"]'), tmp_path, ("de", "en", "th"))
    # A ranker tells no ties.
    for document in (plain, both):
        for row in document["settings"]:  # type: ignore[attr-defined]
            row.pop("tied_share")
    assert both["settings"] == plain["settings"]
    assert both["aggregates"] == plain["aggregates"]


def test_the_result_names_the_parts(tmp_path: Path) -> None:
    system = fused(tmp_path, '[{model = "toy", set = {seed = 4}, weight = 2}, "listing:short"]', "k = 7")
    alone = LoadedModel(ToyEncoder(4), "toy").info().fingerprint
    assert system.parameters == {
        "kind": "fusion",
        "k": 7,
        "depth": None,
        "systems[0].weight": 2,
        "systems[1].weight": 1,
        "systems[0].model": "toy",
        "systems[0].fingerprint": alone,
        "systems[0].seed": 4,
        "systems[1].model": "listing:short",
        "systems[1].fingerprint": ToyRanker(0, short=True).fingerprint(),
        "systems[1].seed": 0,
    }


def test_the_fingerprint_follows_what_decides_the_lists(tmp_path: Path) -> None:
    texts = [
        'kind = "fusion"\nsystems = ["toy", "listing"]',
        'kind = "fusion"\nsystems = ["listing", "toy"]',
        'kind = "fusion"\nsystems = ["toy", "listing"]\nk = 61',
        'kind = "fusion"\nsystems = ["toy", "listing"]\ndepth = 61',
        'kind = "fusion"\nsystems = ["toy", {model = "listing", weight = 1.5}]',
        'kind = "fusion"\nsystems = ["toy", {model = "listing", set = {seed = 1}}]',
        'kind = "fusion"\nsystems = [{model = "toy", set = {similarity = "dot"}}, "listing"]',
        'kind = "rerank"\nfirst = "toy"\nreranker = "reading:"',
        'kind = "rerank"\nfirst = "toy"\nreranker = "reading:"\nn = 10',
        'kind = "rerank"\nfirst = "toy"\nreranker = {model = "reading:", set = {seed = 1}}',
        'kind = "rerank"\nfirst = "listing"\nreranker = "reading:"',
    ]
    assert len({opened(tmp_path, text).fingerprint() for text in texts}) == len(texts)
    assert (
        opened(tmp_path, texts[0]).fingerprint() == opened(tmp_path, texts[0] + "\nk = 60 # the default").fingerprint()
    )


def test_where_parts_lie_is_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    prints = []
    for name in ("one", "two"):
        (tmp_path / name / "place").mkdir(parents=True)
        systems = 'first = "inner.toml"\nreranker = "reading:place"'
        write(tmp_path / name, 'kind = "fusion"\nsystems = ["toy:place", "listing:place"]', "inner.toml")
        prints.append(opened(tmp_path / name, f'kind = "rerank"\n{systems}').fingerprint())
    assert prints[0] == prints[1]


def test_systems_nest(tmp_path: Path) -> None:
    write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "listing"]', "inner.toml")
    outer = opened(tmp_path, 'kind = "rerank"\nfirst = "inner.toml"\nreranker = "reading:"\nn = 3')
    inner = open_retriever(str(tmp_path / "inner.toml"), {}, Runtime())
    assert outer.parameters["first.fingerprint"] == inner.fingerprint()  # type: ignore[call-arg,union-attr]
    assert outer.parameters["first.systems[0].model"] == "toy"
    measured(str(tmp_path / "system.toml"), tmp_path / "cache", ("de", "en"))
    assert set(toys.ENCODED.values()) == {1}


@pytest.mark.parametrize(("depth", "asked"), [(None, {48, 24}), (30, {30, 24}), (5, {5})])
def test_depth_cuts_the_parts_lists(depth: int | None, asked: set[int], tmp_path: Path) -> None:
    system = fused(tmp_path, '["listing", "listing:short"]', "" if depth is None else f"depth = {depth}")
    collection = make_collection(0, languages=("de", "en"), documents=24, topics=3)
    corpora = [collection.documents["de"], collection.documents["de"] + collection.documents["en"][:24]]
    setting = settings_of(collection.languages)[0]
    for corpus in corpora:
        lists = system.search(setting, collection.queries["de"], corpus, len(corpus))
        assert all(len(set(found)) == len(found) for found in lists)
        if depth is None:
            assert all(set(found) == {document.doc_id for document in corpus} for found in lists)
    rankers = [part.opened.retriever for part in system._parts.values()]
    assert {depth for ranker in rankers if isinstance(ranker, ToyRanker) for depth in ranker.asked} == asked


@pytest.mark.parametrize(
    ("lists", "fault"),
    [
        ([["a", "b"]], "wrong gave 1 lists for 2 queries"),
        ([["a", "b"], ["b", "c"]], "wrong listed 'c', which is not in the pool"),
        ([["a", "b"], ["b", "b"]], "wrong listed a document twice"),
    ],
)
def test_wrong_lists_of_a_part_are_told(lists: list[list[str]], fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = ToyRanker(0)
    monkeypatch.setattr(ranker, "search", lambda *asked: lists)
    part = OpenedPart(ranker, LoadedModel(ranker, "wrong"))
    documents = [Document("a", "one"), Document("b", "two")]
    with pytest.raises(RetrieverError, match=fault):
        part.search_scored(Setting("en", ("en",)), [Query("t", "q"), Query("u", "q")], documents, 2)


def test_a_system_takes_no_keys(tmp_path: Path) -> None:
    spec = write(tmp_path, 'kind = "fusion"\nsystems = ["toy", "listing"]')
    with pytest.raises(RetrieverError, match=r"^system: unknown key 'k': it takes no keys$"):
        open_retriever(spec, {"k": "1"}, Runtime())
    with pytest.raises(RetrieverError, match="name a TOML file"):
        open_retriever("system:", {}, Runtime())
    with pytest.raises(InvalidSystem, match="kind: is missing"):
        open_retriever(f"system:{write(tmp_path, '')}", {}, Runtime())


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_lists_of_an_encoder_tie_as_its_vectors_do(similarity: Similarity) -> None:
    collection = make_collection(seed=1, sparse=True, several=True)
    random = np.random.RandomState(1)
    table = random.standard_normal((4, 3)).astype(np.float32)
    encoder = TableEncoder({text: table[random.randint(4)].tolist() for text in all_texts(collection)}, similarity)
    arrays, settings = index_collection(collection), settings_of(collection.languages)
    embeddings = embed(encoder, texts_of(collection), None, Silence())
    vectors = to_ranks(arrays, rank_vectors(arrays, embeddings, similarity, Tiling(), Silence()))
    lists = OpenedPart.of(LoadedModel(encoder, "table")).ranker
    members.prepare(lists, texts_of(collection), None, Silence())
    ranks = to_ranks(arrays, rank_lists(arrays, lists, settings, 20, Silence()))
    shares = [setting_ranks(vectors, setting).tied for setting in settings]
    assert 0 < np.nanmean(shares) <= 1
    np.testing.assert_array_equal([setting_ranks(ranks, setting).tied for setting in settings], shares)


class Cutting(ToyEncoder):
    """Cuts off texts of more than `seed` letters."""

    def longest_input(self, role: Role) -> int | None:
        return self.seed

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        return np.array([len(text) > self.seed for text in texts], dtype=np.bool_)


def test_a_system_cuts_off_what_any_part_does() -> None:
    parts_of = [OpenedPart.of(LoadedModel(each, "part")) for each in (Cutting(3), ToyEncoder(9), Cutting(2))]
    declared = Fusion.model_validate({"kind": "fusion", "systems": ["a", "b", "c"]})
    system = FusionRanker(declared, parts_of)
    found = system.is_truncated(["ab", "abc", "abcd"], "query")
    assert system.longest_input("query") == 2
    assert found is not None
    assert found.tolist() == [False, True, True]
    unknown = FusionRanker(declared, [OpenedPart.of(LoadedModel(ToyEncoder(n), "part")) for n in range(3)])
    assert (unknown.longest_input("query"), unknown.is_truncated(["a"], "query")) == (None, None)


class Tagged(ToyEncoder):
    """An encoder that must know the language of a text."""

    def in_language(self, language: str) -> Encoder:
        return self


def test_an_encoder_that_must_know_languages_is_no_part() -> None:
    with pytest.raises(RetrieverError, match="tagged must know the language of each text, so it is measured only by"):
        EncoderLists(LoadedModel(Tagged(1), "tagged"))
