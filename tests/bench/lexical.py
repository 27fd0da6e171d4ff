"""Compares `bm25s` with Lucene's BM25 on XQuAD-R, in every language and in the pool of all, as a table in Markdown.

`python -m tests.bench.lexical`; a minute with one thread.
"""

from mlbench import Options, Result, evaluate
from tests.bench.material import data_dir

SCHEMES = ("bm25", "bm25s")
MEASURE = "RR@10"


def scores(result: Result) -> dict[str, list[float]]:
    """Return for each query language the measure within the language, and in the pool of all."""
    found: dict[str, list[float]] = {}
    for kind in ("monolingual", "multilingual"):
        for setting in result.settings:
            if setting.kind == kind:
                value = setting.measures[MEASURE]
                assert value is not None
                found.setdefault(setting.query_language, []).append(value)
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Return the rows of all languages and their mean, with the difference of the two schemes."""
    lucene, ours = (found[scheme] for scheme in SCHEMES)
    rows = {language: lucene[language] + ours[language] for language in lucene}
    rows["mean"] = [sum(column) / len(rows) for column in zip(*rows.values(), strict=True)]
    lines = ["| | `bm25` | `bm25s` | difference | `bm25`, pool | `bm25s`, pool | difference |", "|---" * 7 + "|"]
    for name, (own, pool, own_s, pool_s) in rows.items():
        cells = (f"{own:.3f}", f"{own_s:.3f}", f"{own_s - own:+.3f}", f"{pool:.3f}", f"{pool_s:.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {pool_s - pool:+.3f} |".replace("0.", "."))
    return "\n".join(lines)


def main() -> None:
    """Measure both schemes and print the table."""
    folder, options = data_dir(), Options(resamples=2)
    found = {name: scores(evaluate(name, "xquad-r", data_dir=folder, options=options).result) for name in SCHEMES}
    print(table(found))


if __name__ == "__main__":
    main()
