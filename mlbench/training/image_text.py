"""The image-text model of a recipe, a checkpoint or a small new one, and its images in training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, processors

from mlbench.collection.images import open_images
from mlbench.collection.records import Image
from mlbench.errors import RetrieverError, UserError
from mlbench.io.cache import kept_folder
from mlbench.protocols import Progress, Runtime
from mlbench.retrievers.checkpoint_folder import find_checkpoint
from mlbench.retrievers.image_text.albef import new_albef, save_albef
from mlbench.retrievers.image_text.towers import kind_of
from mlbench.retrievers.load_checkpoint import LoadOptions, load
from mlbench.training.data import TrainingData, used_texts
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import HEAD, ImageTextModel
from mlbench.training.towers import join_towers, lock_tower, tower_of
from mlbench.training.vocabulary import UNKNOWN, learn_tokenizer, read_texts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Parameter
    from transformers import BlipForImageTextRetrieval, CLIPModel, CLIPProcessor, PreTrainedTokenizerBase

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Row = dict[str, str | bool]
MOST_BYTES = 2**30
"""So many bytes of images are kept by each process, as 8-bit numbers."""
_PAD, _BEGIN, _END = "[PAD]", "[BOS]", "[EOS]"
_FORMAT = "1"
_TOKENIZER = "tokenizer.json"


class Processor(Protocol):
    """What `Pixels` needs of an image processor of transformers; its last two steps are to rescale and to normalise."""

    do_rescale: bool
    rescale_factor: float
    do_normalize: bool
    image_mean: Sequence[float]
    image_std: Sequence[float]

    def __call__(self, images: Sequence[object], **options: object) -> dict[str, NDArray[np.generic]]:
        """Return the `pixel_values` of images, (n, 3, height, width)."""


@dataclass(eq=False)
class Pixels:
    """What `processor` makes of images; they are opened when they are first wanted."""

    processor: Processor
    most_bytes: int = MOST_BYTES
    _kept: dict[str, Bytes] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, images: Sequence[Image]) -> Floats:
        """Return the images as the network takes them, float32 (n, 3, height, width).

        Raises as `open_images` does for one that is gone or broken since it was checked.
        """
        new = [image for image in dict.fromkeys(images) if image not in self._kept]
        cut: dict[str, Bytes] = {}
        for image, opened in zip(new, open_images([image.path for image in new]), strict=True):
            options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
            cut[image] = self.processor([opened], **options)["pixel_values"][0].astype(np.uint8)
            if self._bytes + cut[image].nbytes <= self.most_bytes:
                self._kept[image] = cut[image]
                self._bytes += cut[image].nbytes
        return self._scaled(np.stack([cut[image] if image in cut else self._kept[image] for image in images]))

    def _scaled(self, cut: Bytes) -> Floats:
        values = cut.astype(np.float32)
        if self.processor.do_rescale:
            values *= np.float32(self.processor.rescale_factor)
        if self.processor.do_normalize:
            mean, std = (
                np.asarray(each, np.float32)[:, None, None]
                for each in (self.processor.image_mean, self.processor.image_std)
            )
            values = (values - mean) / std
        return values


class Collator:
    """Makes the features of a batch: images become pixels, or the vectors that they are known to have, texts tokens."""

    # What the trainer asks of a collator: which of the columns are labels.
    valid_label_columns: Sequence[str] = ()

    def __init__(self, model: "SentenceTransformer", vectors: Mapping[Image, Floats] | None = None) -> None:
        self._model = model
        self._vectors = vectors
        self._pixels = Pixels(image_processor_of(model))

    def __call__(self, rows: Sequence[Row]) -> "dict[str, Tensor | str]":
        """Return the features of the columns of `rows`, each under its column's name."""
        import torch

        features: dict[str, Tensor | str] = {}
        for column in rows[0]:
            values = [row[column] for row in rows]
            if column == "label":
                features[column] = torch.tensor(values)
                continue
            images = [value for value in values if isinstance(value, Image)]
            if images and self._vectors is not None:
                known = np.stack([self._vectors[image] for image in images])
                features[f"{column}_sentence_embedding"] = torch.from_numpy(known)
            elif images:
                pixels = torch.from_numpy(self._pixels.read(images))
                features |= {f"{column}_pixel_values": pixels, f"{column}_modality": "image"}
            else:
                # A model that is not trained with prompts has none.
                made = self._model.preprocess(values, prompt=self._model.prompts.get("document") or None)
                features |= {f"{column}_{name}": value for name, value in made.items() if value is not None}
        return features


def load_image_text(
    recipe: Recipe, data: TrainingData, *, progress: Progress, runtime: Runtime
) -> "SentenceTransformer":
    """Return the model to train, in float32: a new one is drawn by torch's random numbers.

    A folder is looked for beside the recipe, then here; what is none is a hub id. Raises `UserError` where a checkpoint
    cannot be loaded, is no image-text model, or cannot be trained as the recipe says.
    """
    settings = recipe.image_text
    assert settings is not None
    options = LoadOptions(device="cpu", allow_pickle=runtime.allow_pickle)
    with TemporaryDirectory() as made:
        try:
            if settings.image_tower is not None:
                model = join_towers(settings, recipe.root, runtime)
            elif settings.checkpoint is None:
                _write_new(settings, caption_tokenizer(recipe, data, progress), Path(made))
                model = _open(settings, Path(made), options)
            else:
                beside = recipe.root / Path(settings.checkpoint).expanduser()
                place = str(beside) if beside.is_dir() else settings.checkpoint
                folder = find_checkpoint(place, settings.revision, allow_pickle=runtime.allow_pickle)
                model = _open(settings, folder, options)
        except RetrieverError as error:
            raise UserError(f"image_text: {error}") from error
    if not {"text", "image"} <= set(getattr(model[0], "modalities", ())):
        raise UserError(f"image_text.checkpoint: {settings.checkpoint} does not read both images and texts")
    if not reads_squares(image_processor_of(model)):
        named = f"checkpoint: {settings.checkpoint}" if settings.checkpoint else f"image_tower: {settings.image_tower}"
        raise UserError(f"image_text.{named} reads images in pieces, and cannot be trained here")
    if settings.image_tower is not None:
        lock_tower(model, settings.locked)
    _set_temperature(model, recipe)
    model.similarity_fn_name = "cosine"
    return model


def _open(settings: ImageTextModel, folder: Path, options: LoadOptions) -> "SentenceTransformer":
    """Return the model in a folder; raises `UserError` where it is of another architecture than the recipe says."""
    from sentence_transformers import SentenceTransformer

    kind = kind_of(folder)
    found = kind if kind in ("blip", "albef") else "clip"
    if found != settings.architecture:
        raise UserError(f"image_text.checkpoint: {settings.checkpoint} is a {found}: say architecture = '{found}'")
    if found == "clip":
        return load(folder, options)
    from mlbench.training.fusion import FusionModel

    model = SentenceTransformer(modules=[FusionModel.open(folder, options)], device="cpu")
    model.train()
    return model


def image_processor_of(model: "SentenceTransformer") -> Processor:
    """Return what turns the images of a model into pixels."""
    processor: Processor = next(iter(tower_of(model, "image"))).processor.image_processor
    return processor


def reads_squares(processor: Processor) -> bool:
    """Say whether a processor makes one picture of each image, (3, height, width), not a list of its patches."""
    found = processor([np.zeros((8, 8, 3), np.uint8)], return_tensors="np")["pixel_values"]
    return found.ndim == 4 and found.shape[1] == 3


def caption_tokenizer(recipe: Recipe, data: TrainingData, progress: Progress) -> Tokenizer:
    """Return the subwords of a new model, learned now from the captions it trains on, or earlier from the same."""
    settings = recipe.image_text
    assert settings is not None
    used = list(zip(data.training.rows, used_texts(data.training), strict=True))
    parts = [_FORMAT, str(settings.pieces)]
    parts += [f"{rows.content} {sha256(numbers.astype('<i8').tobytes()).hexdigest()}" for rows, numbers in used]
    name = f"caption-subwords-{sha256(' '.join(parts).encode()).hexdigest()[:16]}"

    def write(folder: Path) -> None:
        progress.start("learn subwords", 0)
        texts = (text for rows, numbers in used for text in read_texts(rows, numbers, progress))
        learn_tokenizer(texts, settings.pieces).save(str(folder / _TOKENIZER))
        progress.finish()

    return Tokenizer.from_file(str(kept_folder(name, write, last=_TOKENIZER) / _TOKENIZER))


def logit_scale(model: "SentenceTransformer") -> "Parameter | None":
    """Return the parameter that holds log(1 / temperature), None for a model without one."""
    parameters = (value for name, value in model.named_parameters() if name.split(".")[-1] == "logit_scale")
    return next(parameters, None)


def _set_temperature(model: "SentenceTransformer", recipe: Recipe) -> None:
    from math import log

    import torch

    scale = logit_scale(model)
    if scale is None:
        if recipe.loss.learn_temperature:
            raise UserError("loss.learn_temperature: this checkpoint has no temperature that could be learned")
        return
    with torch.no_grad():
        scale.fill_(log(1 / recipe.loss.temperature))
    scale.requires_grad_(recipe.loss.learn_temperature)


def _write_new(settings: ImageTextModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a model with random weights, its tokenizer and its image processor."""
    from transformers import BlipImageProcessorPil

    processor = _processor(settings, tokenizer)
    if settings.architecture == "clip":
        processor.save_pretrained(folder)
        _clip(settings, processor).save_pretrained(folder)
        return
    processor.tokenizer.save_pretrained(folder)
    side = settings.image_size
    BlipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    if settings.architecture == "blip":
        _blip(settings, processor.tokenizer).save_pretrained(folder)
    else:
        save_albef(new_albef(_albef_sizes(settings, len(processor.tokenizer))), folder)


def _processor(settings: ImageTextModel, tokenizer: Tokenizer) -> "CLIPProcessor":
    from transformers import CLIPImageProcessorPil, CLIPProcessor, PreTrainedTokenizerFast

    tokenizer.add_special_tokens([_PAD, _BEGIN, _END])
    ends = [(name, tokenizer.token_to_id(name)) for name in (_BEGIN, _END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{_BEGIN} $A {_END}", special_tokens=ends)
    names = {"unk_token": UNKNOWN, "pad_token": _PAD, "bos_token": _BEGIN, "eos_token": _END}
    texts = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=settings.max_length, **names)
    side = settings.image_size
    images = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return CLIPProcessor(image_processor=images, tokenizer=texts)


def _clip(settings: ImageTextModel, processor: "CLIPProcessor") -> "CLIPModel":
    from transformers import CLIPConfig, CLIPModel

    text, vision = _towers(settings, processor.tokenizer)
    text["eos_token_id"] = processor.tokenizer.eos_token_id
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=settings.dim))


def _blip(settings: ImageTextModel, tokenizer: "PreTrainedTokenizerBase") -> "BlipForImageTextRetrieval":
    from transformers import BlipConfig, BlipForImageTextRetrieval

    text, vision = _towers(settings, tokenizer)
    text |= {"sep_token_id": tokenizer.eos_token_id, "encoder_hidden_size": settings.vision_width}
    config = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=settings.dim)
    return BlipForImageTextRetrieval(config)


def _towers(settings: ImageTextModel, tokenizer: "PreTrainedTokenizerBase") -> tuple[dict[str, int], dict[str, int]]:
    """Return what transformers is told of the text tower and of the image tower."""

    def tower(width: int, layers: int) -> dict[str, int]:
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // HEAD,
            "projection_dim": settings.dim,
        }

    text = tower(settings.text_width, settings.text_layers) | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": settings.max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = tower(settings.vision_width, settings.vision_layers)
    return text, vision | {"image_size": settings.image_size, "patch_size": settings.patch}


def _albef_sizes(settings: ImageTextModel, vocabulary: int) -> dict[str, int]:
    return {
        "width": settings.vision_width,
        "patch": settings.patch,
        "positions": (settings.image_size // settings.patch) ** 2 + 1,
        "mlp": 4 * settings.vision_width,
        "blocks": settings.vision_layers,
        "hidden": settings.text_width,
        "inner": 4 * settings.text_width,
        "vocabulary": vocabulary,
        "places": settings.max_length,
        "types": 2,
        "layers": settings.text_layers,
        "fusion": settings.text_layers // 2,
        "dim": settings.dim,
    }
