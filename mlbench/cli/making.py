"""`mlbench tasks make`: collections that are made by rule rather than downloaded."""

import shlex
from pathlib import Path

import click

from mlbench.cli.progress import Screen, pass_screen


@click.command(
    epilog="""\b
Examples:
  mlbench tasks make mini-images ./mini-images
  mlbench tasks make mini-images ./more --drawings 100 --seed 2
  mlbench tasks check ./mini-images/test""",
)
@click.argument("name", type=click.Choice(["mini-images"]), metavar="NAME")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--drawings",
    type=click.IntRange(min=1, max=1000),
    default=40,
    show_default=True,
    metavar="N",
    help="Images for training of each combination.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=1, max=2**32 - 1),
    default=1,
    show_default=True,
    metavar="N",
    help="Of the images for training; those for evaluation are always the same.",
)
@pass_screen
def command(screen: Screen, name: str, folder: Path, drawings: int, seed: int) -> None:
    """Draw the images of mini-images and caption them in 11 languages: DIR/test and DIR/train.

    An image shows one to four shapes of one kind and colour. DIR/test is what `--task mini-images` measures: 64
    combinations that DIR/train has not, though it has each shape, colour and count, and each pair of them.
    """
    from mlbench.mini_images.folder import make

    test, train = make(folder, seed=seed, drawings=drawings, progress=screen.progress())
    for part, images, use in (("test", test, "evaluation"), ("train", train, "training")):
        click.echo(f"{shlex.quote(str(folder / part))}: {images:,} images for {use}, captioned in 11 languages")
