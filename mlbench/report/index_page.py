"""Index costs as one HTML page that needs nothing else: no script, no font, no request."""

from mlbench.index_costs.document import IndexCosts
from mlbench.report.harmless import harmless
from mlbench.report.index_figures import index_drawings
from mlbench.report.index_rows import headline, notes, tables


def index_page(costs: IndexCosts) -> str:
    """Return the page; everything that comes from the document is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    costs = harmless(costs)
    environment = Environment(
        loader=PackageLoader("mlbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("index-costs.html")
    return (
        template.render(
            costs=costs,
            headline=headline(costs),
            drawings=index_drawings(costs),
            tables=tables(costs),
            notes=notes(costs),
        )
        + "\n"
    )
