"""Embedders made of vision-language models, which wrap each text and image in a message; needs torchvision."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_checkpoints import CAPTIONS
from unit.retrievers.open_clip_checkpoints import define_operators

from mlbench.collection.records import Image
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime
from mlbench.retrievers.image_text.encoder import ImageTextEncoder

torch = pytest.importorskip("torch")
if find_spec("torchvision") is None:
    pytest.skip("transformers needs torchvision for a processor of videos", allow_module_level=True)
with suppress(RuntimeError):  # torchvision has them, where it fits the torch that is installed.
    operators = define_operators()
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
)


def save_qwen2_vl(folder: Path) -> Path:
    """Write an embedder of Sentence Transformers made of a Qwen2-VL, which takes the state of the last token."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import Qwen2Tokenizer, Qwen2VLConfig, Qwen2VLImageProcessorPil, Qwen2VLModel, Qwen2VLProcessor
    from transformers import Qwen2VLVideoProcessor as VideoProcessor

    tokenizer = Qwen2Tokenizer().train_new_from_iterator(CAPTIONS, 300)
    tokenizer.add_special_tokens({"extra_special_tokens": list(SPECIAL)})
    _, end, vision_start, vision_end, image, video = map(tokenizer.convert_tokens_to_ids, SPECIAL)
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56)
    Qwen2VLProcessor(images, tokenizer, VideoProcessor(), chat_template=TEMPLATE).save_pretrained(folder / "plain")
    text = {**checkpoints.LAYERS, "vocab_size": len(tokenizer), "num_key_value_heads": 2, "bos_token_id": None}
    text |= {"eos_token_id": end, "pad_token_id": tokenizer.pad_token_id, "max_position_embeddings": 256}
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    numbers = {"image_token_id": image, "video_token_id": video}
    numbers |= {"vision_start_token_id": vision_start, "vision_end_token_id": vision_end}
    model = Qwen2VLModel(Qwen2VLConfig(text_config=text, vision_config=vision, **numbers))
    checkpoints.spread(model, 31).save_pretrained(folder / "plain")
    modules = [Transformer(str(folder / "plain")), Pooling(32, "lasttoken"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def by_library(folder: Path, inputs: Sequence[Any]) -> Any:
    """Return what `encode` makes of one input after another, images prepared by Pillow as mlbench does it."""
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    model[0].processor.image_processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return np.stack([model.encode([single], show_progress_bar=False)[0] for single in inputs])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen2_vl(tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return checkpoints.save_pictures(tmp_path_factory.mktemp("pictures"), 5)


def test_vectors_are_those_of_the_library(saved: Path, images: list[Image]) -> None:
    encoder = open_retriever(f"image_text:{saved}", {}, Runtime(device="cpu"))
    assert isinstance(encoder, ImageTextEncoder)
    seen, said = by_library(saved, checkpoints.opened(images)), by_library(saved, CAPTIONS)
    assert min(np.ptp(seen, axis=0).max(), np.ptp(said, axis=0).max()) > 0.05
    # The images have different numbers of patches.
    np.testing.assert_allclose(encoder.encode(images, "image"), seen, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(CAPTIONS, "query"), said, atol=1e-5)
    assert encoder.parameters["image_batch_size"] == 1
