"""Small random models in OpenCLIP's own format, and what its library says of single texts and images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_checkpoints import CAPTIONS, DIM, IMAGE_SIZE, LAYERS

VISION = {"image_size": IMAGE_SIZE, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
SIGLIP = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
SQUASHED = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def define_operators() -> object:
    """Declare two operators of torchvision that OpenCLIP does not use, and return what keeps them.

    Without them torchvision cannot be imported beside a torch of another build, such as that for processors alone. What
    OpenCLIP takes of it, the resizing of Pillow's images among that, needs no operator.
    """
    from torch.library import Library

    library = Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def save_open_clip(folder: Path, configuration: dict[str, Any], preprocess: dict[str, Any], seed: int) -> Path:
    """Write a model of this configuration, with the means and deviations of CLIP unless others are given."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    content = {"model_cfg": {"embed_dim": DIM, "vision_cfg": VISION, **configuration}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    checkpoints.spread(model, seed)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / NAMES[0])
    return folder


def save_vit(folder: Path) -> Path:
    """Write OpenCLIP's ViT with CLIP's tokenizer."""
    return save_open_clip(folder, {"text_cfg": TEXT}, {}, 1)


def save_xlm_r(folder: Path) -> Path:
    """Write a text encoder of XLM-R with mean pooling, as LAION's multilingual models have."""
    from transformers import XLMRobertaConfig

    tokenizer = checkpoints.xlm_r_tokenizer(length=512)
    tokenizer.save_pretrained(folder)
    config = XLMRobertaConfig(**LAYERS, vocab_size=len(tokenizer), max_position_embeddings=90)
    config.save_pretrained(folder / "base")
    text = {"hf_model_name": str(folder / "base"), "hf_tokenizer_name": "xlm-roberta-base", "context_length": 24}
    text |= {"hf_pooler_type": "mean_pooler", "hf_proj_type": "mlp"}
    return save_open_clip(folder, {"text_cfg": text}, {}, 2)


def save_siglip(folder: Path) -> Path:
    """Write a SigLIP with a tokenizer of transformers, whose texts are canonicalised, and images made square."""
    tokenizer = checkpoints.xlm_r_tokenizer(length=512)
    tokenizer.save_pretrained(folder)
    text = {**TEXT, **SIGLIP, "vocab_size": len(tokenizer), "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}
    text["tokenizer_kwargs"] = {"clean": "canonicalize"}
    return save_open_clip(folder, {"custom_text": True, "init_logit_bias": -10, "text_cfg": text}, SQUASHED, 3)


def save_nllb(folder: Path) -> Path:
    """Write an NLLB-CLIP: the encoder of a translation model, whose first token tells the language."""
    from transformers import M2M100Config, NllbTokenizer

    tokenizer = NllbTokenizer().train_new_from_iterator(CAPTIONS, 400)
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "encoder_layers": 2, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 90}
    M2M100Config(vocab_size=len(tokenizer), **sizes, **heads).save_pretrained(folder / "base")
    text = {"hf_model_name": str(folder / "base"), "hf_tokenizer_name": "facebook/nllb-200-distilled-600M"}
    text |= {"context_length": 24, "hf_proj_type": "linear", "hf_pooler_type": "cls_pooler"}
    return save_open_clip(folder, {"text_cfg": text}, {}, 4)


def save_coca(folder: Path) -> Path:
    """Write a CoCa, whose texts end in a token of the network's own."""
    multimodal = {"width": 32, "context_length": 24, "vocab_size": 49408, "layers": 1, "heads": 4}
    multimodal |= {"n_queries": 4, "attn_pooler_heads": 4}
    vision = {**VISION, "attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 4}
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    configuration = {"multimodal_cfg": multimodal, "vision_cfg": {**vision, "output_tokens": True}, "text_cfg": text}
    return save_open_clip(folder, {**configuration, "custom_text": True}, {}, 5)


def save_timm(folder: Path) -> Path:
    """Write a model whose image tower is one of timm."""
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear"}
    return save_open_clip(folder, {"vision_cfg": {**vision, "image_size": 160}, "text_cfg": TEXT}, {}, 6)


def by_open_clip(folder: Path, texts: Sequence[str], images: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return what the example in OpenCLIP's README says of one text or image after another."""
    import open_clip
    import torch

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        said = [model.encode_text(tokenizer([text]))[0].numpy() for text in texts]
        seen = [model.encode_image(preprocess(image).unsqueeze(0))[0].numpy() for image in images]
    return said, seen
