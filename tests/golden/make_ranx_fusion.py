"""Writes ranx_fusion.json: lists of three systems, and what ranx 0.3.21 makes of them.

Run where ranx is installed (it is no dependency): `python tests/golden/make_ranx_fusion.py`.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ranx import Run, fuse

NORMS = {"min_max": "min-max", "z_score": "zmuv", "sum": "sum", "none": None}
METHODS = {"combsum": "sum", "combmnz": "mnz", "combanz": "anz"}
WEIGHTS = [0.2, 0.5, 1.7]


def main() -> None:
    """Draw lists of different lengths and scales, with ties, and fuse them in every way."""
    random = np.random.RandomState(0)
    systems: list[dict[str, dict[str, float]]] = []
    for scale, shift, length in ((1.0, 0.0, 12), (30.0, 5.0, 7), (0.01, -2.0, 9)):
        lists = {}
        for query in ("a", "b", "c", "d"):
            names = random.permutation(12)[: length if query != "c" else 1]
            scores = np.sort(random.randint(0, 9, len(names)) / 8)[::-1] * scale + shift
            lists[query] = {f"d{name:02}": float(score) for name, score in zip(names, scores, strict=True)}
        systems.append(lists)
    runs = [Run(lists) for lists in systems]
    found = []
    for norm, theirs in NORMS.items():
        for method, name in METHODS.items():
            fused = fuse(runs, norm=theirs, method=name)
            found.append({"method": method, "normalisation": norm, "weights": None, "fused": fused.to_dict()})
        fused = fuse(runs, norm=theirs, method="wsum", params={"weights": WEIGHTS})
        found.append({"method": "combsum", "normalisation": norm, "weights": WEIGHTS, "fused": fused.to_dict()})
    document = {"ranx": version("ranx"), "systems": systems, "cases": found}
    Path(__file__).with_name("ranx_fusion.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
