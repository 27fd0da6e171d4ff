"""Scores entries of a leaderboard again from their ranks, after a formula has changed: `python -m tests.bench.rescore`.

Ranks stay as they are. Names of folders may be given; without any, all of `leaderboard/entries` are scored. What a
result says of its data, its retriever and its costs stays too; it has the bias scores that its task asks for today.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.check_files import canonical
from mlbench.leaderboard.entries import sealed
from mlbench.results import digest
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score
from mlbench.tasks.task import load_task

ENTRIES = Path("leaderboard") / "entries"


def rescore(entry: Path) -> int:
    """Write the results of an entry with their numbers of today, and their digests; returns how many there are."""
    about = json.loads(entry.read_text(encoding="utf-8"))
    for task in about["tasks"]:
        path = entry.with_name(f"{task}.json")
        result, ranks = read_pair(path)
        request = replace(ScoreRequest.of_result(result), bias_scores=load_task(task).bias_scores)
        asked = result.task.model_copy(update={"bias_scores": request.suited_bias_scores})
        result = result.model_copy(update={"task": asked})
        found = score(ranks, request)
        parts = ("settings", "aggregates", "bias", "image_text", "statistics")
        again = result.model_copy(update={part: getattr(found, part) for part in parts})
        content = canonical(again.model_dump(mode="json"))
        path.write_bytes(content)
        about["files"][path.name] = digest(content)
    said = {key: value for key, value in about.items() if key not in ("fingerprint", "schema_version")}
    entry.write_bytes(canonical(sealed(**said).model_dump(mode="json")))
    return len(about["tasks"])


def main() -> None:
    """Score what is asked for."""
    folders = [Path(name) for name in sys.argv[1:]] or sorted(path for path in ENTRIES.iterdir() if path.is_dir())
    for folder in folders:
        if scored := rescore(folder / "entry.json"):
            print(f"{folder}: {scored} results")


if __name__ == "__main__":
    main()
