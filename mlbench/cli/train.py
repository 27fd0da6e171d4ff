"""`mlbench train`: from a recipe to a checkpoint."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlbench.cli.options import assignments, unset_option
from mlbench.cli.progress import Screen, console, duration, pass_screen
from mlbench.errors import DataError, UserError
from mlbench.protocols import Runtime
from mlbench.provenance import read_manifest
from mlbench.results import check_folder
from mlbench.tasks.files import local, user_folders
from mlbench.tasks.task import Task, load_task, task_names
from mlbench.training.data import TrainingData
from mlbench.training.manifest import Destination, Manifest, describe_data
from mlbench.training.recipe import Recipe, load_recipe, parse_changes, recipe_names
from mlbench.training.train import fit, open_recipe

if TYPE_CHECKING:
    from rich.table import Table


CHECKPOINTS = Path("checkpoints")
# What a model is measured on when its recipe names no task; the last one has its data in the package.
_TASKS = ("xquad-r", "mlqa-r", "mini")


@click.command(
    no_args_is_help=True,
    epilog="""\b
Examples:
  mlbench train --list
  mlbench train static-hybrid --data-dir ./data
  mlbench train static-hybrid --check
  mlbench train static-hybrid --set alpha=0.25 --set static.dim=64 --out checkpoints/quarter
  mlbench train mt5-hybrid --set checkpoint=./mt5 --unset validation
  mlbench train my-recipe.toml --out checkpoints/mine
  mlbench run --model checkpoints/static-hybrid --task xquad-r""",
)
@click.argument("recipe", required=False, metavar="RECIPE")
@click.option("--list", "only_list", is_flag=True, help="List the recipes that come with mlbench.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The checkpoint.  [default: checkpoints/NAME]"
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    callback=assignments("alpha=0.25"),
    metavar="KEY=VALUE",
    help="Change a key of the recipe; may be repeated.",
)
@unset_option
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with training data.")
@click.option("--device", metavar="NAME", help="cpu or cuda; static models train on the cpu by default.")
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads of transformers; static models have one."
)
@click.option("--check", "only_check", is_flag=True, help="Check recipe and data, and show what would be trained.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest instead of a summary.")
@pass_screen
def command(
    screen: Screen,
    /,
    recipe: str | None,
    only_list: bool,
    out: Path | None,
    changes: dict[str, str],
    unset: Sequence[str],
    data_dir: Path | None,
    device: str | None,
    threads: int | None,
    only_check: bool,
    as_json: bool,
) -> None:
    """Train an encoder as a recipe says, to a checkpoint that can be measured.

    RECIPE is the name of one that comes with mlbench, or a TOML file. All faults of recipe and data are told at once.
    A training that was interrupted goes on where it was last saved when the same command is given again.
    """
    if only_list:
        _list(as_json)
        return
    if recipe is None:
        raise UserError("name a recipe: mlbench train --list shows those that come with mlbench")
    # Told now, not after the data were read.
    user_folders(data_dir)
    if out is not None:
        check_folder(out)
    progress, settings = screen.progress(), parse_changes(changes, unset)
    opened, data = open_recipe(recipe, settings, data_dir=data_dir, progress=progress)
    folder = out or CHECKPOINTS / opened.name
    if only_check:
        _print_plan(opened, data, folder, as_json)
        return
    typed = shlex.join(["mlbench", *sys.argv[1:]])
    fit(opened, data, Destination(folder), progress=progress, runtime=Runtime(device, threads), command=typed)
    # Of several processes that train together, the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        manifest = read_manifest(folder) or {}
        if as_json:
            _print_json(manifest)
        else:
            _print_summary(manifest, opened, data, folder)
            _print_next(opened, folder, data_dir)


def _list(as_json: bool) -> None:
    recipes = [load_recipe(name) for name in recipe_names()]
    if as_json:
        _print_json([{"name": recipe.name, "title": recipe.title, "model": _model(recipe)} for recipe in recipes])
        return
    table = _table()
    for recipe in recipes:
        table.add_row(recipe.name, recipe.title)
    console().print(table)


def _print_plan(recipe: Recipe, data: TrainingData, folder: Path, as_json: bool) -> None:
    described = describe_data(recipe, data)
    if as_json:
        content = recipe.model_dump(mode="json")
        _print_json({"recipe": content, "recipe_fingerprint": recipe.fingerprint(), **described})
        return
    batches = recipe.batches
    kinds = [f"{share:g} {kind}" for kind, share in batches.shares(of_images=recipe.image_text is not None).items()]
    table = _table()
    table.add_row("model", _model(recipe))
    table.add_row("training", f"{recipe.steps:,} steps of {batches.size} examples; seed {recipe.seed}")
    table.add_row("batches", ", ".join(kinds))
    table.add_row("languages", " ".join(recipe.languages))
    for name in ("data", "held_out"):
        for entry in _entries(described[name]):
            rows = f"{entry['used_rows']:,} of {entry['rows']:,} rows"
            table.add_row(name.replace("_", " "), f"{entry['name']}: {rows}; licence {entry['licence']}")
    table.add_row("evaluation", _evaluation(recipe, data))
    table.add_row("checkpoint", str(folder))
    console().print(f"{recipe.name}: recipe and data are fine; nothing was trained")
    console().print(table)


def _print_summary(manifest: Manifest, recipe: Recipe, data: TrainingData, folder: Path) -> None:
    table = _table()
    table.add_row("model", _model(recipe))
    table.add_row("training", _course(manifest))
    for what, name in (("loss", "losses"), ("validation", "held_out_losses")):
        if text := _losses(manifest[name]):
            table.add_row(what, text)
    for name, uses in _epochs(manifest).items():
        table.add_row("epochs", f"{name}: {_range(uses)}")
    table.add_row("evaluation", _evaluation(recipe, data))
    table.add_row("checkpoint", str(folder))
    console().print(f"{recipe.name}: trained")
    console().print(table)


def _print_next(recipe: Recipe, folder: Path, data_dir: Path | None) -> None:
    words = ["mlbench", "run", "--model", str(folder), *how_to_measure(recipe, data_dir)]
    console().print(f"Measure it: {shlex.join(words)}", soft_wrap=True)


def how_to_measure(recipe: Recipe, data_dir: Path | None) -> list[str]:
    """Return the options of `mlbench run` that name a task for the model of `recipe`, and which data of it.

    It is the first task of those that the recipe keeps out of training, then of `_TASKS`, then of all that are shipped,
    whose data are on this machine, and which has images or texts as the model, and languages of the recipe. A task that
    was trained on is none. What was trained on no other text is measured in the languages of the recipe alone.
    """
    trained_on = {task for data in recipe.datasets for task in data.tasks}
    kept_out = recipe.contamination.tasks
    for spec in dict.fromkeys((*kept_out, *_TASKS, *task_names())):
        task = load_task(spec)
        # The texts of what is kept out of training were read before.
        place = _data_options(task, data_dir, is_read=spec in kept_out)
        if place is not None and spec not in trained_on and _fits(task, recipe):
            return ["--task", spec, *_language_options(task, recipe), *place]
    return ["--task", "NAME"]


def _fits(task: Task, recipe: Recipe) -> bool:
    shared = set(task.languages) & set(recipe.languages)
    kind = "text" if recipe.image_text is None else "image_text"
    return task.kind == kind and len(shared) >= min(2, len(recipe.languages))


def _language_options(task: Task, recipe: Recipe) -> list[str]:
    is_pretrained = recipe.transformer or (recipe.image_text and recipe.image_text.checkpoint)
    shared = [language for language in task.languages if language in recipe.languages]
    return [] if is_pretrained or len(shared) == len(task.languages) else ["--languages", ",".join(shared)]


def _data_options(task: Task, data_dir: Path | None, *, is_read: bool) -> list[str] | None:
    """Return where the data of a task are, None where not all of them are on this machine."""
    with_folder = [] if data_dir is None else ["--data-dir", str(data_dir)]
    if _is_here(task, None):
        return []
    return with_folder if is_read or _is_here(task, data_dir) else None


def _is_here(task: Task, data_dir: Path | None) -> bool:
    """Say whether the data of a task are on this machine, as far as can be told without reading them."""
    try:
        files = [local(file, data_dir=data_dir, root=task.root) for file in task.files]
        places = [task.root, *user_folders(data_dir)]
    except DataError:
        return False
    images = task.images is None or any((place / task.images.folder).is_dir() for place in places)
    return task.hub is None and bool(files) and None not in files and images


def _course(manifest: Manifest) -> str:
    steps, best, seconds = (manifest[key] for key in ("steps", "best_step", "seconds"))
    assert isinstance(seconds, int | float)
    early = ", stopped early" if manifest["stopped_early"] else ""
    kept = f", the weights of step {best:,} kept" if best != steps else ""
    return f"{steps:,} steps in {duration(seconds)}{early}{kept}"


def _losses(losses: object) -> str:
    assert isinstance(losses, list)
    shown = list(dict.fromkeys((step, loss) for step, loss in (*losses[:1], *losses[-1:])))
    lowest = min(losses, key=lambda entry: entry[1], default=None)
    text = ", ".join(f"{loss:.3f} after {step:,} steps" for step, loss in shown)
    return text if lowest is None or tuple(lowest) in shown else f"{text}, lowest {lowest[1]:.3f} after {lowest[0]:,}"


def _epochs(manifest: Manifest) -> dict[str, dict[str, float]]:
    """Return the epochs of each language of each data set."""
    epochs: dict[str, dict[str, float]] = {}
    for entry in _entries(manifest["epochs"]):
        epochs.setdefault(str(entry["dataset"]), {})[str(entry["language"])] = float(str(entry["epochs"]))
    return epochs


def _range(uses: Mapping[str, float]) -> str:
    lowest, highest = min(uses, key=uses.__getitem__), max(uses, key=uses.__getitem__)
    if len(uses) == 1:
        return f"{uses[lowest]:.2f} ({lowest})"
    return f"{uses[lowest]:.2f} ({lowest}) to {uses[highest]:.2f} ({highest}) by language"


def _evaluation(recipe: Recipe, data: TrainingData) -> str:
    """Say what the training texts hold of evaluation texts, and what was done about it."""
    if data.contamination is None:
        return "not looked for in the training texts: name tasks in [contamination]"
    if not data.contamination.hits:
        return data.contamination.describe()[0]
    rows = " and ".join(f"{len(numbers):,} of {name}" for name, numbers in data.contamination.rows().items())
    done = "left out" if recipe.contamination.action == "drop" else "trained on all the same"
    return f"rows with text of {', '.join(recipe.contamination.tasks)}: {rows}, {done}"


def _model(recipe: Recipe) -> str:
    if recipe.static is not None:
        return f"static, {recipe.static.pieces:,} subwords x {recipe.static.dim}"
    if recipe.transformer is not None:
        return f"transformer, from {recipe.transformer.checkpoint}"
    model = recipe.image_text
    assert model is not None
    if model.checkpoint is not None:
        return f"image-text, from {model.checkpoint}"
    vision, text = f"{model.vision_layers} x {model.vision_width}", f"{model.text_layers} x {model.text_width}"
    return f"image-text, new: images {vision}, {model.image_size} pixels; texts {text}, {model.pieces:,} subwords"


def _entries(value: object) -> Sequence[Mapping[str, object]]:
    assert isinstance(value, list)
    return value


def _print_json(content: object) -> None:
    click.echo(json.dumps(content, ensure_ascii=False, indent=1))


def _table() -> "Table":
    """Return a table of two columns: what, and what is said of it."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
