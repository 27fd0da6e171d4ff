"""BLIP against transformers' own `BlipForImageTextRetrieval`, on small random checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers.image_text_checkpoints import CAPTIONS, DIM, opened, save_blip, save_pictures

from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.retrievers.pipelines.system import open_reranker

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")


class Library:
    """What transformers computes, for one text at a time, so that nothing is padded."""

    def __init__(self, folder: Path) -> None:
        self.network = transformers.BlipForImageTextRetrieval.from_pretrained(folder).eval()
        processor = transformers.BlipImageProcessorPil.from_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.processor = transformers.BlipProcessor(processor, tokenizer)

    def tokens(self, caption: str, n: int) -> dict[str, Any]:
        """The rows of a caption for each of `n` images."""
        rows = self.processor(text=[caption], return_tensors="pt", truncation=True, max_length=20)
        return {name: rows[name].expand(n, -1).clone() for name in ("input_ids", "attention_mask")}

    def table(self, captions: list[str], images: list[Any], **options: Any) -> Any:
        pixels = self.processor(images=images, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            texts = (self.tokens(caption, len(images)) for caption in captions)
            scores = [self.network(**rows, pixel_values=pixels, **options).itm_score for rows in texts]
        return torch.stack(scores).double().numpy()

    def cosines(self, captions: list[str], images: list[Any]) -> Any:
        return self.table(captions, images, use_itm_head=False)[..., 0]

    def logits(self, captions: list[str], images: list[Any]) -> Any:
        return self.table(captions, images)[..., 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return Library(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 6)


def test_cosines_are_those_of_the_library(folder: Path, library: Library, images: list[Image]) -> None:
    encoder = open_retriever(f"image_text:{folder}", {"image_batch_size": "4"}, RUNTIME)
    assert isinstance(encoder, Encoder)
    texts, seen = encoder.encode(CAPTIONS, "query"), encoder.encode(images, "image")
    assert (texts.shape, seen.shape) == ((len(CAPTIONS), DIM), (6, DIM))
    expected = library.cosines(CAPTIONS, opened(images))
    np.testing.assert_allclose(texts @ seen.T, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.01
    assert np.ptp(expected, axis=1).min() > 0.01


def test_logits_are_those_of_the_library(folder: Path, library: Library, images: list[Image]) -> None:
    reranker = open_reranker(f"image_text:{folder}", {"add_similarity": "false"}, RUNTIME)
    scores = reranker.score([(caption, image) for caption in CAPTIONS for image in images])
    expected = library.logits(CAPTIONS, opened(images))
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.01
    assert np.ptp(expected, axis=1).min() > 0.01


def test_the_similarity_is_added_as_published(folder: Path, library: Library, images: list[Image]) -> None:
    reranker = open_reranker(f"image_text:{folder}", {}, RUNTIME)
    scores = reranker.score([(caption, image) for caption in CAPTIONS for image in images])
    both = library.logits(CAPTIONS, opened(images)) + library.cosines(CAPTIONS, opened(images))
    np.testing.assert_allclose(scores.reshape(both.shape), both, atol=1e-5)
    assert reranker.parameters["add_similarity"] is True


def test_another_token_may_come_first(folder: Path, library: Library, images: list[Image]) -> None:
    reranker = open_reranker(f"image_text:{folder}", {"matching_token": "9", "add_similarity": "true"}, RUNTIME)
    (score,) = reranker.score([(CAPTIONS[2], images[0])])
    first = opened(images[:1])
    tokens = library.tokens(CAPTIONS[2], 1)
    tokens["input_ids"][0, 0] = 9
    with torch.inference_mode():
        pixels = library.processor(images=first, return_tensors="pt")["pixel_values"]
        logit = library.network(**tokens, pixel_values=pixels).itm_score[0, 1].item()
    assert score == pytest.approx(logit + library.cosines(CAPTIONS[2:3], first).item(), abs=1e-5)
    assert abs(logit - library.logits(CAPTIONS[2:3], first).item()) > 1e-3
    assert reranker.fingerprint() != open_reranker(f"image_text:{folder}", {}, RUNTIME).fingerprint()


def test_a_text_encoder_that_sees_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    config = transformers.BlipConfig.from_pretrained(folder)
    config.text_config.is_decoder = False
    network = transformers.BlipForImageTextRetrieval(config)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    transformers.BlipImageProcessorPil.from_pretrained(folder).save_pretrained(tmp_path)
    network.save_pretrained(tmp_path)
    with pytest.raises(RetrieverError, match="its text encoder has no cross-attention"):
        open_reranker(f"image_text:{tmp_path}", {}, RUNTIME)


def test_a_checkpoint_for_captions_is_refused(folder: Path, tmp_path: Path) -> None:
    config = transformers.BlipConfig.from_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    transformers.BlipImageProcessorPil.from_pretrained(folder).save_pretrained(tmp_path)
    transformers.BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(RetrieverError, match=r"weights are missing, among them itm_head\.bias"):
        open_reranker(f"image_text:{tmp_path}", {}, RUNTIME)


def test_only_albef_takes_what_its_checkpoints_lack(folder: Path) -> None:
    for key, value, takes in (
        ("image_size", "48", "ALBEF takes"),
        ("tokenizer", str(folder), "ALBEF and OpenCLIP take"),
    ):
        with pytest.raises(RetrieverError, match=f"{key}={value}: only {takes} it, and .* is blip"):
            open_reranker(f"image_text:{folder}", {key: value}, RUNTIME)
        with pytest.raises(RetrieverError, match=f"{key}={value}: only {takes} it, and .* is blip"):
            open_retriever(f"image_text:{folder}", {key: value}, RUNTIME)
