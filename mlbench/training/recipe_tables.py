"""The tables of a recipe: model, batches, views, loss, optimizer, data sets, validation, contamination."""

from collections.abc import Iterable
from math import fsum
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mlbench.collection.languages import check_language
from mlbench.io.toml import Declared, RelativePath, checked, distinct, some
from mlbench.tasks.task import DeclaredFile, Language, load_task

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["fp32", "bf16", "fp16"]
BatchKind = Literal["mono", "mixed", "cross_example", "cross_batch", "image_mono", "image_mixed", "captions"]
Architecture = Literal["clip", "blip", "albef"]
RatioOfTexts = Literal["mono", "cross", "mixed"]
RatioOfImages = Literal["image", "captions", "mixed"]
SHORT_FORM = ("alpha", "captions", "mixed", "monolingual")
"""The keys of batches that `ratios` stands in place of."""
_SUM_TOLERANCE = 1e-9
HEAD = 32
"""How wide an attention head of a new image-text model is."""
ALBEF_HEAD = 64
"""The same of an ALBEF, whose checkpoints do not say it."""
SHAPE = {"dim", "image_size", "patch", "vision_layers", "vision_width", "text_layers", "text_width", "pieces"}
"""The keys of an image-text model that a checkpoint answers."""

TOWERS = ("image_tower", "text_tower", "locked", "text_prefix")
"""The keys of an image-text model that is joined from two."""
FUSION = ("matching", "momentum", "queue", "distillation")
"""The keys of the loss of a model with a matching head."""


def _task(spec: str) -> str:
    load_task(spec)
    return spec


def changed(table: Declared, keys: Iterable[str]) -> list[str]:
    """Return those of `keys` that do not have their default, sorted."""
    return sorted(key for key in keys if getattr(table, key) != type(table).model_fields[key].default)


def ratio_keys(*, of_images: bool) -> tuple[str, ...]:
    """Return the keys that `ratios` of texts, or of captioned images, may have, in their order."""
    return get_args(RatioOfImages if of_images else RatioOfTexts)


def _whole(ratios: dict[str, float]) -> dict[str, float]:
    """Return shares of one whole without those that are 0, so that equal ones are written alike."""
    total = fsum(ratios.values())
    if ratios and abs(total - 1) > _SUM_TOLERANCE:
        raise ValueError(f"the shares sum to {total:.10g}, and must sum to 1")
    return {kind: share for kind, share in sorted(ratios.items()) if share}


def _language_or_default(key: str) -> str:
    return key if key == "default" else check_language(key)


Ratios = Annotated[dict[Literal[RatioOfTexts, RatioOfImages], Share], AfterValidator(_whole)]
TaskSpec = Annotated[str, checked(_task)]


class StaticModel(Declared):
    """A table of subword vectors: `pieces` subwords learned from the training texts, times `dim`."""

    pieces: Annotated[int, Field(ge=64, le=1_000_000)] = 50_000
    dim: Annotated[int, Field(ge=2, le=4096)] = 128


class TransformerModel(Declared):
    """An encoder to start from: a folder or a hub id, and how texts enter it.

    With `freeze_embeddings` the vectors of subwords are not trained: they are most of the parameters of a small
    multilingual encoder. `dropout` replaces that of the checkpoint.
    """

    checkpoint: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    pooling: Literal["mean", "cls", "max", "lasttoken"] | None = None
    max_length: Annotated[int, Field(ge=2)] | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    precision: Precision = "fp32"
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    freeze_embeddings: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None


class ImageTextModel(Declared):
    """A model to start from, a `checkpoint` (folder or hub id), or else a small one of the `architecture`, untrained.

    Of that, both towers end in `dim` numbers. Images are cut to squares of `image_size` pixels and these to squares of
    `patch`, texts to at most `max_length` of `pieces` subwords learned from the captions, by byte-pair encoding. Few
    pieces leave words in parts that other captions share.

    Or else two models that were trained apart are joined: `image_tower` sees the images, and `text_tower`, any text
    encoder, reads the captions, each behind `text_prefix`, and is projected into the space of the images. The weights
    of the tower that is `locked` stay as they are (Zhai et al. 2022, LiT).

    A `clip` has two towers. A `blip` and an `albef` also have a matching head, which reads image and text together:
    all text layers of a BLIP look at the image for it, and of an ALBEF the second half of them, whose towers are of
    equal width.
    """

    architecture: Architecture = "clip"
    checkpoint: Annotated[str, Field(min_length=1)] | None = None
    revision: str | None = None
    image_tower: Annotated[str, Field(min_length=1)] | None = None
    text_tower: Annotated[str, Field(min_length=1)] | None = None
    locked: Literal["image", "text", "none"] = "image"
    text_prefix: str = ""
    dim: Annotated[int, Field(ge=2, le=4096)] = 128
    image_size: Annotated[int, Field(ge=8, le=1024)] = 64
    patch: Annotated[int, Field(ge=2, le=128)] = 16
    vision_layers: Annotated[int, Field(ge=1, le=64)] = 4
    vision_width: Annotated[int, Field(ge=HEAD, le=4096, multiple_of=HEAD)] = 128
    text_layers: Annotated[int, Field(ge=1, le=64)] = 2
    text_width: Annotated[int, Field(ge=HEAD, le=4096, multiple_of=HEAD)] = 128
    pieces: Annotated[int, Field(ge=64, le=1_000_000)] = 500
    max_length: Annotated[int, Field(ge=4, le=1024)] = 64
    precision: Precision = "fp32"
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _one_source(self) -> "ImageTextModel":
        if (self.image_tower is None) != (self.text_tower is None):
            raise ValueError("image_tower and text_tower are joined: give both or neither")
        if self.checkpoint is not None and self.image_tower is not None:
            raise ValueError("checkpoint has both towers: leave it out, or image_tower and text_tower")
        if self.architecture != "clip" and self.image_tower is not None:
            raise ValueError("two towers are joined to a clip: leave out architecture, or image_tower and text_tower")
        if self.architecture == "albef" and self.is_new:
            _fit_albef(self)
        if self.image_tower is None and (joined := changed(self, ("locked", "text_prefix"))):
            raise ValueError(f"{joined[0]} is for two towers: give image_tower and text_tower")
        shape, brought = changed(self, SHAPE), "checkpoint" if self.checkpoint is not None else "image_tower"
        if not self.is_new and shape:
            raise ValueError(f"{shape[0]} is for a new model, and {brought} brings its own: leave one of them out")
        if self.checkpoint is None and self.revision is not None:
            raise ValueError("revision is that of a checkpoint: name one")
        if self.image_size % self.patch:
            raise ValueError(f"image_size {self.image_size} is no multiple of patch {self.patch}")
        return self

    @property
    def is_new(self) -> bool:
        """Whether the model has no weights to begin with, and learns its subwords."""
        return self.checkpoint is None and self.image_tower is None


def _fit_albef(settings: ImageTextModel) -> None:
    if settings.vision_width != settings.text_width:
        raise ValueError("vision_width and text_width of an albef are equal: its text layers read states of the image")
    if settings.text_width % ALBEF_HEAD:
        raise ValueError(f"text_width {settings.text_width}: that of an albef is a multiple of {ALBEF_HEAD}")
    if settings.text_layers < 2:
        raise ValueError("text_layers of an albef are at least 2: the second half of them looks at the image")


class Batches(Declared):
    """How batches are drawn: monolingual with probability `alpha`, cross-lingual otherwise (arXiv 2408.10536, sec. 3).

    `monolingual` batches have one language (`mono`) or same-language pairs of many (`mixed`); in `cross_lingual` ones
    each example has its own ordered pair of languages (`cross_example`) or all have the same (`cross_batch`).
    Languages, or ordered pairs of them, are drawn with weights size^language_tau and data sets with
    size^dataset_tau: 0 is uniform. A batch that lacks examples without a clash is drawn again (`refuse`) or taken as
    it is (`shorten`).

    Captioned images have batches of other kinds: the share `captions` of all, drawn as `cross_lingual` ones are, has
    captions and the same image's captions in another language; the others have images and their captions, in many
    languages (`image_mixed`, the share `mixed` of these) or in one (`image_mono`).

    `ratios` has the shares of three kinds, which sum to 1, in place of all that: of texts `mono`, `cross` (as
    `cross_lingual` says) and `mixed`, of captioned images `image` (in one language), `captions` and `mixed` (images in
    many languages). A kind that is left out has the share 0.
    """

    size: Annotated[int, Field(ge=2)] = 256
    alpha: Share = 0.5
    captions: Share = 0.5
    mixed: Share = 0.5
    ratios: Ratios = Field(default={})
    monolingual: Literal["mono", "mixed"] = "mono"
    cross_lingual: Literal["cross_example", "cross_batch"] = "cross_example"
    language_tau: Annotated[float, Field(ge=0, le=1)] = 0.0
    dataset_tau: Annotated[float, Field(ge=0, le=1)] = 1.0
    unfilled: Literal["refuse", "shorten"] = "shorten"

    @model_validator(mode="after")
    def _one_form(self) -> "Batches":
        given = [key for key in SHORT_FORM if key in self.model_fields_set]
        if self.ratios and given:
            raise ValueError(f"ratios has the shares of all kinds: leave out {given[0]}, or ratios")
        return self

    @model_serializer(mode="wrap")
    def _in_one_form(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        content: dict[str, object] = dump(self)
        return {key: value for key, value in content.items() if key not in (SHORT_FORM if self.ratios else ("ratios",))}

    def shares(self, *, of_images: bool) -> dict[BatchKind, float]:
        """Return the share of each kind of batch; they sum to 1.

        Equal shares are in the same order whichever form gives them, so that the same batches are drawn.
        """
        images, share = 1 - self.captions, self.ratios.get
        if of_images and self.ratios:
            return {
                "image_mono": share("image", 0.0),
                "image_mixed": share("mixed", 0.0),
                "captions": share("captions", 0.0),
            }
        if of_images:
            return {
                "image_mono": images * (1 - self.mixed),
                "image_mixed": images * self.mixed,
                "captions": self.captions,
            }
        if self.ratios:
            return {"mono": share("mono", 0.0), "mixed": share("mixed", 0.0), self.cross_lingual: share("cross", 0.0)}
        return {self.monolingual: self.alpha, self.cross_lingual: 1 - self.alpha}


class Views(Declared):
    """How query and document are made from one text, or from a text and its translation, where there are no questions.

    `overlap` is the share of the text that is in both: 0 gives disjoint views, 1 gives both the whole text.
    """

    overlap: Share = 0.5


class Loss(Declared):
    """InfoNCE with the cosine divided by `temperature`.

    With `hard_only` negatives the denominator has the own document and the hard negatives of all examples (arXiv
    2408.10536, eq. 1); with `in_batch` the other examples' documents too. `symmetric` adds the same from document to
    query. An image-text model keeps its temperature, which begins as `temperature`; `learn_temperature` has it trained.

    BLIP and ALBEF, whose temperature stays as it is, also learn to tell pairs of image and caption from others, which
    are hard negatives of the batch; `matching` is the weight of that loss beside InfoNCE. With `momentum` a second
    model follows the weights, which keep so much of themselves at each batch (ALBEF, arXiv 2107.07651, sec. 3.2). Its
    vectors are what images and captions are compared with: those of the batch and the last `queue` ones.
    `distillation` is the share of its guesses in the targets (sec. 3.3).
    """

    negatives: Literal["in_batch", "hard_only"] = "in_batch"
    temperature: Annotated[float, Field(gt=0)] = 0.05
    learn_temperature: bool = False
    symmetric: bool = False
    matching: Annotated[float, Field(ge=0)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    queue: Annotated[int, Field(ge=0)] = 0
    distillation: Share = 0.0

    @model_validator(mode="after")
    def _two_sided(self) -> "Loss":
        if self.momentum is None and (needing := changed(self, ("queue", "distillation"))):
            raise ValueError(f"{needing[0]} needs vectors of a momentum model: give momentum, such as 0.995")
        if self.momentum is not None and not self.symmetric:
            raise ValueError("momentum needs symmetric = true")
        if self.symmetric and self.negatives == "hard_only":
            raise ValueError("symmetric needs negatives = 'in_batch': hard negatives belong to queries")
        return self


class Optimizer(Declared):
    """AdamW for transformers, sparse Adam for static models; the rate rises over `warmup`, a share of the steps."""

    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "linear"] = "constant"
    warmup: Share = 0.0


class DataSet(Declared):
    """Rows to train on: `tasks`, `files` of JSON lines, or `hub`, a name that the library `datasets` loads.

    `tasks` are training sets that come with mlbench, tasks, or paths of task files and folders. Their queries and
    relevant documents become rows; parallel sentences become parallel text. Licence, homepage and citation are then
    those of the tasks.

    Captioned images are in a folder, `captions`, that holds `images` and for each language `captions.LANGUAGE.jsonl`.

    `columns` says which column of a hub's rows is what: `query`, `document`, `language` and `negatives`; `language` is
    then the language of all rows where there is no such column.
    """

    name: Name
    tasks: Annotated[tuple[str, ...], AfterValidator(distinct), Field(strict=False)] = ()
    files: Annotated[tuple[DeclaredFile, ...], AfterValidator(distinct), Field(strict=False)] = ()
    captions: RelativePath | None = None
    hub: str | None = None
    configuration: str | None = None
    folder: RelativePath | None = None
    revision: str | None = None
    split: str = "train"
    columns: dict[Literal["query", "document", "language", "negatives"], str] = Field(default={})
    language: Language | None = None
    licence: str = "not stated"
    homepage: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> "DataSet":
        if bool(self.tasks) + bool(self.files) + (self.captions is not None) + (self.hub is not None) != 1:
            raise ValueError("give tasks, files, captions or hub, one of them")
        stated = changed(self, ("licence", "homepage", "citation"))
        if self.tasks and stated:
            raise ValueError(f"{stated[0]} is that of the tasks: leave it out")
        if self.hub is not None and not {"query", "document"} <= self.columns.keys():
            raise ValueError("columns must name query and document")
        if self.hub is not None and (self.language is None) == ("language" not in self.columns):
            raise ValueError("give language or columns.language, one of them")
        return self


ImageShare = dict[Annotated[str, checked(_language_or_default)], Share]
"""The share of a language's captions that may stand beside their images; `default` is that of the others, else 1."""
DataSets = Annotated[tuple[DataSet, ...], AfterValidator(some), Field(strict=False)]


class Validation(Declared):
    """How progress is judged: the loss on held-out batches, every so many steps.

    They come from a `share` of the training rows, whole groups of translations and repetitions, or from `datasets`;
    rows that share a topic or a question with them are not trained on. They are monolingual as often as those of
    training, but where these rows can give only one of both.
    With `patience`, training ends after so many judgments without a better one, and the best weights are kept.
    """

    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    datasets: Annotated[tuple[DataSet, ...], Field(strict=False)] = ()
    every: Annotated[int, Field(ge=1)] = 500
    batches: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Validation":
        if bool(self.datasets) == (self.share > 0):
            raise ValueError("give share or datasets, one of them")
        return self


class ContaminationPolicy(Declared):
    """Whether training texts may hold texts of `tasks`: `refuse` to train, `drop` the rows, or `warn` and go on.

    A task is a name, or the path of a file or folder.
    """

    tasks: Annotated[tuple[TaskSpec, ...], AfterValidator(distinct), Field(strict=False)] = ()
    action: Literal["refuse", "drop", "warn"] = "refuse"
