"""The image tower of Nomic Embed Vision, by its own code: the first token of the last layer, as in its model card."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.retrievers.checkpoint_folder import check_checkpoint
from mlbench.retrievers.image_text.towers import Features, ImageTower, LoadedTower, open_image_processor
from mlbench.retrievers.load_checkpoint import LoadOptions, code_digests, load_network

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def open_nomic_vision(folder: Path, options: LoadOptions) -> LoadedTower[ImageTower]:
    """Return the image tower, by code of the checkpoint's own; raises `RetrieverError` as `load_network` does."""
    from transformers import AutoModel

    check_checkpoint(folder, allow_pickle=options.allow_pickle, tokenizer=False)
    prepare = open_image_processor(folder)
    network: PreTrainedModel = load_network(folder, options, AutoModel.from_pretrained, own_code=True)

    def embed(features: Features) -> "Tensor":
        return cast("Tensor", network(pixel_values=features["pixel_values"]).last_hidden_state[:, 0])

    return LoadedTower(ImageTower(prepare, embed), str(network.device), "\x1f".join(code_digests(network)))
