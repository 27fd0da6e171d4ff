"""Pages from the templates of reports: whatever is put into them is escaped."""


def render_page(template: str, **values: object) -> str:
    """Return the page that `template`, a file of `mlbench/reports/templates`, makes of `values`, ending in a newline.

    Texts among the values are escaped; a value that the template asks for and is not given raises `UndefinedError`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mlbench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values) + "\n"
