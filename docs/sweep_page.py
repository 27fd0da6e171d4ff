"""The page with every figure behind the reproduction, made from the documents of the sweeps."""

from pathlib import Path

from docs import draw
from mlbench.compare.sweep import from_json
from mlbench.reports.documents.sweep import sweep_report
from mlbench.reports.report import Section
from mlbench.reports.writers.markdown import write_markdown

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
        report = sweep_report(sweep)
        (whole,) = (block for block in report.blocks if isinstance(block, Section))
        sections = [block for block in whole.blocks if isinstance(block, Section)]
        parts += [draw.charts(each.blocks, f"{task.name}: ") for each, task in zip(sections, sweep.tasks, strict=False)]
        # Its own headings stand two levels below this page's.
        parts.append(write_markdown(report).strip())
    return "\n\n".join(parts) + "\n"
