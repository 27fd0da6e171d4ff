"""A report as one HTML page that needs nothing else: no script, no font, no request."""

from mlbench.reports.chart import chart_svg
from mlbench.reports.colours import css
from mlbench.reports.formatting import passage, visible
from mlbench.reports.heat_map import heat_map_svg
from mlbench.reports.report import HeatColumn, HeatMap, Report, column_groups


def write_html(report: Report) -> str:
    """Return the page, with every section, figures included; everything from the report is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("mlbench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.tests["of"] = lambda block, name: type(block).__name__ == name
    template = environment.get_template("page.html")
    return (
        template.render(
            report=report,
            heat_map_svg=lambda block: Markup(heat_map_svg(block)),
            chart_svg=lambda chart: Markup(chart_svg(chart)),
            passage=lambda text: Markup.escape(passage(text)),
            colours=_colours,
            groups=column_groups,
        )
        + "\n"
    )


def _colours(shown: HeatMap, column: HeatColumn, value: float) -> str:
    """Return the style of a cell of a heat map that is set as a table."""
    scale = shown.scales[column.unit]
    return f"background:{css(scale.colour(value))};color:{css(scale.ink(value))}"
