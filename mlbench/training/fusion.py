"""BLIP and ALBEF in training: one model for the trainer, and its loss of contrast and matching.

It extends classes of sentence-transformers, so import it late.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from transformers import AutoImageProcessor, PreTrainedModel, PreTrainedTokenizerBase

from mlbench.retrievers.image_text.albef import albef_matcher, image_processor, open_albef_tokenizer, save_albef
from mlbench.retrievers.image_text.blip import blip_matcher
from mlbench.retrievers.image_text.clip import open_tokenizer
from mlbench.retrievers.image_text.matching import Matcher, open_matcher
from mlbench.retrievers.load_checkpoint import LoadOptions
from mlbench.training.image_text import Processor
from mlbench.training.losses import distilled_contrast, draw_hard_negatives, info_nce, matching_loss
from mlbench.training.recipe_tables import Loss

Features = dict[str, torch.Tensor]
_TOKENS = ("input_ids", "attention_mask")


class FusionModel(InputModule):  # type: ignore[misc]
    """A BLIP or an ALBEF as the first module of a Sentence Transformer; `matcher` has its towers and matching head."""

    def __init__(self, matcher: Matcher, tokenizer: PreTrainedTokenizerBase, image_processor: Processor) -> None:
        super().__init__()
        self.network = matcher.network
        self.matcher = matcher
        self.tokenizer = tokenizer
        self.processor = SimpleNamespace(image_processor=image_processor)

    @classmethod
    def load(cls, model_name_or_path: str, **options: object) -> Self:
        """Return the model of a checkpoint's folder, as the library asks for it; raises as `open` does."""
        return cls.open(Path(model_name_or_path), LoadOptions(device="cpu"))

    @classmethod
    def open(cls, folder: Path, options: LoadOptions) -> Self:
        """Return the model of a checkpoint's folder, in float32; raises `RetrieverError` as `open_matcher` does."""
        matcher = open_matcher(folder, options, None)
        if isinstance(matcher.network, PreTrainedModel):
            images = AutoImageProcessor.from_pretrained(str(folder), backend="pil", local_files_only=True)
            return cls(matcher, open_tokenizer(folder), images)
        side = matcher.network.get_submodule("vision").config.image_size
        return cls(matcher, open_albef_tokenizer(folder), image_processor(side))

    def matcher_of(self, network: torch.nn.Module) -> Matcher:
        """Return the matcher of a copy of the network."""
        towers = self.matcher.towers
        assert towers.text.max_length is not None
        if isinstance(network, PreTrainedModel):
            return blip_matcher(network, self.tokenizer, towers.image.prepare, towers.text.max_length)
        return albef_matcher(cast(torch.nn.ModuleDict, network), self.tokenizer, towers.text.max_length)

    @property
    def modalities(self) -> list[str]:
        """What it reads."""
        return ["text", "image"]

    @property
    def max_seq_length(self) -> int | None:
        """After how many tokens a text is cut off."""
        return self.matcher.towers.text.max_length

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **options: object) -> dict[str, Any]:
        """Return the features of texts, or of opened images."""
        towers = self.matcher.towers
        if isinstance(inputs[0], str):
            return {**towers.text.tokenise([(prompt or "") + text for text in inputs]), "modality": "text"}
        return {**towers.image.prepare(list(inputs)), "modality": "image"}

    def forward(self, features: dict[str, Any], **options: object) -> dict[str, Any]:
        """Add the vectors, (n, dim) and of length 1, of texts or images to their features."""
        towers = self.matcher.towers
        embed = towers.image.embed if "pixel_values" in features else towers.text.embed
        return {**features, "sentence_embedding": embed(features)}

    def get_embedding_dimension(self) -> int:
        """Return how many numbers a vector has."""
        return int(cast(torch.nn.Linear, self.network.get_submodule("text_proj")).out_features)

    def save(self, output_path: str, *arguments: object, **options: object) -> None:
        """Write the checkpoint as its library, or ALBEF's authors, have it."""
        if isinstance(self.network, PreTrainedModel):
            self.network.save_pretrained(output_path)
        else:
            save_albef(cast(torch.nn.ModuleDict, self.network), Path(output_path))
        self.tokenizer.save_pretrained(output_path)
        self.processor.image_processor.save_pretrained(output_path)


class Momentum(torch.nn.Module):  # type: ignore[misc]
    """A model that follows another, and the last of its vectors with their topics; -1 stands where there is none yet.

    It never drops out. ALBEF, arXiv 2107.07651, sec. 3.2 and 3.3.
    """

    images: torch.Tensor
    texts: torch.Tensor
    topics: torch.Tensor

    def __init__(self, model: FusionModel, options: Loss) -> None:
        super().__init__()
        assert options.momentum is not None
        self.network = deepcopy(model.network).requires_grad_(requires_grad=False).eval()
        self._matcher = model.matcher_of(self.network)
        self._options = options
        self._momentum = options.momentum
        for name in ("images", "texts"):
            self.register_buffer(name, torch.zeros(options.queue, model.get_embedding_dimension()))
        self.register_buffer("topics", torch.full((options.queue,), -1))

    def follow(self, network: torch.nn.Module) -> None:
        """Move the weights a little towards those of `network`."""
        with torch.no_grad():
            for own, other in zip(self.network.parameters(), network.parameters(), strict=True):
                own.lerp_(other, 1 - self._momentum)

    def contrast(
        self, vectors: Sequence[torch.Tensor], features: Sequence[Features], topics: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of the vectors of images and of texts, which `features` belong to, and keep one's own."""
        matcher, options = self._matcher, self._options
        with torch.no_grad():
            images = matcher.project(matcher.encode_image(features[0])).float()
            texts = matcher.project_text(matcher.encode_text(features[1])).float()
        known = torch.cat([topics, self.topics])
        usable = known >= 0
        positives = topics[:, None] == known[None, usable]
        losses = []
        for found, own, queue, other in (
            (vectors[0], images, self.texts, texts),
            (vectors[1], texts, self.images, images),
        ):
            candidates = torch.cat([other, queue])[usable]
            losses.append(
                distilled_contrast(
                    found,
                    own,
                    candidates,
                    positives,
                    temperature=options.temperature,
                    distillation=options.distillation,
                )
            )
        self.images = torch.cat([images, self.images])[: options.queue]
        self.texts = torch.cat([texts, self.texts])[: options.queue]
        self.topics = known[: options.queue]
        return (losses[0] + losses[1]) / 2


class FusionLoss(torch.nn.Module):  # type: ignore[misc]
    """Contrast of images and captions, and matching with hard negatives of the batch; captions have contrast alone."""

    def __init__(self, model: SentenceTransformer, options: Loss, seed: int) -> None:
        super().__init__()
        self.model = model
        self._options = options
        self._seed = seed
        self.momentum = None if options.momentum is None else Momentum(cast(FusionModel, model[0]), options)

    def forward(self, columns: Iterable[Features], labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of the columns query and document; `labels` have the batch's number and a topic each."""
        queries, documents = columns
        module: FusionModel = self.model[0]
        matcher, momentum = module.matcher, self.momentum if self.model.training else None
        if momentum is not None:
            momentum.follow(module.network)
        if "pixel_values" not in queries:
            vectors = [matcher.towers.text.embed(column) for column in (queries, documents)]
            return self._contrast(*vectors)
        seen = matcher.encode_image(queries)
        tokens = {name: documents[name] for name in _TOKENS}
        read = matcher.encode_text(tokens)
        images, texts = matcher.project(seen), matcher.project_text(read)
        if momentum is None:
            loss = self._contrast(images, texts)
        else:
            loss = momentum.contrast((images, texts), (queries, tokens), labels[:, 1])
        if not self._options.matching:
            return loss
        other_texts, other_images = self._negatives(images, texts, labels)
        own = torch.arange(len(images), device=images.device)
        text_rows, image_rows = torch.cat([own, other_texts, own]), torch.cat([own, own, other_images])
        logits = matcher.match({name: each[text_rows] for name, each in read.items()}, seen[image_rows])
        return loss + self._options.matching * matching_loss(logits, len(images))

    def _negatives(
        self, images: torch.Tensor, texts: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Of its own, so that the draws of a batch do not depend on those before.
        generator = torch.Generator().manual_seed(self._seed * 2**31 + int(labels[0, 0]))
        similarity = (images @ texts.T).detach().float().cpu() / self._options.temperature
        other_texts, other_images = draw_hard_negatives(similarity, labels[:, 1].cpu(), generator)
        return other_texts.to(images.device), other_images.to(images.device)

    def _contrast(self, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        options = self._options
        return info_nce(queries, documents, temperature=options.temperature, symmetric=options.symmetric)
