"""The page of a recipe's keys: types and defaults from the models that read it, meanings from here."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files

from pydantic import BaseModel, TypeAdapter

from mlbench.tasks.task import DeclaredFile
from mlbench.training.recipe import Recipe, recipe_names
from mlbench.training.recipe_tables import (
    Batches,
    ContaminationPolicy,
    DataSet,
    ImageTextModel,
    Loss,
    Optimizer,
    StaticModel,
    TransformerModel,
    Validation,
    Views,
)
from mlbench.training.sources import load_training_set, training_set_names

Schema = Mapping[str, object]

TABLES: Mapping[str, tuple[str, type[BaseModel], Mapping[str, str]]] = {
    "recipe": (
        "The recipe",
        Recipe,
        {
            "name": "lower-case letters, digits and `.` `_` `-`; the name of the checkpoint's folder",
            "title": "one line for people",
            "seed": "decides batches, views and what is drawn of the weights",
            "steps": "updates of the weights; an upper end where `validation.patience` is set",
            "languages": (
                "tags in [any common form](task-file.md#language-tags), such as `zh`; "
                "what data sets have in other languages is left out"
            ),
            "static": "a static encoder",
            "transformer": "or a transformer",
            "image_text": "or a model of images and texts; one of the three",
            "batches": "how examples become batches",
            "views": "how one text becomes a query and a document",
            "loss": "what is minimised",
            "optimizer": "and how",
            "datasets": "what is trained on",
            "data_fraction": (
                "the share of the rows to train on, whole groups of translations and repetitions; a smaller share is a "
                "part of a larger one"
            ),
            "image_share": (
                "for each language the share of its captions that may stand beside their image, such as "
                "`th = 0.01`; `default` is that of the languages that are not named. Captions beside captions are "
                "taken from all; a smaller share is a part of a larger one"
            ),
            "validation": "what progress is judged on",
            "contamination": "evaluation texts among the training texts",
        },
    ),
    "static": (
        "static",
        StaticModel,
        {
            "pieces": "subwords; fewer where the texts do not give so many",
            "dim": "coordinates of a vector",
        },
    ),
    "transformer": (
        "transformer",
        TransformerModel,
        {
            "checkpoint": "a folder, relative to the recipe or to where you are, or a hub id",
            "revision": "a branch, tag or commit on the hub",
            "pooling": "of the tokens' vectors; that of the checkpoint, or `mean` where it has none",
            "max_length": "tokens; what is longer is cut on the right. That of the checkpoint",
            "query_prefix": "put before queries, with its blank; saved with the checkpoint",
            "document_prefix": "put before documents and negatives",
            "precision": "of the products; weights stay in fp32. `fp16` needs a GPU",
            "gradient_accumulation": "batches for each update; the negatives of a query stay those of its batch",
            "freeze_embeddings": "the vectors of subwords are not trained, which makes updates of small models faster",
            "dropout": "in training, instead of that of the checkpoint, which what is saved keeps",
        },
    ),
    "image_text": (
        "image_text",
        ImageTextModel,
        {
            "architecture": "`clip`, two towers, also for SigLIP and such; `blip` or `albef`, with a matching head",
            "checkpoint": "a folder or hub id of such a model; without one, a new model is trained",
            "revision": "a branch, tag or commit on the hub",
            "image_tower": "a folder or hub id of a model that reads images, such as a checkpoint of mlbench",
            "text_tower": "a folder or hub id of the text encoder to join with it; it gets a new projection",
            "locked": "the tower whose weights stay as they are; locked images are encoded once",
            "text_prefix": "put before captions of a text tower, with its blank; saved with the checkpoint",
            "dim": "coordinates of a vector",
            "image_size": "pixels; images are scaled so that they cover the square, and cut to it",
            "patch": "pixels of the squares that an image is read in; `image_size` is a multiple of it",
            "vision_layers": "of the tower that reads images",
            "vision_width": "of these; each head of attention is 32 wide",
            "text_layers": "of the tower that reads captions",
            "text_width": "of these",
            "pieces": "subwords; fewer where the captions do not give so many",
            "max_length": "tokens of a new model, or of a text tower; what is longer is cut on the right",
            "precision": "of the products; weights stay in fp32. `fp16` needs a GPU",
            "gradient_accumulation": "batches for each update; the negatives of a query stay those of its batch",
        },
    ),
    "batches": (
        "batches",
        Batches,
        {
            "size": "examples of a batch",
            "alpha": "the probability that a batch is monolingual: 1 is the paper's X-X-mono, 0 its X-Y",
            "captions": "of captioned images: the share of batches that have captions in two languages",
            "mixed": "of the other batches, of images and captions: the share that has many languages",
            "ratios": (
                "in place of the keys above and of `monolingual`: the shares of "
                "[three kinds](../explanation/hybrid-batches.md#three-kinds-at-once), which sum to 1, such as "
                "`{ mono = 0.4, cross = 0.4, mixed = 0.2 }`, or of captioned images "
                "`{ image = 0.25, captions = 0.25, mixed = 0.5 }`"
            ),
            "monolingual": "`mono`: one language for the batch; `mixed`: one for each example",
            "cross_lingual": (
                "`cross_example`: an ordered pair of languages for each example; `cross_batch`: one for the batch"
            ),
            "language_tau": "weights of languages, or ordered pairs: rows to this power; 0 is uniform",
            "dataset_tau": "weights of data sets: rows to this power; 1 is by size",
            "unfilled": (
                "a batch that lacks rows without a clash: `shorten` takes it as it is, `refuse` draws again; both are "
                "counted in the manifest"
            ),
        },
    ),
    "views": (
        "views",
        Views,
        {"overlap": "the share of the text that is in both views: 0 disjoint, 1 both whole"},
    ),
    "loss": (
        "loss",
        Loss,
        {
            "negatives": (
                "`in_batch`: the other documents of the batch and all hard negatives; `hard_only`: the hard negatives "
                "alone, and another row's document where a row has none"
            ),
            "temperature": "cosines are divided by it",
            "learn_temperature": "of image-text models: it is trained as well, and stays above .01",
            "symmetric": "the mean with the same loss from documents to queries; not with `hard_only`",
            "matching": "of BLIP and ALBEF: the weight of the matching loss; 0 leaves it out",
            "momentum": "of BLIP and ALBEF: what a momentum model keeps of its weights at each batch, such as 0.995",
            "queue": "with `momentum`: the images and captions of earlier batches that each is compared with as well",
            "distillation": "with `momentum`: the share of the momentum model's guesses in the targets, such as 0.4",
        },
    ),
    "optimizer": (
        "optimizer",
        Optimizer,
        {
            "learning_rate": "at its highest; 0.01 suits static models, 3e-5 transformers",
            "weight_decay": "of AdamW; static models have none",
            "schedule": "after the warm-up: as it is, or falling to 0 in a line",
            "warmup": "the share of the steps in which the rate rises",
        },
    ),
    "datasets": (
        "datasets",
        DataSet,
        {
            "name": "as that of the recipe; no other data set has it",
            "tasks": "names of [training sets](#training-sets) or tasks, or paths of task files and folders",
            "files": "or JSON lines, each file one `{ path = ... }`, see [below](#files)",
            "captions": "or a folder of [captioned images](../how-to/train.md#images-and-captions)",
            "hub": "or a data set of the hub, or its copy: a folder of this name beside the recipe or in `--data-dir`",
            "configuration": "one of those that the data set's card lists",
            "folder": "the folder of the hub's data set to read, where its card lists none",
            "revision": "a branch, tag or commit; `refs/convert/parquet` where the data set itself needs a script",
            "split": "of a hub's data set",
            "columns": "which column holds what: `query`, `document`, `language`, `negatives` (one text or a list)",
            "language": "of all rows of a hub's data set without such a column",
            "licence": "told before a download, and in the manifest; of `tasks`, theirs",
            "homepage": "where it comes from; of `tasks`, theirs",
            "citation": "who is to be cited; of `tasks`, theirs",
        },
    ),
    "files": (
        "files",
        DeclaredFile,
        {
            "path": "relative, such as `train/own.jsonl`; may end in `.gz`",
            "role": "for tasks; without meaning here",
            "language": "for tasks; without meaning here",
            "url": "where it is downloaded from; needs `sha256` or `md5`",
            "sha256": "the file is only used when it matches",
            "md5": "in place of `sha256`, for what is published with no other checksum",
            "bytes": "its size, checked as well where it is known",
            "unchecked": "no checksum is known: taken from `--data-dir` or `MLBENCH_DATA` as it is",
            "reason": "why a file is not downloaded, such as a licence to accept first",
        },
    ),
    "validation": (
        "validation",
        Validation,
        {
            "share": "of the rows of `datasets`, held out",
            "datasets": "or data sets of their own: `[[validation.datasets]]` has the keys of [datasets](#datasets)",
            "every": "steps between two judgments; transformers save a checkpoint as often, with or without validation",
            "batches": "held-out batches of a judgment, always the same",
            "patience": "judgments without a better one after which training ends; the best weights are kept",
        },
    ),
    "contamination": (
        "contamination",
        ContaminationPolicy,
        {
            "tasks": "whose questions, sentences and paragraphs are looked for; their data must be at hand",
            "action": "where any is found: `refuse` to train, `drop` the rows, `warn` and go on",
        },
    ),
}

_INTRO = """\
# Recipe

All that decides a trained model, in one TOML file: `mlbench train RECIPE.toml` trains it
([how to](../how-to/train.md)), and the checkpoint carries it. Unknown keys are errors, and all faults of a recipe and
of its data are reported at once.

`extends = "NAME"` takes what a recipe leaves out from a shipped one. Tables are merged key by key; lists, such as
`datasets` and `languages`, are replaced as a whole, and one model replaces another. Two more things that were inherited
go when something is put in their place: the `revision` of a checkpoint when the checkpoint is another one, and
`validation.share` or `validation.datasets` when the other is given. `unset = ["validation", "transformer.revision"]`
takes keys and whole tables out of the recipe that is extended, before anything is added to it; `--unset KEY` does so on
the command line. The name of a key, alone
where only one table (or one model) has it, else with its table, is what `mlbench sweep --over` takes.

## Shipped recipes

{recipes}

`static-mono` and `static-cross` are `static-hybrid` with another `alpha`. The recipes of transformers have the
settings of [the paper](../explanation/hybrid-batches.md) and differ in the encoder; their comments say what the paper
leaves open and what was chosen. A part of the paper's data is not public: they name
[files that you provide](../how-to/train.md#the-papers-data).

## Training sets

What `tasks` of a data set may name beside [tasks](task-file.md): sets that are trained on and not measured with. Each
is a task file; its [files](tasks.md#training-sets) are downloaded from the publisher where they are not on the machine.

{training_sets}"""

_FILES = """\
Those without `sha256` lie beside the recipe or in a folder with data (`--data-dir`, `MLBENCH_DATA`). The others are
looked for in the folders with data, beside the recipe and in the cache, then downloaded where there is a `url`. Their
lines are as [Train your own encoder](../how-to/train.md#rows) says."""

_PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "up to {}", "exclusiveMaximum": "below {}"}


def page() -> str:
    """Return the page; raises `KeyError` for a key without a meaning here, or a meaning without a key."""
    parts = [_INTRO.format(recipes=_recipes(), training_sets=_training_sets())]
    for name, (heading, model, meanings) in TABLES.items():
        schema = TypeAdapter(model).json_schema()
        unknown = meanings.keys() ^ model.model_fields.keys()
        if unknown:
            raise KeyError(f"{name}: {', '.join(sorted(unknown))}")
        rows = [
            f"| `{key}` | {_type(value)} | {_default(key, value, schema)} | {meanings[key]} |"
            for key, value in _properties(schema)
        ]
        parts += [f"## {heading}", _FILES if model is DeclaredFile else _about(model)]
        parts.append("\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _recipes() -> str:
    tables = {
        name: tomllib.loads((files("mlbench.recipe_files") / f"{name}.toml").read_text("utf-8"))
        for name in recipe_names()
    }
    return "\n".join(f"- `{name}`: {table['title']}" for name, table in tables.items())


def _training_sets() -> str:
    sets = [load_training_set(name) for name in training_set_names()]
    rows = [f"| `{task.name}` | {task.title} | {', '.join(task.languages)} | {task.licence} |" for task in sets]
    return "\n".join(["| name | what | languages | licence |", "|---|---|---|---|", *rows])


def _about(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").replace("\n    ", "\n").strip()


def _properties(schema: Schema) -> Iterator[tuple[str, Schema]]:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    yield from properties.items()


def _type(value: Schema) -> str:
    """Say in words what a JSON schema allows."""
    match value:
        case {"anyOf": [dict() as inner, {"type": "null"}]}:
            return _type(inner)
        case {"enum": [*names]}:
            return " or ".join(f"`{name}`" for name in names)
        case {"$ref": str(path)} | {"allOf": [{"$ref": str(path)}]}:
            return "table" if path else ""
        case {"type": "array", "items": dict() as items}:
            inner = _type(items)
            return f"list of {inner}s"
        case {"type": "object", "additionalProperties": {"type": "number"}}:
            return "table of numbers"
        case {"type": "object"}:
            return "table of texts"
        case {"type": str(kind)}:
            bounds = [words.format(value[bound]) for bound, words in _BOUNDS.items() if bound in value]
            return " ".join([_PLAIN[kind], *bounds])
    raise KeyError(f"no words for {value}")


def _default(key: str, value: Schema, schema: Schema) -> str:
    required = schema.get("required", [])
    assert isinstance(required, list)
    if key in required:
        return "required"
    match value.get("default"):
        case dict() as table if table:
            return "as below"
        case found:
            return f"`{json.dumps(found)}`" if found not in (None, [], {}) else "none"
