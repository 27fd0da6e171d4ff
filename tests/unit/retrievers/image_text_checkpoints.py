"""Tiny image-text networks with random weights, as the libraries save them, and pictures for them."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mlbench.collection.records import Image

CAPTIONS = [
    "",
    "a red circle",
    "Two blue squares on a white ground",
    "ein großer roter Kreis",
    "สามเหลี่ยมสีเขียว",
    "青い四角が二つ",
    "один зелёный треугольник и " + "один красный круг " * 30,
    "  three blanks ",
]
IMAGE_SIZE = 24
DIM = 16
LAYERS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
VISION = {**LAYERS, "image_size": IMAGE_SIZE, "patch_size": 8}


def save_pictures(folder: Path, n: int, seed: int = 0) -> list[Image]:
    """Write `n` coloured pictures of different sizes and return them as records."""
    from PIL import Image as Pillow

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(n):
        coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        picture = Pillow.fromarray(coarse).resize(
            (30 + 7 * (number % 5), 28 + 5 * (number % 7)), Pillow.Resampling.NEAREST
        )
        paths.append(folder / f"{number}.png")
        picture.save(paths[-1])
    return records(paths)


def records(paths: Iterable[Path]) -> list[Image]:
    """Return the files as the images of a collection."""
    return [Image(sha256(path.read_bytes()).hexdigest(), path) for path in paths]


def opened(images: Iterable[Image]) -> list[Any]:
    """Return the images as Pillow's own objects."""
    from mlbench.collection.images import open_image

    return [open_image(image.path) for image in images]


def spread(model: Any, seed: int) -> Any:
    """Draw the weights so widely that different texts and images get clearly different vectors."""
    import torch

    torch.manual_seed(seed)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.25)
        elif weight.ndim == 1:
            torch.nn.init.normal_(weight, mean=1.0, std=0.1)
    return model.eval()


def clip_tokenizer(length: int = 20, captions: Sequence[str] = CAPTIONS) -> Any:
    """Return CLIP's tokenizer with a vocabulary of the captions."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer().train_new_from_iterator(captions, 400)
    tokenizer.model_max_length = length
    return tokenizer


def xlm_r_tokenizer(length: int = 20) -> Any:
    """Return XLM-R's tokenizer with a vocabulary of the captions."""
    from transformers import XLMRobertaTokenizer

    tokenizer = XLMRobertaTokenizer().train_new_from_iterator(CAPTIONS, 300)
    tokenizer.model_max_length = length
    return tokenizer


def save(folder: Path, model: Any, tokenizer: Any, processor: Any, wrapper: str | None = None) -> Path:
    """Write a model with its tokenizer and image processor: in one `wrapper`, such as `CLIPProcessor`, or apart."""
    import transformers

    model.save_pretrained(folder)
    if wrapper:
        getattr(transformers, wrapper)(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    else:
        tokenizer.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def clip_processor() -> Any:
    """Return CLIP's image processor for the small images."""
    from transformers import CLIPImageProcessorPil

    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=side)


def save_clip(
    folder: Path,
    seed: int = 1,
    *,
    dim: int = DIM,
    wrapper: str | None = "CLIPProcessor",
    captions: Sequence[str] = CAPTIONS,
) -> Path:
    """Write a CLIP of `dim` coordinates; without `wrapper`, as checkpoints before version 5 lie on the hub."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = clip_tokenizer(captions=captions)
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20, **SPECIAL}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=dim))
    return save(folder, spread(model, seed), tokenizer, clip_processor(), wrapper)


def save_altclip(folder: Path, seed: int = 2) -> Path:
    """Write an AltCLIP: a tower of XLM-R for texts, one of CLIP for images."""
    from transformers import AltCLIPConfig, AltCLIPModel

    tokenizer = xlm_r_tokenizer()
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 22, "project_dim": 32}
    model = AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM))
    return save(folder, spread(model, seed), tokenizer, clip_processor(), "AltCLIPProcessor")


def save_chinese_clip(folder: Path, seed: int = 3) -> Path:
    """Write a Chinese CLIP: a tower of BERT for texts, one of CLIP for images."""
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPImageProcessorPil, ChineseCLIPModel

    tokenizer = BertTokenizer().train_new_from_iterator(CAPTIONS, 300)
    tokenizer.model_max_length = 20
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20}
    model = ChineseCLIPModel(ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIM))
    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor = ChineseCLIPImageProcessorPil(size=side, do_center_crop=False)
    return save(folder, spread(model, seed), tokenizer, processor)


def save_siglip(folder: Path, seed: int = 4, width: int = 16) -> Path:
    """Write a SigLIP, whose texts all have `width` tokens, with a tokenizer of SentencePiece."""
    from io import BytesIO

    import sentencepiece
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipTokenizer

    pieces, options = BytesIO(), {"vocab_size": 120, "pad_id": -1, "bos_id": -1, "eos_id": 1, "unk_id": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CAPTIONS), model_writer=pieces, hard_vocab_limit=False, minloglevel=2, **options
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(pieces.getvalue())
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=width, model_input_names=["input_ids"])
    text = {**LAYERS, "vocab_size": 130, "max_position_embeddings": width, **SPECIAL}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    processor = SiglipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return save(folder, spread(model, seed), tokenizer, processor)


def save_siglip2(folder: Path, seed: int = 5, width: int = 16) -> Path:
    """Write a SigLIP 2 that keeps the shape of its images."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Tokenizer

    tokenizer = Siglip2Tokenizer(padding_side="right").train_new_from_iterator(CAPTIONS, 300)
    tokenizer.model_max_length = width
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": width, **SPECIAL}
    vision = {**LAYERS, "patch_size": 8, "num_patches": 16}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    return save(folder, spread(model, seed), tokenizer, Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16))


def save_library_clip(folder: Path, seed: int = 6) -> Path:
    """Write a CLIP as Sentence Transformers saves one, with vectors of length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer

    plain = save_clip(folder / "plain", seed)
    modules = [Transformer(str(plain)), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def save_text_tower(folder: Path, seed: int = 7, *, dim: int = DIM) -> Path:
    """Write a text-only model of Sentence Transformers whose vectors are meant for a CLIP's space."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = xlm_r_tokenizer()
    config = XLMRobertaConfig(**LAYERS, vocab_size=len(tokenizer), max_position_embeddings=22)
    spread(XLMRobertaModel(config), seed).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    dense = spread(Dense(32, dim, bias=False), seed)
    modules = [Transformer(str(folder / "plain")), Pooling(32, "mean"), dense]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def bert_tokenizer(length: int = 20, captions: Sequence[str] = CAPTIONS) -> Any:
    """Return BERT's tokenizer with a vocabulary of the captions' letters and short words, the same each time."""
    from transformers import BertTokenizer

    words = sorted({word for caption in captions for word in caption.lower().split() if len(word) < 6})
    letters = sorted({letter for caption in captions for letter in caption.lower()} - {" "})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return BertTokenizer(vocab=vocabulary, model_max_length=length)


def save_blip(folder: Path, seed: int = 8, captions: Sequence[str] = CAPTIONS) -> Path:
    """Write a BLIP with both towers and a matching head."""
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessorPil

    tokenizer = bert_tokenizer(captions=captions)
    text = {**LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20, "encoder_hidden_size": 32}
    numbers = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "sep")}
    numbers["bos_token_id"] = tokenizer.cls_token_id
    config = BlipConfig(text_config={**text, **numbers}, vision_config=VISION, image_text_hidden_size=DIM)
    processor = BlipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return save(folder, spread(BlipForImageTextRetrieval(config), seed), tokenizer, processor, "BlipProcessor")
