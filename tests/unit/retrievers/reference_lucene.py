"""Lucene itself as a reference: its index, its BM25Similarity and Anserini's queries, called method by method."""

from collections.abc import Sequence
from importlib import import_module

LUCENE = "org.apache.lucene"


def java_class(name: str) -> object:
    return import_module("jnius").autoclass(name)


def lucene_scores(
    analyzer: object, documents: Sequence[tuple[str, str]], queries: Sequence[str], k1: float, b: float
) -> list[dict[str, float]]:
    """Return for each query the score of each document, given as (id, text), that Lucene finds."""
    folder = java_class(f"{LUCENE}.store.ByteBuffersDirectory")()
    similarity = java_class(f"{LUCENE}.search.similarities.BM25Similarity")(k1, b)
    configuration = java_class(f"{LUCENE}.index.IndexWriterConfig")(analyzer)
    writer = java_class(f"{LUCENE}.index.IndexWriter")(folder, configuration)
    no, yes = (getattr(java_class(f"{LUCENE}.document.Field$Store"), name) for name in ("NO", "YES"))
    for doc_id, text in documents:
        document = java_class(f"{LUCENE}.document.Document")()
        document.add(java_class(f"{LUCENE}.document.TextField")("contents", text, no))
        document.add(java_class(f"{LUCENE}.document.StringField")("id", doc_id, yes))
        writer.addDocument(document)
    writer.close()
    reader = java_class(f"{LUCENE}.index.DirectoryReader").open(folder)
    searcher = java_class(f"{LUCENE}.search.IndexSearcher")(reader.getContext())
    searcher.setSimilarity(similarity)
    generator, stored = java_class("io.anserini.search.query.BagOfWordsQueryGenerator")(), searcher.storedFields()
    found = []
    for query in queries:
        top = searcher.search(generator.buildQuery("contents", analyzer, query), len(documents))
        found.append({stored.document(hit.doc).get("id"): hit.score for hit in top.scoreDocs})
    return found
