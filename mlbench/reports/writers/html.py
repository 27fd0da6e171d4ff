"""A report as one HTML page that needs nothing else: no font, no request, and no script but that of large maps."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from mlbench.reports.chart import chart_svg
from mlbench.reports.colours import css
from mlbench.reports.formatting import passage, visible
from mlbench.reports.heat_map import heat_map_svg
from mlbench.reports.language_map import STYLE, language_map_json, script
from mlbench.reports.report import Block, HeatColumn, HeatMap, LanguageMap, Report, Section, column_groups


def write_html(report: Report) -> str:
    """Return the page, with every section, figures included; everything from the report is escaped.

    Maps of many languages are drawn by a script in the page, which is the only one that it may run.
    """
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
    own = script() if _has_language_map(report.blocks) else ""
    return (
        template.render(
            report=report,
            heat_map_svg=lambda block: Markup(heat_map_svg(block)),
            chart_svg=lambda chart: Markup(chart_svg(chart)),
            passage=lambda text: Markup.escape(passage(text)),
            language_map_json=lambda block: Markup(language_map_json(block)),
            script=Markup(own),
            script_digest=b64encode(sha256(own.encode()).digest()).decode(),
            script_style=Markup(STYLE.read_text(encoding="utf-8")),
            colours=_colours,
            groups=column_groups,
        )
        + "\n"
    )


def _has_language_map(blocks: Sequence[Block]) -> bool:
    return any(
        isinstance(block, LanguageMap) or (isinstance(block, Section) and _has_language_map(block.blocks))
        for block in blocks
    )


def _colours(shown: HeatMap, column: HeatColumn, value: float) -> str:
    """Return the style of a cell of a heat map that is set as a table."""
    scale = shown.scales[column.unit]
    return f"background:{css(scale.colour(value))};color:{css(scale.ink(value))}"
