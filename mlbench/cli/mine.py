"""`mlbench mine`: hard negatives for the rows of a recipe, found by a model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mlbench.cli.options import assignments, model_set_option, unset_option
from mlbench.cli.progress import Screen, pass_screen
from mlbench.errors import UserError
from mlbench.evaluation.options import Options
from mlbench.io.atomic import whole_file
from mlbench.io.cache import cache_dir
from mlbench.protocols import Encoder, Runtime
from mlbench.training.mine import Mining, mine
from mlbench.training.recipe import parse_changes
from mlbench.training.train import open_recipe


@click.command(
    epilog="""\b
Examples:
  mlbench mine e5-small-hybrid --model ./multilingual-e5-small --out train/mined.jsonl
  mlbench mine my-recipe.toml --model ./checkpoint --negatives 8 --margin 0.9 --out mined.jsonl""",
)
@click.argument("recipe", metavar="RECIPE")
@click.option("--model", required=True, metavar="MODEL", help="The encoder that finds them, as mlbench run takes it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The rows with negatives.")
@click.option(
    "--negatives", type=click.IntRange(1, 1000), default=4, show_default=True, help="At most so many in each language."
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 10),
    default=0.95,
    show_default=True,
    help="Leave out what is more similar than this share of the own document's similarity.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    callback=assignments("data_fraction=0.1"),
    metavar="KEY=VALUE",
    help="Change a key of the recipe; may be repeated.",
)
@unset_option
@model_set_option
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with training data.")
@click.option("--device", metavar="NAME", help="A torch device such as cuda:0; the best one there is by default.")
@pass_screen
def command(
    screen: Screen,
    /,
    recipe: str,
    model: str,
    out: Path,
    negatives: int,
    margin: float,
    changes: Mapping[str, str],
    unset: Sequence[str],
    model_settings: Mapping[str, str],
    data_dir: Path | None,
    device: str | None,
) -> None:
    """Find hard negatives for the rows that a recipe trains on, and write the rows with them.

    Every query is compared with all documents of its language; those that the model ranks highest though they do not
    belong to the query are its negatives. The file has a row in each line, to be named by a recipe's data set.
    """
    if out.exists():
        raise UserError(f"--out {out} is there already: name another file")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}: make it, or name another file")
    progress = screen.progress()
    opened, data = open_recipe(recipe, parse_changes(changes, unset), data_dir=data_dir, progress=progress)
    loaded = Options(settings=model_settings, runtime=Runtime(device), progress=progress).open_model(model)
    if not isinstance(loaded.retriever, Encoder):
        raise UserError(f"--model {model} gives no vectors: name an encoder")
    found = rows = 0
    with whole_file(out) as unfinished, unfinished.open("w", encoding="utf-8") as lines:
        for each, index in zip(data.training.rows, data.training.indexes, strict=True):
            own = index.with_languages(opened.corpora, each.languages)
            mined = mine(
                each,
                own,
                loaded.retriever,
                Mining(negatives, margin),
                store=loaded.store(cache_dir(), progress),
                progress=progress,
            )
            for row in mined:
                rows += 1
                found += "negatives" in row
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    click.echo(f"saved {out}: {rows:,} rows, {found:,} of them with negatives")
