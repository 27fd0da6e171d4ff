"""The kinds of image-text models that mlbench opens: how a small one of each is made, and what its library says.

Each row names the library whose own example gives the expected vectors, of one text or one image at a time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_checkpoints import CAPTIONS, DIM, IMAGE_SIZE, LAYERS, SPECIAL, VISION

from mlbench.protocols import Vectors

Inputs = Sequence[Any]
Reference = Callable[[Path, Inputs], Sequence[Any]]
CASED = ["Two blue SQUARES", "Ein großer roter Kreis", "two blue squares", "ein großer roter kreis"]
"""Captions that differ in case alone."""


@dataclass(frozen=True)
class Architecture:
    """One kind of model: how a small one is written into a folder, and the library's own vectors.

    `texts` and `images` return one vector for each input, in any length, of the folder that was written. The model
    lies in its folder `model`, or in itself; a model whose image tower lies apart has that in its folder `images`.
    """

    library: str
    save: Callable[[Path], object]
    texts: Reference
    images: Reference
    apart: bool = False
    trusted: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def unit(vectors: Sequence[Any]) -> Vectors:
    """Return vectors of length 1, float32 (n, dim)."""
    stacked = np.stack([np.asarray(vector, dtype=np.float32).reshape(-1) for vector in vectors])
    lengths: Vectors = np.linalg.norm(stacked, axis=1, keepdims=True)
    return stacked / lengths


def _network(folder: Path, name: str = "AutoModel", **options: Any) -> Any:
    import transformers

    return getattr(transformers, name).from_pretrained(folder, **options).eval()


def _tokenizer(folder: Path, name: str = "AutoTokenizer") -> Any:
    import transformers

    return getattr(transformers, name).from_pretrained(folder)


def _processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder, backend="pil")


def text_features(
    model: str = "AutoModel",
    method: str = "get_text_features",
    output: str = "pooler_output",
    tokenizer: str = "AutoTokenizer",
    **padding: Any,
) -> Reference:
    """Return what tokenises one text after another and gives the `output` of a network's `method`."""

    def reference(folder: Path, texts: Inputs) -> list[Any]:
        network, tokens = _network(folder, model), _tokenizer(folder, tokenizer)
        call = getattr(network, method)
        made = (tokens([text], truncation=True, return_tensors="pt", **padding) for text in texts)
        return [getattr(call(**features), output)[0].numpy() for features in made]

    return reference


def image_features(
    model: str = "AutoModel", method: str = "get_image_features", output: str = "pooler_output", **options: Any
) -> Reference:
    """Return what prepares one image after another and gives the `output` of a network's `method`."""

    def reference(folder: Path, images: Inputs) -> list[Any]:
        call, processor = getattr(_network(folder, model, **options), method), _processor(folder)
        made = (processor(images=[image], return_tensors="pt") for image in images)
        return [getattr(call(**features), output)[0].numpy() for features in made]

    return reference


def by_sentence_transformers(folder: Path, inputs: Inputs, **options: Any) -> list[Any]:
    """Return what `SentenceTransformer.encode` makes of one text or image after another."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", **options)
    return [model.encode([single], show_progress_bar=False)[0] for single in inputs]


def gemma_tokenizer(width: int = 16) -> Any:
    """Return the tokenizer that the checkpoints of SigLIP 2 name, which keeps the case of texts."""
    from transformers import GemmaTokenizer

    options: dict[str, Any] = {"padding_side": "right", "model_input_names": ["input_ids"]}
    tokenizer = GemmaTokenizer(**options).train_new_from_iterator([*CAPTIONS, *CASED], 300)
    tokenizer.model_max_length = width
    return tokenizer


def save_siglip2_as_siglip(folder: Path) -> Path:
    """Write a SigLIP 2 of images of one size, as it lies on the hub: SigLIP's network, Gemma's tokenizer."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = gemma_tokenizer()
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 16, **SPECIAL}
    model = checkpoints.spread(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)), 21)
    processor = SiglipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return checkpoints.save(folder, model, tokenizer, processor)


def save_metaclip2(folder: Path) -> Path:
    """Write a MetaCLIP 2, whose texts are tokenised by XLM-V."""
    from transformers import MetaClip2Config, MetaClip2Model

    tokenizer = checkpoints.xlm_r_tokenizer()
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20, "eos_token_id": 2}
    config = MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=DIM, eos_token_id=2)
    model = checkpoints.spread(MetaClip2Model(config), 11)
    return checkpoints.save(folder, model, tokenizer, checkpoints.clip_processor())


def save_lit(folder: Path) -> Path:
    """Write a dual encoder of a ViT and XLM-R, as a LiT is made of encoders that were trained apart."""
    from transformers import (
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
        ViTImageProcessorPil,
        XLMRobertaConfig,
    )

    tokenizer = checkpoints.xlm_r_tokenizer()
    text = XLMRobertaConfig(**LAYERS, vocab_size=len(tokenizer), max_position_embeddings=22)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(ViTConfig(**VISION), text, projection_dim=DIM)
    model = checkpoints.spread(VisionTextDualEncoderModel(config), 22)
    processor = ViTImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return checkpoints.save(folder, model, tokenizer, processor)


def save_align(folder: Path) -> Path:
    """Write an ALIGN: BERT for texts, EfficientNet for images."""
    from transformers import AlignConfig, AlignModel, EfficientNetImageProcessorPil

    tokenizer = checkpoints.bert_tokenizer()
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20}
    vision = {
        "image_size": 32,
        "width_coefficient": 0.25,
        "depth_coefficient": 1.0,
        "hidden_dim": DIM,
        "num_block_repeats": [1, 1],
        "kernel_sizes": [3, 3],
        "in_channels": [32, 16],
        "out_channels": [16, 64],
        "depthwise_padding": [],
        "strides": [1, 2],
        "expand_ratios": [1, 2],
    }
    model = AlignModel(AlignConfig(text_config=text, vision_config=vision, projection_dim=DIM))
    processor = EfficientNetImageProcessorPil(size={"height": 32, "width": 32})
    return checkpoints.save(folder, checkpoints.spread(model, 23), tokenizer, processor)


def save_m_clip(folder: Path) -> None:
    """Write a text encoder of Multilingual-CLIP, and beside it the CLIP whose space it was taught."""
    from safetensors.torch import save_file
    from torch.nn import Linear
    from transformers import XLMRobertaConfig, XLMRobertaModel

    checkpoints.save_clip(folder / "images")
    texts = folder / "model"
    tokenizer = checkpoints.xlm_r_tokenizer()
    base = XLMRobertaConfig(**LAYERS, vocab_size=len(tokenizer), max_position_embeddings=22)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(texts)
    encoder, head = checkpoints.spread(XLMRobertaModel(base), 24), checkpoints.spread(Linear(32, DIM), 25)
    weights = {f"transformer.{name}": tensor for name, tensor in encoder.state_dict().items()}
    weights |= {f"LinearTransformation.{name}": tensor for name, tensor in head.state_dict().items()}
    save_file(weights, texts / "model.safetensors", metadata={"format": "pt"})
    config = {"architectures": ["SentenceModelWithLinearTransformation"], "modelBase": str(folder / "base")}
    config |= {"model_type": "M-CLIP", "numDims": DIM, "transformerDimensions": 32}
    (texts / "config.json").write_text(json.dumps(config))


def by_m_clip(folder: Path, texts: Inputs) -> list[Any]:
    """Return the vectors of single texts as multilingual_clip computes them, cut off at the encoder's length."""
    from safetensors.torch import load_file
    from transformers import XLMRobertaConfig, XLMRobertaModel

    weights = load_file(folder / "model" / "model.safetensors")
    encoder = XLMRobertaModel(XLMRobertaConfig.from_pretrained(folder / "base")).eval()
    own = {name.removeprefix("transformer."): tensor for name, tensor in weights.items() if "transformer." in name}
    encoder.load_state_dict(own)
    tokenizer, vectors = _tokenizer(folder / "model", "XLMRobertaTokenizer"), []
    for text in texts:
        rows = tokenizer([text], padding=True, truncation=True, return_tensors="pt")
        states, mask = encoder(**rows)[0], rows["attention_mask"]
        pooled = (states * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1)[:, None]
        made = pooled @ weights["LinearTransformation.weight"].T + weights["LinearTransformation.bias"]
        vectors.append(made[0].numpy())
    return vectors


def save_clip_towers(folder: Path) -> None:
    """Write the two towers of a CLIP apart, each with its projection."""
    from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

    whole = checkpoints.save_clip(folder / "whole", wrapper=None)
    CLIPTextModelWithProjection.from_pretrained(whole, projection_dim=DIM).save_pretrained(folder / "model")
    _tokenizer(whole).save_pretrained(folder / "model")
    CLIPVisionModelWithProjection.from_pretrained(whole, projection_dim=DIM).save_pretrained(folder / "images")
    _processor(whole).save_pretrained(folder / "images")


def save_siglip_towers(folder: Path) -> None:
    """Write the two towers of a SigLIP apart."""
    from transformers import SiglipTextModel, SiglipVisionModel

    whole = checkpoints.save_siglip(folder / "whole")
    SiglipTextModel.from_pretrained(whole).save_pretrained(folder / "model")
    _tokenizer(whole).save_pretrained(folder / "model")
    SiglipVisionModel.from_pretrained(whole).save_pretrained(folder / "images")
    _processor(whole).save_pretrained(folder / "images")


def save_multilingual_text_tower(folder: Path) -> None:
    """Write a text encoder of Sentence Transformers as clip-ViT-B-32-multilingual-v1 is one, and a CLIP beside it."""
    checkpoints.save_text_tower(folder / "made")
    (folder / "made" / "whole").rename(folder / "model")
    checkpoints.save_clip(folder / "images")


def save_vit_tower(folder: Path) -> None:
    """Write a text encoder and, as another model of Sentence Transformers, a ViT with a projection."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    checkpoints.save_text_tower(folder / "made")
    (folder / "made" / "whole").rename(folder / "model")
    plain = folder / "plain"
    checkpoints.spread(ViTModel(ViTConfig(**VISION), add_pooling_layer=False), 26).save_pretrained(plain)
    ViTImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(32, "cls"), checkpoints.spread(Dense(32, DIM, bias=False), 27)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "images"))


NOMIC_CODE = """
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class NomicBertConfig(PreTrainedConfig):
    model_type = "nomic_bert"


class NomicVisionModel(PreTrainedModel):
    config_class = NomicBertConfig

    def __init__(self, config):
        super().__init__(config)
        self.patches = nn.Conv2d(3, 32, kernel_size=8, stride=8)
        self.post_init()

    def forward(self, pixel_values):
        return BaseModelOutput(last_hidden_state=self.patches(pixel_values).flatten(2).transpose(1, 2))
"""


def save_nomic(folder: Path) -> None:
    """Write a text encoder, and beside it an image encoder with code of its own, as Nomic Embed Vision is one."""
    import torch
    from safetensors.torch import save_file
    from transformers import ViTImageProcessorPil

    torch.manual_seed(28)
    checkpoints.save_text_tower(folder / "made", dim=32)
    (folder / "made" / "whole").rename(folder / "model")
    images = folder / "images"
    ViTImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(images)
    weights = {"patches.weight": torch.randn(32, 3, 8, 8), "patches.bias": torch.randn(32)}
    save_file(weights, images / "model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {"model_type": "nomic_bert", "architectures": ["NomicVisionModel"]}
    config["auto_map"] = {"AutoConfig": "own_code.NomicBertConfig", "AutoModel": "own_code.NomicVisionModel"}
    (images / "config.json").write_text(json.dumps(config))
    (images / "own_code.py").write_text(NOMIC_CODE)


CLIP_CODE = """
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel


class OwnConfig(CLIPConfig):
    model_type = "own_clip"


class OwnProcessor(CLIPImageProcessorPil):
    pass


class OwnModel(CLIPModel):
    config_class = OwnConfig

    def get_text_features(self, input_ids, attention_mask=None):
        return super().get_text_features(input_ids, attention_mask).pooler_output.flip(1)

    def get_image_features(self, pixel_values):
        return super().get_image_features(pixel_values).pooler_output.flip(1)
"""


def save_own_code(folder: Path) -> Path:
    """Write a CLIP with code of its own, which returns vectors as they are, as jina-clip does."""
    checkpoints.save_clip(folder, wrapper=None)
    for name, changed in (
        ("config.json", {"AutoConfig": "own_code.OwnConfig", "AutoModel": "own_code.OwnModel"}),
        ("preprocessor_config.json", {"AutoImageProcessor": "own_code.OwnProcessor"}),
    ):
        content = json.loads((folder / name).read_text()) | {"auto_map": changed}
        content |= {"model_type": "own_clip"} if name == "config.json" else {"image_processor_type": "OwnProcessor"}
        (folder / name).write_text(json.dumps(content))
    (folder / "own_code.py").write_text(CLIP_CODE)
    return folder


def by_own_code(folder: Path, inputs: Inputs) -> list[Any]:
    """Return what the code makes of one text or image after another."""
    from transformers import CLIPTokenizer

    network = _network(folder, trust_remote_code=True)
    if isinstance(inputs[0], str):
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        rows = (tokenizer([text], truncation=True, return_tensors="pt") for text in inputs)
        return [network.get_text_features(**row)[0].numpy() for row in rows]
    processor = checkpoints.clip_processor()
    return [
        network.get_image_features(processor([image], return_tensors="pt")["pixel_values"])[0].numpy()
        for image in inputs
    ]


def save_library_code(folder: Path) -> None:
    """Write a CLIP of Sentence Transformers whose first module is code of its own."""
    checkpoints.save_library_clip(folder / "made").rename(folder / "model")
    modules = json.loads((folder / "model" / "modules.json").read_text())
    modules[0]["type"] = "own_st.OwnTransformer"
    (folder / "model" / "modules.json").write_text(json.dumps(modules))
    (folder / "model" / "own_st.py").write_text(
        "from sentence_transformers.base.modules import Transformer\n\n\nclass OwnTransformer(Transformer):\n    pass\n"
    )


def by_library_code(folder: Path, inputs: Inputs) -> list[Any]:
    """Return what `SentenceTransformer.encode` makes of one input after another, with the code."""
    return by_sentence_transformers(folder / "model", inputs, trust_remote_code=True)


def by_nomic(folder: Path, images: Inputs) -> list[Any]:
    """Return the vectors of single images as the model card of Nomic Embed Vision computes them."""
    reference = image_features("AutoModel", "forward", "last_hidden_state", trust_remote_code=True)
    return [states[0] for states in reference(folder / "images", images)]


def by_blip(folder: Path, texts: Inputs) -> list[Any]:
    """Return BLIP's contrastive vectors of single texts, as its forward pass without the matching head makes them."""
    network, tokenizer = _network(folder, "BlipForImageTextRetrieval"), _tokenizer(folder)
    rows = (tokenizer([text], truncation=True, return_tensors="pt") for text in texts)
    states = (network.text_encoder(row["input_ids"], attention_mask=row["attention_mask"])[0] for row in rows)
    return [network.text_proj(state[:, 0])[0].numpy() for state in states]


def seen_by_blip(folder: Path, images: Inputs) -> list[Any]:
    """Return BLIP's contrastive vectors of single images."""
    network, processor = _network(folder, "BlipForImageTextRetrieval"), _processor(folder)
    made = (processor(images=[image], return_tensors="pt")["pixel_values"] for image in images)
    return [network.vision_proj(network.vision_model(pixels)[0][:, 0])[0].numpy() for pixels in made]


def _in(name: str, reference: Reference) -> Reference:
    """Return the same reference for a folder inside."""
    return lambda folder, inputs: reference(folder / name, inputs)


ARCHITECTURES: dict[str, Architecture] = {
    "CLIP": Architecture("transformers", checkpoints.save_clip, text_features(), image_features()),
    "AltCLIP": Architecture("transformers", checkpoints.save_altclip, text_features(), image_features()),
    "Chinese-CLIP": Architecture("transformers", checkpoints.save_chinese_clip, text_features(), image_features()),
    "MetaCLIP 2": Architecture("transformers", save_metaclip2, text_features(), image_features()),
    "SigLIP": Architecture(
        "transformers", checkpoints.save_siglip, text_features(padding="max_length"), image_features()
    ),
    "SigLIP 2, images of any shape": Architecture(
        "transformers", checkpoints.save_siglip2, text_features(padding="max_length"), image_features()
    ),
    "SigLIP 2, images of one size": Architecture(
        "transformers",
        save_siglip2_as_siglip,
        text_features(tokenizer="Siglip2Tokenizer", padding="max_length"),
        image_features(),
    ),
    "LiT": Architecture("transformers", save_lit, text_features(), image_features()),
    "ALIGN": Architecture("transformers", save_align, text_features(), image_features()),
    "BLIP": Architecture("transformers", checkpoints.save_blip, by_blip, seen_by_blip),
    "CLIP with code of its own": Architecture("its own code", save_own_code, by_own_code, by_own_code, trusted=True),
    "CLIP of Sentence Transformers": Architecture(
        "sentence-transformers",
        lambda folder: checkpoints.save_library_clip(folder / "made").rename(folder / "model"),
        _in("model", by_sentence_transformers),
        _in("model", by_sentence_transformers),
    ),
    "CLIP of Sentence Transformers with code of its own": Architecture(
        "sentence-transformers", save_library_code, by_library_code, by_library_code, trusted=True
    ),
    "Multilingual-CLIP beside CLIP": Architecture(
        "multilingual-clip", save_m_clip, by_m_clip, _in("images", image_features()), apart=True
    ),
    "multilingual text tower of Sentence Transformers beside CLIP": Architecture(
        "sentence-transformers",
        save_multilingual_text_tower,
        _in("model", by_sentence_transformers),
        _in("images", image_features()),
        apart=True,
    ),
    "towers of CLIP apart": Architecture(
        "transformers",
        save_clip_towers,
        _in("model", text_features("CLIPTextModelWithProjection", "forward", "text_embeds")),
        _in("images", image_features("CLIPVisionModelWithProjection", "forward", "image_embeds")),
        apart=True,
    ),
    "towers of SigLIP apart": Architecture(
        "transformers",
        save_siglip_towers,
        _in("model", text_features("SiglipTextModel", "forward", padding="max_length")),
        _in("images", image_features("SiglipVisionModel", "forward")),
        apart=True,
    ),
    "text tower beside a ViT with a projection": Architecture(
        "sentence-transformers",
        save_vit_tower,
        _in("model", by_sentence_transformers),
        _in("images", by_sentence_transformers),
        apart=True,
    ),
    "text tower beside Nomic Embed Vision": Architecture(
        "transformers", save_nomic, _in("model", by_sentence_transformers), by_nomic, apart=True, trusted=True
    ),
}
