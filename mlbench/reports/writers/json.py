"""The documents that a report tells of, as JSON."""

import json

from mlbench.io.document import to_json
from mlbench.reports.report import Report


def write_json(report: Report) -> str:
    """Return the document of a report, or where there may be several, a list of them; keys are sorted."""
    if not report.several:
        return to_json(report.documents[0])
    plain = [document.model_dump(mode="json") for document in report.documents]
    return json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
