"""Languages as the command line takes them: `ar,en`."""

import click

from mlbench.languages import check_language


def language_list(context: click.Context, parameter: click.Parameter, tags: str | None) -> tuple[str, ...] | None:
    """Return the tags of a list with commas, None where no list is given; raises `UserError` for what is no tag."""
    if tags is None:
        return None
    return tuple(check_language(tag.strip()) for tag in tags.split(",") if tag.strip())
