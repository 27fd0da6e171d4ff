"""Approximate search: lists against brute force of another kind, the same lists again, and what they cost."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.pipelines.toys import ENCODED, ToyEncoder, ToyRanker
from unit.statistics.cases import TableEncoder

from mlbench import Options, evaluate
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import InvalidSystem, MissingExtra, RetrieverError
from mlbench.evaluation.evaluate import measure
from mlbench.open_model import LoadedModel
from mlbench.protocols import Silence, Similarity
from mlbench.retrievers.pipelines import ann_index
from mlbench.retrievers.pipelines.ann_index import IndexRanker, with_indexes
from mlbench.retrievers.pipelines.declaration import KINDS, parse_index

pytest.importorskip("faiss")

SETTING = Setting("en", ("en",))
Asked = tuple[list[Query], list[Document]]


def cloud(
    n: int, dim: int, seed: int = 0, *, queries: int = 20, similarity: Similarity = "cosine"
) -> tuple[LoadedModel, Asked]:
    """Return an encoder of random vectors in a few clusters, and as many queries and documents."""
    random = np.random.RandomState(seed)
    middles = random.standard_normal((12, dim))
    vectors = middles[random.randint(0, 12, n + queries)] + 0.7 * random.standard_normal((n + queries, dim))
    vectors *= random.uniform(0.5, 2.0, (n + queries, 1))
    asked = [Query(f"t{number}", f"query {number}") for number in range(queries)]
    # Ids in no order of the vectors, with a few documents of equal text.
    documents = [
        Document(f"{number * 7919 % 10007:05}", f"document {number - number % 50 // 49}") for number in range(n)
    ]
    names = [query.text for query in asked] + [f"document {number}" for number in range(n)]
    table = dict(zip(names, vectors.astype(np.float32).tolist(), strict=True))
    return LoadedModel(TableEncoder(table, similarity), "table"), (asked, documents)


def ranker(opened: LoadedModel, index: str) -> IndexRanker:
    [found] = with_indexes(opened, [parse_index(index)])
    assert isinstance(found.retriever, IndexRanker)
    return found.retriever


def lists_of(opened: LoadedModel, index: str, asked: Asked, depth: int = 20_000) -> list[list[str]]:
    return ranker(opened, index).search(SETTING, *asked, depth)


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_scores_are_handed_over(index: str) -> None:
    opened, asked = cloud(200, 8)
    for found, scores in ranker(opened, index).search_scored(SETTING, *asked, 50):
        assert scores is not None
        assert len(scores) == len(found)
        assert (np.diff(scores) <= 0).all()
        assert scores[0] > scores[-1]


def brute_force(opened: LoadedModel, asked: Asked) -> tuple[np.ndarray, list[list[str]]]:
    """Return float64 scores, (queries, documents), and all ids by score, then id, both descending."""
    encoder = opened.retriever
    assert isinstance(encoder, TableEncoder)
    rows = [np.array([encoder.vectors[one.text] for one in side], dtype=np.float64) for side in asked]
    if encoder.similarity == "cosine":
        rows = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in rows]
    scores, ids = rows[0] @ rows[1].T, [document.doc_id for document in asked[1]]
    lists = [[name for _, name in sorted(zip(row.round(12), ids, strict=True), reverse=True)] for row in scores]
    return scores, lists


def overlap(found: Sequence[Sequence[str]], exact: Sequence[Sequence[str]], k: int = 10) -> float:
    return float(np.mean([len(set(one[:k]) & set(other[:k])) / k for one, other in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("dim", [3, 32])
def test_flat_is_brute_force_but_for_ties_of_float32(dim: int, similarity: Similarity) -> None:
    opened, asked = cloud(600, dim, similarity=similarity)
    scores, exact = brute_force(opened, asked)
    column = {document.doc_id: number for number, document in enumerate(asked[1])}
    for row, found, wanted in zip(scores, lists_of(opened, "flat", asked), exact, strict=True):
        assert sorted(found) == sorted(wanted)
        ordered = row[[column[name] for name in found]]
        assert (np.diff(ordered) <= 4e-6 * np.abs(row).max()).all()
        # Nothing but what is nearly equal changes its place.
        moved = [place for place, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]
        assert all(abs(ordered[place] - row[column[wanted[place]]]) <= 4e-6 * np.abs(row).max() for place in moved)


def test_equal_texts_stand_in_the_order_of_ids() -> None:
    opened, (asked, documents) = cloud(600, 8)
    same = [document.doc_id for document in documents if document.text == "document 48"]
    assert len(same) == 2
    for index in ("flat", "hnsw:ef_search=600"):
        for found in lists_of(opened, index, (asked, documents)):
            assert [name for name in found if name in same] == sorted(same, reverse=True)


def test_a_graph_that_keeps_everything_in_view_is_exact() -> None:
    opened, asked = cloud(500, 16)
    assert lists_of(opened, "hnsw:ef_search=500", asked) == lists_of(opened, "flat", asked)
    narrow = lists_of(opened, "hnsw:ef_search=4,m=2,ef_construction=4", asked)
    assert {len(found) for found in narrow} == {4}
    assert overlap(narrow, lists_of(opened, "flat", asked), 4) < 1


@pytest.mark.slow
def test_codes_find_more_in_more_cells() -> None:
    opened, asked = cloud(2000, 32)
    exact = brute_force(opened, asked)[1]
    few, every = (overlap(lists_of(opened, f"ivfpq:nlist=40,nprobe={n}", asked), exact) for n in (1, 40))
    assert few < every
    assert every > 0.5
    short = lists_of(opened, "ivfpq:nlist=40,nprobe=1", asked)
    # What is in no cell that was read is in no list.
    assert max(map(len, short)) < 1000
    assert all(len(set(found)) == len(found) for found in short)


@pytest.mark.parametrize(
    ("string", "kind"),
    [
        ("Flat", "flat"),
        ("IDMap,Flat", "flat"),
        ("L2norm,Flat", "flat"),
        ("IVF8,Flat,nprobe=8", "flat"),
        ("PQ4x4fs,RFlat,k_factor_rf=500", "flat"),
        ("HNSW16,efConstruction=50,efSearch=64,depth=64", "hnsw:m=16,ef_construction=50"),
    ],
)
def test_strings_of_faiss_give_the_lists_of_the_kinds_that_they_are(string: str, kind: str) -> None:
    opened, asked = cloud(500, 8)
    assert lists_of(opened, f"factory:{string}", asked) == lists_of(opened, kind, asked)


@pytest.mark.slow
def test_a_string_of_faiss_as_faiss_itself_builds_and_searches_it() -> None:
    import faiss

    opened, (asked, documents) = cloud(1500, 16)
    index = faiss.index_factory(16, "PCA8,IVF16,PQ4x4", faiss.METRIC_INNER_PRODUCT)
    encoder = opened.retriever
    assert isinstance(encoder, TableEncoder)
    ordered = sorted(documents, key=lambda document: document.doc_id, reverse=True)
    sides = [np.array([encoder.vectors[one.text] for one in side], dtype=np.float32) for side in (asked, ordered)]
    queries, vectors = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    faiss.omp_set_num_threads(1)
    index.train(vectors)
    index.add(vectors)
    faiss.ParameterSpace().set_index_parameters(index, "nprobe=3")
    places = index.search(queries, 10)[1]
    found = ranker(opened, "factory:PCA8,IVF16,PQ4x4,nprobe=3").search(SETTING, asked, documents, 10)
    same = [set(one) == {ordered[place].doc_id for place in row} for one, row in zip(found, places, strict=True)]
    # Vectors of length 1 are computed in another way here, so a code may differ.
    assert np.mean(same) > 0.8


@pytest.mark.parametrize(
    ("string", "fault"),
    [
        ("foo", "factory:foo: faiss refuses it: could not parse index string foo"),
        ("IVF4,foo", "factory:IVF4,foo: faiss refuses it: could not parse code description foo in IVF4,foo"),
        ("LSH", "factory:LSH: faiss refuses it: 'metric == METRIC_L2' failed"),
        ("HNSW8_PQ4", "factory:HNSW8_PQ4: faiss has this index for distances alone: take one of inner products"),
        ("Flat,nprobe=2", "factory:Flat,nprobe=2: faiss refuses it: could not set parameter nprobe"),
        (
            "HNSW8,efConstructio=2",
            "factory:HNSW8,efConstructio=2: faiss refuses it: could not set parameter efConstructio",
        ),
        (f"IVF{10**12},Flat", f"factory:IVF{10**12},Flat: faiss refuses it: C++ exception stoi"),
    ],
)
def test_what_faiss_refuses_is_one_line_before_any_text_is_encoded(string: str, fault: str) -> None:
    opened, _ = cloud(10, 8)
    with pytest.raises(RetrieverError) as raised:
        with_indexes(opened, [parse_index(f"factory:{string}")])
    assert str(raised.value) == fault


def test_a_string_with_more_cells_than_documents_and_one_that_a_pool_is_too_small_for() -> None:
    opened, asked = cloud(30, 8)
    with pytest.raises(RetrieverError, match="factory:IVF64,Flat: 64 cells need as many documents, a pool has 30"):
        lists_of(opened, "factory:IVF64,Flat", asked)
    with pytest.raises(
        RetrieverError, match=r"factory:PQ4x16: faiss refuses it: Number of training points .* \(65536\)$"
    ):
        lists_of(opened, "factory:PQ4x16", asked)


def test_strings_of_faiss_are_built_once_for_all_ways_of_searching(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened, asked = cloud(300, 8)
    built = []
    genuine = ann_index.build
    monkeypatch.setattr(
        ann_index, "build", lambda kind, keys, vectors: built.append(kind.structure) or genuine(kind, keys, vectors)
    )
    texts = (
        "IVF16,PQ4np",
        "IVF16,PQ4np,nprobe=16",
        "IVF16,PQ4np,depth=3",
        "IVF16,Flat",
        "HNSW8",
        "HNSW8,efConstruction=9",
    )
    rankers = with_indexes(opened, [parse_index(f"factory:{text}") for text in texts])
    lists = [each.retriever.search(SETTING, *asked, 100) for each in rankers]  # type: ignore[union-attr]
    assert built == ["IVF16,PQ4np", "IVF16,Flat", "HNSW8", "HNSW8"]
    assert len(lists[0][0]) < len(lists[1][0]) == 100
    # faiss would write how many documents it wants for training.
    assert capfd.readouterr().err == ""
    costs = [each.retriever.index_costs[0] for each in rankers]  # type: ignore[union-attr]
    assert [cost.keys for cost in costs] == [{}, {"nprobe": 16}, {}, {}, {}, {"efConstruction": 9}]
    assert all(cost.bytes > 300 and cost.build_seconds > 0 for cost in costs)


@pytest.mark.parametrize("index", ["flat", "hnsw:ef_search=30", "ivfpq:nprobe=2", "factory:PCA8,IVF8,PQ4x4fs,nprobe=2"])
def test_the_same_vectors_give_the_same_lists(index: str) -> None:
    opened, (asked, documents) = cloud(700, 16)
    first = lists_of(opened, index, (asked, documents))
    assert lists_of(opened, index, (asked, documents)) == first
    # The order in which documents are given is nothing to an index.
    assert lists_of(opened, index, (asked, documents[::-1])) == first


def test_a_seed_of_its_own_gives_other_cells() -> None:
    opened, asked = cloud(700, 16)
    one, other = (lists_of(opened, f"ivfpq:nprobe=2,seed={seed}", asked) for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("index", [*KINDS, "factory:IVF1,PQ1x4"])
@pytest.mark.parametrize("n", [1, 2, 30, 300])
@pytest.mark.parametrize("dim", [1, 7])
def test_small_pools_and_odd_dims_work(index: str, n: int, dim: int) -> None:
    opened, (asked, documents) = cloud(n, dim, queries=3)
    found = lists_of(opened, index, (asked, documents))
    assert all(0 < len(each) <= n and set(each) <= {document.doc_id for document in documents} for each in found)
    assert lists_of(opened, index, ([], documents)) == []
    assert lists_of(opened, index, (asked, [])) == [[], [], []]
    if n == 30 and "factory" not in index:
        # A pool smaller than the values of a code is coded exactly.
        assert found == lists_of(opened, "flat", (asked, documents))


def test_depth_is_the_least_of_all_bounds() -> None:
    opened, asked = cloud(100, 4)
    assert {len(each) for each in lists_of(opened, "flat:depth=9", asked)} == {9}
    assert {len(each) for each in lists_of(opened, "flat:depth=9", asked, depth=5)} == {5}


def test_rankers_share_what_they_build_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = cloud(100, 4)
    built = []
    genuine = ann_index.build
    monkeypatch.setattr(
        "mlbench.retrievers.pipelines.ann_index.build",
        lambda kind, keys, vectors: built.append(kind.kind) or genuine(kind, keys, vectors),
    )
    texts = ("hnsw:ef_search=5", "hnsw:ef_search=100", "hnsw:m=4", "flat:depth=3", "flat")
    rankers = with_indexes(opened, [parse_index(text) for text in texts])
    lists = [each.retriever.search(SETTING, *asked, 100) for each in rankers]  # type: ignore[union-attr]
    assert built == ["hnsw", "hnsw", "flat"]
    assert [len(found[0]) for found in lists] == [5, 100, 64, 3, 100]
    assert lists[1] == lists[4]


def test_other_documents_of_a_pool_are_indexed_anew() -> None:
    opened, (asked, documents) = cloud(100, 4)
    one = ranker(opened, "flat")
    texts = {("query", "en"): [query.text for query in asked], ("document", "en"): [d.text for d in documents]}
    one.prepare(texts, None, Silence())
    whole, half = (one.search(SETTING, asked, documents[:n], 100) for n in (100, 50))
    assert [len(found) for found in (whole[0], half[0])] == [100, 50]
    assert half == lists_of(opened, "flat", (asked, documents[:50]))


def test_every_key_is_in_fingerprint_parameters_and_spec() -> None:
    opened, _ = cloud(50, 8)
    texts = ["flat", "flat:depth=5", "hnsw", "hnsw:m=8", "hnsw:ef_construction=7", "hnsw:ef_search=9"]
    texts += [f"factory:{text}" for text in ("Flat", "HNSW8", "HNSW8,efSearch=9", "HNSW8,efConstruction=9")]
    texts += ["factory:Flat,depth=5"]
    texts += ["ivfpq", "ivfpq:nlist=2", "ivfpq:nprobe=2", "ivfpq:m=2", "ivfpq:nbits=4", "ivfpq:seed=1"]
    found = with_indexes(opened, [parse_index(text) for text in texts])
    infos = [each.info() for each in found]
    assert len({info.fingerprint for info in infos}) == len(texts)
    assert [info.spec for info in infos] == [f"table {text}" for text in texts]
    assert {info.kind for info in infos} == {"ranker"}
    assert infos[5].parameters["index.ef_search"] == 9
    assert infos[5].parameters["encoder.fingerprint"] == opened.info().fingerprint
    assert infos[5].parameters["faiss"] == ann_index.check_faiss()
    other, _ = cloud(50, 9)
    assert with_indexes(other, [parse_index("flat")])[0].info().fingerprint == infos[0].fingerprint  # same name
    named = LoadedModel(TableEncoder(other.retriever.vectors, name="other"), "table")  # type: ignore[union-attr]
    assert with_indexes(named, [parse_index("flat")])[0].info().fingerprint != infos[0].fingerprint


def test_what_cannot_be_indexed_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RetrieverError, match="an index is built over an encoder's vectors, and listing is a ranker"):
        with_indexes(LoadedModel(ToyRanker(0), "listing"), [parse_index("flat")])
    opened, _ = cloud(10, 6)
    with pytest.raises(RetrieverError, match="m=5 does not divide the 6 dims of the encoder: take 3 or 6"):
        with_indexes(opened, [parse_index("ivfpq:m=5")])
    monkeypatch.setattr(ann_index, "find_spec", lambda name: None if name == "faiss" else find_spec(name))
    with pytest.raises(MissingExtra, match=r"approximate indexes need: pip install 'mlbench\[ann\]'"):
        with_indexes(opened, [parse_index("flat")])


class TestInARun:
    """On the shipped task."""

    languages = ("de", "en", "th")

    def options(self, cache: Path) -> Options:
        return Options(cache=cache, resamples=2)

    def test_costs_are_in_the_result(self, tmp_path: Path) -> None:
        toy = LoadedModel(ToyEncoder(0, dim=8), "toy")
        indexed = with_indexes(toy, [parse_index("flat"), parse_index("hnsw:ef_search=5")])
        for each, keys in zip(indexed, ({}, {"m": 32, "ef_construction": 100, "ef_search": 5}), strict=True):
            for _ in range(2):  # What another run took is forgotten.
                result = measure(each, "mini", languages=self.languages, options=self.options(tmp_path)).result
            costs = result.cost.indexes
            assert [cost.document_languages for cost in costs] == [("de",), ("en",), ("th",), self.languages]
            asked = sum(setting.document_languages == ("de",) for setting in result.settings)
            assert [cost.n_queries for cost in costs] == [24 * asked] * 4
            assert [cost.n_documents for cost in costs] == [48, 48, 48, 144]
            assert all(cost.keys == keys and cost.bytes > 4 * 8 * cost.n_documents for cost in costs)
            assert [cost.depth for cost in costs] == ([5] * 4 if keys else [48, 48, 48, 144])
            assert all(cost.search_seconds > 0 and cost.build_seconds > 0 for cost in costs)
        assert set(ENCODED.values()) == {1}

    def test_a_file_says_the_same_as_the_option(self, tmp_path: Path) -> None:
        file = tmp_path / "index.toml"
        file.write_text('kind = "index"\nencoder = "hashing"\nindex = "hnsw:ef_search=7"\n', encoding="utf-8")
        said = evaluate(file, "mini", languages=self.languages, options=self.options(tmp_path)).result

        [opened] = with_indexes(self.options(tmp_path).open_model("hashing"), [parse_index("hnsw:ef_search=7")])
        asked = measure(opened, "mini", languages=self.languages, options=self.options(tmp_path)).result
        assert said.retriever.fingerprint == asked.retriever.fingerprint
        assert said.retriever.parameters == asked.retriever.parameters
        assert said.settings == asked.settings

    def test_an_index_may_be_part_of_a_fusion(self, tmp_path: Path) -> None:
        (tmp_path / "index.toml").write_text('kind = "index"\nencoder = "toy"\nindex = "flat"\n', encoding="utf-8")
        (tmp_path / "both.toml").write_text('kind = "fusion"\nsystems = ["index.toml", "listing"]\n', encoding="utf-8")
        result = evaluate(
            tmp_path / "both.toml", "mini", languages=self.languages, options=self.options(tmp_path / "cache")
        ).result
        assert len(result.cost.indexes) == 4

    def test_faults_of_a_file_are_told_together(self, tmp_path: Path) -> None:
        file = tmp_path / "index.toml"
        file.write_text('kind = "index"\nencoder = "hasing:"\nindex = "hnws"\n', encoding="utf-8")
        with pytest.raises(
            InvalidSystem, match=r"index: unknown index 'hnws': did you mean hnsw\?; encoder: unknown retr"
        ):
            evaluate(file, "mini", options=self.options(tmp_path))
        file.write_text('kind = "index"\nencoder = "listing"\nindex = "flat"\n', encoding="utf-8")
        with pytest.raises(RetrieverError, match="over an encoder's vectors, and listing is a ranker"):
            evaluate(file, "mini", options=self.options(tmp_path))
