"""The page with every figure behind the reproduction, made from the documents of the sweeps."""

from pathlib import Path

from mlbench.compare.sweep import Sweep, TaskSweep, from_json
from mlbench.reports.sweep.markdown import sweep_markdown
from mlbench.reports.sweep.page import drawings

SWEEPS = Path(__file__).parent / "figures" / "sweeps"

_INTRO = """\
# Figures of the reproduction

What `mlbench sweep` wrote, whole: the tables behind [Reproduction](reproduction.md). Each is made from a document in
`docs/figures/sweeps`, which has every figure, interval and seed pair with all digits."""


def page() -> str:
    """Return the page: for each document, in the order of their names, its heading, figures and tables."""
    parts = [_INTRO]
    for path in sorted(SWEEPS.glob("*.json")):
        sweep = from_json(path.read_bytes())
        heading = path.stem.partition("-")[2].replace("-", " ")
        parts.append(f"## {heading[:1].upper()}{heading[1:]}")
        parts += [_figures(sweep, task) for task in sweep.tasks]
        # Its own headings stand two levels below this page's.
        parts.append(sweep_markdown(sweep).strip())
    return "\n\n".join(parts) + "\n"


def _figures(sweep: Sweep, task: TaskSweep) -> str:
    """Return the figures of a task as one block of HTML, so that they take the colours of the page."""
    shown = "".join(f"<figure>{each.svg}<figcaption>{task.name}: {each.title}</figcaption></figure>"
                    for each in drawings(sweep, task))  # fmt: skip
    return f'<div class="figures">{" ".join(shown.split())}</div>'
