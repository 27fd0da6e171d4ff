"""Systems of retrievers that read images: lists in both directions, and each image encoded once."""

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray
from unit.retrievers.pipelines.toys import ToyEncoder, ToyRanker, ToyReranker
from unit.statistics.captioned_cases import Drawn, captioned

from mlbench.collection.languages import IMAGE, IMAGE_KINDS, Setting, settings_of
from mlbench.collection.records import Image
from mlbench.embeddings.encode import embed, texts_of
from mlbench.members import reads_images
from mlbench.open_model import LoadedModel
from mlbench.protocols import Silence, Similarity
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import index_collection
from mlbench.ranking.rank_documents import rank_lists, rank_vectors
from mlbench.retrievers.pipelines.ann_index import with_indexes
from mlbench.retrievers.pipelines.declaration import Fusion, Rerank, parse_index
from mlbench.retrievers.pipelines.fusion import FusionRanker
from mlbench.retrievers.pipelines.parts import EncoderLists, OpenedPart
from mlbench.retrievers.pipelines.reranking import RerankRanker

COLLECTION, _ = captioned({"de": [1] * 15, "en": [3] * 15, "fr": [1, 0, 2] * 5})
SETTINGS = settings_of(COLLECTION.languages, IMAGE_KINDS)
DEPTH = len(COLLECTION.documents[IMAGE]) * 5


class DrawnReranker(ToyReranker):
    """A reranker that prefers the caption of an image, and the image of a caption."""

    reads_images = True

    def score(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        assert all(isinstance(query, Image) != isinstance(text, Image) for query, text in pairs)
        assert len(set(pairs)) == len(pairs)
        named = [{part.path.stem if isinstance(part, Image) else part.split()[1] for part in pair} for pair in pairs]
        return np.array([len(names) == 1 for names in named], dtype=np.float32)


def part(encoder: Drawn | ToyEncoder | ToyRanker) -> OpenedPart:
    return OpenedPart.of(LoadedModel(encoder, "drawn"))  # type: ignore[arg-type]


def fusion(*parts: OpenedPart) -> FusionRanker:
    systems = [{"model": f"drawn:{number}"} for number in range(len(parts))]
    return FusionRanker(Fusion.model_validate({"kind": "fusion", "systems": systems}), parts)


def reranking(first: OpenedPart, reranker: ToyReranker, n: int = 50) -> RerankRanker:
    table = {"kind": "rerank", "first": {"model": "drawn"}, "reranker": {"model": "reading:"}, "n": n}
    return RerankRanker(Rerank.model_validate(table), first, reranker, "reading:")


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("prepared", [True, False])
def test_an_encoders_lists_count_as_its_vectors_do(similarity: Similarity, prepared: bool) -> None:
    encoder = Drawn(dim=3)
    encoder.similarity = similarity  # type: ignore[misc]
    arrays, texts = index_collection(COLLECTION), texts_of(COLLECTION)
    counted = rank_vectors(arrays, embed(encoder, texts, None, Silence()), similarity, Tiling(depth=20), Silence())
    lists = EncoderLists(LoadedModel(encoder, "drawn"), threads=2)
    assert reads_images(lists)
    if prepared:
        lists.prepare(texts, None, Silence())
        encoder.encoded = dict.fromkeys(encoder.encoded, 0)
    table = rank_lists(arrays, lists, SETTINGS, 20, Silence())
    assert (sum(encoder.encoded.values()) == 0) == prepared
    for column, languages in enumerate(table.columns):
        asked = table.ahead[:, column] >= 0
        ahead = counted.ahead[:, [counted.columns.index((language,)) for language in languages]].sum(axis=1)
        assert asked.sum() >= 15
        assert (table.ahead[asked, column] == ahead[asked]).all()
    assert (table.top == counted.top).all()


def test_parts_encode_each_image_and_each_caption_once() -> None:
    one, two = Drawn(), Drawn(seed=1)
    system = fusion(part(one), part(two))
    system.prepare(texts_of(COLLECTION), None, Silence())
    for setting in SETTINGS:
        documents = [row for language in setting.document_languages for row in COLLECTION.documents[language]]
        queries = COLLECTION.queries[setting.query_language]
        lists = system.search(setting, queries, documents, DEPTH)
        assert all(sorted(found) == sorted(row.doc_id for row in documents) for found in lists)
    for encoder in (one, two):
        assert encoder.encoded["image"] == 15
        assert encoder.encoded["query"] + encoder.encoded["document"] == 15 + 45 + 15


def test_a_reranker_is_given_images_on_either_side() -> None:
    system = reranking(part(Drawn(noise=3.0)), DrawnReranker(0))
    assert reads_images(system)
    for setting in (Setting(IMAGE, ("en",)), Setting("en", (IMAGE,))):
        queries, documents = (
            COLLECTION.queries[setting.query_language],
            COLLECTION.documents[setting.document_languages[0]],
        )
        for query, found in zip(queries, system.search(setting, queries, documents, DEPTH), strict=True):
            relevant = {judgment.doc_id for judgment in COLLECTION.judgments[query.topic_id]}
            first = {doc_id for doc_id in found if doc_id in relevant}
            assert set(found[: len(first)]) == first
            assert first


def test_a_system_reads_images_where_all_its_parts_do() -> None:
    assert reads_images(fusion(part(Drawn()), part(Drawn(seed=1))))
    assert not reads_images(fusion(part(Drawn()), part(ToyEncoder(0))))
    assert not reads_images(fusion(part(Drawn()), part(ToyRanker(0))))
    assert not reads_images(reranking(part(Drawn()), ToyReranker(0)))
    assert not reads_images(reranking(part(ToyRanker(0)), DrawnReranker(0)))
    assert reads_images(fusion(part(Drawn()), part(reranking(part(Drawn()), DrawnReranker(0)))))  # type: ignore[arg-type]


def test_fingerprints_cover_what_encodes_the_images() -> None:
    class Other(Drawn):
        def fingerprint(self, role: str) -> str:  # type: ignore[override]
            return "other images" if role == "image" else super().fingerprint("query")

    ours, theirs = (LoadedModel(encoder, "drawn") for encoder in (Drawn(), Other()))
    assert ours.retriever.fingerprint("query") == theirs.retriever.fingerprint("query")  # type: ignore[call-arg]
    assert ours.info().fingerprint != theirs.info().fingerprint
    assert EncoderLists(ours).fingerprint() != EncoderLists(theirs).fingerprint()


@pytest.mark.skipif(find_spec("faiss") is None, reason="needs faiss")
def test_an_exact_index_finds_what_vectors_do() -> None:
    encoder = Drawn()
    [indexed] = with_indexes(LoadedModel(encoder, "drawn"), [parse_index("flat")])
    lists = EncoderLists(LoadedModel(encoder, "drawn"), threads=1)
    for ranker in (indexed.retriever, lists):
        ranker.prepare(texts_of(COLLECTION), None, Silence())  # type: ignore[union-attr]
    assert reads_images(indexed.retriever)
    for setting in SETTINGS:
        documents = [row for language in setting.document_languages for row in COLLECTION.documents[language]]
        asked = setting, COLLECTION.queries[setting.query_language], documents, 5
        assert indexed.retriever.search(*asked) == lists.search(*asked)  # type: ignore[union-attr]
