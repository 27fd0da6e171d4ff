"""What a forger does with an entry that was changed: every digest in it is written anew."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlbench.leaderboard.entries import ENTRY_FILE, fingerprint_of


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, document: object) -> None:
    """Write a document as entries have it, whatever it says."""
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def reseal(folder: Path) -> None:
    """Let every digest in the entry fit what is there now; raises what unreadable documents make it raise."""
    for part in ("ranks", "vectors"):
        for archive in folder.glob(f"*.{part}.npz"):
            path = folder / archive.name.replace(f".{part}.npz", ".json")
            document = read(path)
            document[part]["sha256"] = sha256(archive.read_bytes()).hexdigest()
            write(path, document)
    reseal_files(folder)


def reseal_files(folder: Path) -> None:
    """Let the entry name the files that are there now, whatever is in them."""
    entry = read(folder / ENTRY_FILE)
    for name in entry["files"]:
        entry["files"][name] = sha256((folder / name).read_bytes()).hexdigest()
    entry["fingerprint"] = fingerprint_of(entry)
    write(folder / ENTRY_FILE, entry)
