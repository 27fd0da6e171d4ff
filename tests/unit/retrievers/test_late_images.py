"""Late interaction between words and patches against the library's own encoding, on a small random ColPali."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_checkpoints import CAPTIONS

from mlbench.collection.languages import IMAGE, Setting
from mlbench.collection.records import Document, Image, Query
from mlbench.open_model import open_retriever, parse
from mlbench.protocols import Runtime
from mlbench.retrievers.late_interaction import LateLists

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("PIL")

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ColPaliConfig, ColPaliForRetrieval, ColPaliProcessor, GemmaTokenizer, PaliGemmaConfig

    place = tmp_path_factory.mktemp("colpali")
    tokenizer = GemmaTokenizer().train_new_from_iterator(CAPTIONS, 300)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    images = transformers.SiglipImageProcessorPil(size={"height": 24, "width": 24})
    images.image_seq_length = 9
    text = {**checkpoints.LAYERS, "model_type": "gemma", "vocab_size": len(tokenizer) + 5, "num_key_value_heads": 1}
    text |= {"head_dim": 8, "max_position_embeddings": 128}
    vision = {**checkpoints.VISION, "model_type": "siglip_vision_model", "projection_dim": 32}
    number = tokenizer.convert_tokens_to_ids("<image>")
    both = {"text_config": text, "vision_config": vision, "image_token_id": number, "projection_dim": 32}
    config = ColPaliConfig(vlm_config=PaliGemmaConfig(**both, hidden_size=32), embedding_dim=16)
    checkpoints.spread(ColPaliForRetrieval(config), 41).save_pretrained(place)
    ColPaliProcessor(images, tokenizer).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return checkpoints.save_pictures(tmp_path_factory.mktemp("pictures"), 5)


@pytest.fixture(scope="module")
def expected(folder: Path, images: list[Image]) -> NDArray[np.float64]:
    """Scores of each caption for each image, float64 (captions, images): of each word, the patch that fits best."""
    options = {"processor_kwargs": {"backend": "pil"}}
    model: Any = sentence_transformers.MultiVectorEncoder(str(folder), device="cpu", **options)
    words = [model.encode_query([caption], show_progress_bar=False)[0].double() for caption in CAPTIONS]
    patches = [
        model.encode_document([image], show_progress_bar=False)[0].double() for image in checkpoints.opened(images)
    ]
    return np.array([[float((own @ seen.T).max(dim=1).values.sum()) for seen in patches] for own in words])


def opened(folder: Path) -> LateLists:
    lists = open_retriever(str(folder), {}, Runtime(device="cpu"))
    assert isinstance(lists, LateLists)
    return lists


def test_scores_are_those_of_the_library(folder: Path, images: list[Image], expected: NDArray[np.float64]) -> None:
    assert parse(str(folder))[0] == "late"
    lists = opened(folder)
    assert lists.reads_images
    assert np.ptp(expected, axis=0).min() > 0.1
    every = slice(0, 99)
    np.testing.assert_allclose(lists.score_rows(CAPTIONS, images)(every), expected, atol=1e-5)
    # An image that is asked about captions is still what each word looks at.
    np.testing.assert_allclose(lists.score_rows(images, CAPTIONS)(every), expected.T, atol=1e-5)


def test_images_are_found_for_captions_and_captions_for_images(
    folder: Path, images: list[Image], expected: NDArray[np.float64]
) -> None:
    captions = [Document(f"c{number}", text) for number, text in enumerate(CAPTIONS)]
    seen = [Document(f"i{number}", image) for number, image in enumerate(images)]
    asked = [Query(document.doc_id, document.text) for document in captions]
    asking = [Query(document.doc_id, document.text) for document in seen]
    lists = opened(folder)
    found = lists.search(Setting("en", (IMAGE,)), asked, seen, 2)
    assert found == [[f"i{number}" for number in row[:2]] for row in np.argsort(-expected, axis=1)]
    found = lists.search(Setting(IMAGE, ("en",)), asking, captions, 3)
    assert found == [[f"c{number}" for number in row[:3]] for row in np.argsort(-expected.T, axis=1)]
