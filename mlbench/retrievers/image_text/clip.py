"""CLIP and similar dual encoders, from transformers, from Sentence Transformers, or built in memory.

One of the two towers may be saved by itself, to stand beside another model's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.retrievers.checkpoint_folder import check_checkpoint, module_folders, read_json
from mlbench.retrievers.image_text.towers import (
    Features,
    ImageTower,
    LoadedTower,
    TextTower,
    Towers,
    has_own_code,
    kind_of,
    open_image_processor,
)
from mlbench.retrievers.load_checkpoint import (
    LoadOptions,
    code_digests,
    digest_network,
    first_line,
    load_as,
    load_network,
    quiet,
    set_max_length,
    short_dtype,
)
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin


STANDS_BESIDE = "name the text tower as the model, and this one with --set image_model=FOLDER"
"""What to do with an image tower that is given alone."""
# They were trained on texts of one width, and look at the padding.
_FIXED_WIDTH = ("siglip", "siglip2", "siglip_text_model", "siglip2_text_model")
# Their vectors are made of what the poolers of both networks give.
_POOLED = ("vision-text-dual-encoder",)
_ENDLESS = 10**9
# The first position of their networks is the one behind the number of the padding token.
_OFFSET_POSITIONS = ("altclip_text_model", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")
# By the `model_type` of a checkpoint of one tower: the class with its projection, and where that puts the vectors.
_TEXT_CLASSES = {
    "clip_text_model": ("CLIPTextModelWithProjection", "text_embeds"),
    "metaclip_2_text_model": ("MetaClip2TextModelWithProjection", "text_embeds"),
    "siglip_text_model": ("SiglipTextModel", "pooler_output"),
    "siglip2_text_model": ("Siglip2TextModel", "pooler_output"),
}
_IMAGE_CLASSES = {
    "clip_vision_model": ("CLIPVisionModelWithProjection", "image_embeds"),
    "metaclip_2_vision_model": ("MetaClip2VisionModelWithProjection", "image_embeds"),
    "siglip_vision_model": ("SiglipVisionModel", "pooler_output"),
    "siglip2_vision_model": ("Siglip2VisionModel", "pooler_output"),
}


def open_contrastive(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return the towers of a checkpoint of transformers whose network has features of texts and of images.

    Where the checkpoint has code of its own and that is trusted, the code computes them. Raises `RetrieverError` as an
    `Opener` does, and for code without the two methods that transformers' own networks have.
    """
    from transformers import AutoModel

    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    own_code = has_own_code(folder)
    prepare = open_image_processor(folder, own_code=own_code)
    tokenizer = open_tokenizer(folder, own_code=own_code)
    pooled = kind_of(folder) in _POOLED
    network: PreTrainedModel = load_network(
        folder, options, AutoModel.from_pretrained, own_code=own_code, pooled=pooled
    )
    lacking = [name for name in ("get_text_features", "get_image_features") if not hasattr(network, name)]
    if lacking:
        raise RetrieverError(f"{folder}: its {type(network).__name__} has no {' and no '.join(lacking)}")
    return replace(towers_of(network, tokenizer, prepare, max_length), digest="\x1f".join(code_digests(network)))


def towers_of(
    network: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prepare: "Callable[[Sequence[Image]], Features]",
    max_length: int | None = None,
) -> Towers:
    """Return the towers of a network, which is put into evaluation mode whenever they are used.

    Raises `RetrieverError` where it takes less than `max_length` tokens.
    """
    text = _text_tower(network, "get_text_features", "pooler_output", tokenizer, max_length)
    images = ImageTower(prepare, _features(network, "get_image_features", "pooler_output", None))
    return Towers(text, images, str(network.device))


def open_text_tower(folder: Path, options: LoadOptions, max_length: int | None) -> LoadedTower[TextTower]:
    """Return the text tower that is saved by itself; raises `RetrieverError` for one without its projection."""
    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    tokenizer = open_tokenizer(folder)
    network, output = _load_one(folder, options, _TEXT_CLASSES)
    return LoadedTower(_text_tower(network, "forward", output, tokenizer, max_length), str(network.device))


def open_image_tower(folder: Path, options: LoadOptions) -> LoadedTower[ImageTower]:
    """Return the image tower that is saved by itself; raises `RetrieverError` for one without its projection."""
    check_checkpoint(folder, allow_pickle=options.allow_pickle, tokenizer=False)
    prepare = open_image_processor(folder)
    network, output = _load_one(folder, options, _IMAGE_CLASSES)
    return LoadedTower(ImageTower(prepare, _features(network, "forward", output, None)), str(network.device))


def _load_one(
    folder: Path, options: LoadOptions, classes: Mapping[str, tuple[str, str]]
) -> "tuple[PreTrainedModel, str]":
    """Return the network of one tower, and where it puts the vectors."""
    import transformers

    config = read_json(folder / "config.json")
    kind, architectures = str(config.get("model_type")), config.get("architectures")
    name, output = classes.get(kind, ("", ""))
    saved = architectures if isinstance(architectures, list) and architectures else [name or kind]
    if not name or name not in saved:
        raise RetrieverError(
            f"{folder}: a {saved[0]} has no projection into the space that texts and images share: save the whole "
            f"model{f', or a {name}' if name else ''}"
        )
    return load_network(folder, options, getattr(transformers, name).from_pretrained), output


def _text_tower(
    network: "PreTrainedModel",
    method: str,
    output: str,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int | None,
) -> TextTower:
    """Return what turns texts into the `output` of a network's `method`."""
    fixed = network.config.model_type in _FIXED_WIDTH
    length = check_length(max_length, _width(network, tokenizer), fixed_width=fixed)

    def tokenise(texts: Sequence[str]) -> Features:
        # Rows are cut on the right, to the longest of a batch.
        rows = tokenizer(
            list(texts),
            padding="max_length" if fixed else "longest",
            padding_side="right",
            truncation=True,
            max_length=length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return dict(rows)

    # The mask is made in any case, to count tokens, yet only what the library's tokenizer gives reaches the network.
    return TextTower(
        tokenise,
        _features(network, method, output, tokenizer.model_input_names),
        length,
        fixed_width=fixed,
        count_tokens=whole_texts(tokenizer),
    )


def open_tokenizer(folder: Path, *, own_code: bool = False) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder, with `own_code` by the checkpoint's own code.

    Raises `RetrieverError` where it cannot be loaded.

    SigLIP 2 lower-cases texts (https://arxiv.org/abs/2502.14786, section 2), yet its checkpoints name the tokenizer of
    Gemma, which does not: their own is taken in its place.
    """
    from transformers import AutoTokenizer, GemmaTokenizer, Siglip2Tokenizer

    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=offline() or not own_code, trust_remote_code=own_code
            )
            if isinstance(tokenizer, GemmaTokenizer) and kind_of(folder) in _FIXED_WIDTH:
                tokenizer = Siglip2Tokenizer.from_pretrained(str(folder), local_files_only=True)
    except RetrieverError:
        raise
    except Exception as error:
        raise RetrieverError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from error
    return tokenizer


def check_length(asked: int | None, width: int, *, fixed_width: bool = False) -> int:
    """Return after how many tokens texts are cut off: `asked`, or the `width` that the network takes.

    Raises `RetrieverError` where the network takes fewer than `asked`, or no other number.
    """
    if asked is not None and fixed_width and asked != width:
        raise RetrieverError(f"max_length={asked}: the checkpoint reads texts of {width} tokens, padding included")
    if asked is not None and asked > width:
        raise RetrieverError(f"max_length={asked}: the checkpoint takes {width} tokens at most")
    return asked or width


def _width(network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return how many tokens of a text the network reads: what its tokenizer says, if it has so many positions."""
    return min(positions_of(getattr(network.config, "text_config", network.config)), int(tokenizer.model_max_length))


def positions_of(config: "PreTrainedConfig") -> int:
    """Return how many tokens a text encoder has positions for, a number beyond all texts where it does not say."""
    positions = int(getattr(config, "max_position_embeddings", None) or _ENDLESS)
    return positions - int(config.pad_token_id) - 1 if config.model_type in _OFFSET_POSITIONS else positions


def _features(
    network: "PreTrainedModel", method: str, output: str, names: Sequence[str] | None
) -> Callable[[Features], "Tensor"]:
    """Return what gives the `output` of the network's `method` for those of `names` (None: all) that it takes."""
    call = getattr(network, method)
    taken = set(signature(call).parameters)
    wanted = taken if names is None else taken & set(names)

    def embed(features: Features) -> "Tensor":
        network.eval()
        found = call(**{name: value for name, value in features.items() if name in wanted})
        # Code of a checkpoint's own may return the vectors themselves.
        vectors: Tensor = getattr(found, output, found)
        return vectors

    return embed


def open_library(
    folder: Path, options: LoadOptions, max_length: int | None, *, texts: bool = True
) -> "SentenceTransformer":
    """Return the model in a folder, which need not read `texts`.

    Raises `RetrieverError` as `load` does, and for one that reads texts or images alone where it must read both.
    """
    from sentence_transformers import SentenceTransformer

    check_checkpoint(folder, allow_pickle=options.allow_pickle, tokenizer=texts)
    # The library's other image processor, where it is installed, resizes images a little otherwise.
    if reads_videos(folder):
        model = load_as(folder, options, SentenceTransformer)
        _use_pillow(model, module_folders(folder)[0])
    else:
        model = load_as(folder, options, partial(SentenceTransformer, processor_kwargs={"backend": "pil"}))
    if not reads_images(model):
        raise RetrieverError(f"{folder} reads texts alone: name its image tower with --set image_model=FOLDER")
    if texts and "text" not in model.modalities:
        raise RetrieverError(f"{folder} reads images alone: {STANDS_BESIDE}")
    if max_length is not None:
        set_max_length(model, max_length)
    return model


def reads_videos(folder: Path) -> bool:
    """Say whether a model's processor takes videos too; raises `RetrieverError` where it does and cannot be loaded.

    transformers has that of videos for torchvision alone.
    """
    place = module_folders(folder)[0]
    takes = (place / "video_preprocessor_config.json").is_file()
    takes = takes or "video_processor" in read_json(place / "processor_config.json")
    if takes and find_spec("torchvision") is None:
        raise RetrieverError(
            f"{folder}: its processor takes videos as well, for which transformers needs torchvision: install the one "
            "that fits your torch"
        )
    return takes


def _use_pillow(model: "SentenceTransformer", folder: Path) -> None:
    """Put the image processor for Pillow's images in place of the one for torchvision."""
    from transformers import AutoImageProcessor

    for module in model:
        processor = getattr(module, "processor", None)
        if processor is not None and hasattr(processor, "image_processor"):
            processor.image_processor = AutoImageProcessor.from_pretrained(
                str(folder), backend="pil", local_files_only=True, trust_remote_code=False
            )


def reads_images(model: "SentenceTransformer") -> bool:
    """Say whether the model encodes images alone, and not only beside texts."""
    return "image" in model.modalities


def routes_images(folder: Path) -> bool:
    """Say whether a checkpoint's router sends images to a tower of their own."""
    routes = read_json(module_folders(folder)[0] / "router_config.json").get("structure")
    return isinstance(routes, dict) and "image" in routes


def image_tower_of(model: "SentenceTransformer") -> ImageTower:
    """Return what encodes the images of such a model, which is put into evaluation mode.

    One that reads messages, as vision-language models do, wraps each image in one, with as many tokens as the image has
    patches: such images are encoded one by one.
    """
    import torch

    modality = "message" if "message" in model.modalities else "image"

    def prepare(images: "Sequence[Image]") -> Features:
        made = model.preprocess(list(images))
        return {name: value for name, value in made.items() if isinstance(value, torch.Tensor)}

    def embed(features: Features) -> "Tensor":
        model.eval()
        vectors: Tensor = model({**features, "modality": modality})["sentence_embedding"]
        return vectors

    return ImageTower(prepare, embed, alone=modality == "message")


class ModelAndProcessor(NamedTuple):
    """A network of transformers with towers for texts and images, and its processor of both."""

    network: "PreTrainedModel"
    processor: "ProcessorMixin"

    def towers(self) -> Towers:
        """Return both towers, which follow the network in training."""
        processor = self.processor.image_processor

        def prepare(images: "Sequence[Image]") -> Features:
            return dict(processor(images=list(images), return_tensors="pt"))

        return towers_of(self.network, self.processor.tokenizer, prepare)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of all that decides its vectors, taken now."""
        settings = self.processor.image_processor.to_json_string()
        return digest_network(self.network, self.processor.tokenizer, settings)

    def dtype(self) -> str:
        """Return the precision of its weights, as the key `dtype` has it."""
        return short_dtype(self.network.dtype)


def as_pair(model: object) -> ModelAndProcessor | None:
    """Return a tuple of a network with features of texts and images, and its processor; None for any other object."""
    if not isinstance(model, tuple) or len(model) != 2:
        return None
    network, processor = model
    whole = all(hasattr(network, name) for name in ("get_text_features", "get_image_features"))
    parts = all(hasattr(processor, name) for name in ("tokenizer", "image_processor"))
    return ModelAndProcessor(network, processor) if whole and parts else None
