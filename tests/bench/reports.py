"""Times every format of the report of a result of many languages, and how its time grows with their number.

`python -m tests.bench.reports [LANGUAGES ...]` makes results of 50, 100 and 205 languages, and prints for each format
the seconds of processor time, the bytes, and the exponent in languages between the first and the last: 2 is the number
of pairs. The values are made up. Memory is the highest of the process.
"""

import resource
import sys
from math import log
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from unit.reports.many_languages import flores_result

from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import FORMATS, render
from tests.bench.timing import took

LANGUAGES = (50, 100, 205)


def main() -> None:
    """Print a row for each format."""
    sizes = [int(each) for each in sys.argv[1:]] or list(LANGUAGES)
    results = [flores_result(n_languages=size) for size in sizes]
    reports = [results_report([result]) for result in results]
    seconds = [took(lambda each=each: results_report([each])).processor for each in results]
    print(f"{'languages':<12}" + "".join(f"{size:>20}" for size in sizes) + f"{'exponent':>10}")
    print(row("the report", seconds, None, sizes))
    for name, each in FORMATS.items():
        if each.only is None:
            written = [render(name, report) for report in reports]
            seconds = [took(lambda report=report, name=name: render(name, report)).processor for report in reports]
            print(row(name, seconds, [len(content) for content in written], sizes), flush=True)
    print(f"highest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def row(name: str, seconds: list[float], written: list[int] | None, sizes: list[int]) -> str:
    """Return what a format took for each number of languages."""
    cells = [
        f"{each:.2f} s" + (f", {written[place] / 1e6:.2f} MB" if written else "") for place, each in enumerate(seconds)
    ]
    grown = log(sizes[-1] / sizes[0])
    exponent = f"{log(max(seconds[-1], 1e-3) / max(seconds[0], 1e-3)) / grown:.1f}" if grown else ""
    return f"{name:<12}" + "".join(f"{cell:>20}" for cell in cells) + f"{exponent:>10}"


if __name__ == "__main__":
    main()
