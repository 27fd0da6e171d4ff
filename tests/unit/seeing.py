"""Tiny captioned images, and encoders that find some of them: what the tests of image-text results are made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from mlbench.collection.images import open_images
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Image, Query
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.protocols import Parameter, Role, Similarity, Vectors
from mlbench.results import Result, read_result

LANGUAGES = ("de", "en", "th")
NOISE = {"de": 0.35, "en": 0.15, "th": 0.8}
_WORDS = {"de": "das Bild", "en": "the picture", "th": "ภาพ"}


def colour(number: int) -> tuple[int, int, int]:
    """Return the colour of an image, far enough from the others'."""
    digest = sha256(f"colour {number}".encode()).digest()
    return digest[0], digest[1], digest[2]


def write_task(folder: Path, n: int = 12, captions: Mapping[str, int] | None = None) -> Path:
    """Write a folder of `n` one-coloured images and their captions: as many of each image as `captions` says."""
    (folder / "images").mkdir(parents=True)
    for number in range(n):
        Pillow.new("RGB", (8, 8), colour(number)).save(folder / "images" / f"{number:02}.png")
    for language, each in (captions or dict.fromkeys(LANGUAGES, 1)).items():
        rows = [
            {"image": f"{number:02}.png", "caption": f"{_WORDS[language]} {number} ({place})"}
            for number in range(n)
            for place in range(each)
        ]
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / f"captions.{language}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def _noise(text: str, seed: int) -> NDArray[np.float64]:
    digest = sha256(f"{seed} {text}".encode()).digest()
    return np.frombuffer(digest[:12], dtype="<u4").astype(np.float64)[:3] / 2**31 - 1


@dataclass
class ToySeer:
    """An encoder that sees the colour of an image, and knows it from a caption with noise by language."""

    seed: int = 0
    noise: Mapping[str, float] = field(default_factory=lambda: NOISE)
    similarity: Similarity = "cosine"
    reads_images: bool = True
    dim: int = 4

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {"seed": self.seed}

    def fingerprint(self, role: Role) -> str:
        return sha256(f"{self.seed} {sorted(self.noise.items())} {role == 'image'}".encode()).hexdigest()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        if role == "image":
            paths = [text.path for text in texts if isinstance(text, Image)]
            rows = [np.asarray(image).reshape(-1, 3).mean(axis=0) for image in open_images(paths, 1)]
        else:
            rows = [self._colour_of(text) for text in texts]
        seen = np.array(rows, dtype=np.float64).reshape(-1, 3) / 128 - 1
        return np.hstack([seen, np.full((len(seen), 1), 0.5)]).astype(np.float32)

    def _colour_of(self, text: str) -> NDArray[np.float64]:
        words, _, number = text.partition(" (")[0].rpartition(" ")
        language = next(language for language, known in _WORDS.items() if known == words)
        return np.array(colour(int(number))) + 128 * self.noise[language] * _noise(text, self.seed)


@dataclass
class ToyLister:
    """A ranker of images and captions: the lists of a `ToySeer`, of at most `longest` documents."""

    longest: int | None = None
    reads_images: bool = True

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self) -> str:
        return sha256(b"lister").hexdigest()

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        seer, found = ToySeer(), []
        sides = [
            seer.encode([row.text for row in rows], "image" if isinstance(rows[0].text, Image) else "query")
            for rows in (queries, documents)
        ]
        units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
        for scores in units[0] @ units[1].T:
            best = np.argsort(-scores, kind="stable")[: min(depth, self.longest or depth)]
            found.append([documents[place].doc_id for place in best])
        return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def described(path: Path) -> Result:
    """Return the result at a path as any machine would have made it.

    Digests depend on how Pillow writes a PNG, last digits on how a processor sums.
    """
    document = _rounded(read_result(path).model_dump())
    document["task"] |= {"fingerprint": "f" * 64, "fingerprints": {}}
    document["retriever"] |= {"fingerprint": "e" * 64}
    document["cost"] |= {"read_seconds": 0.1, "encode_seconds": 1.5, "rank_seconds": 0.2, "score_seconds": 0.3}
    document["cost"] |= {"peak_bytes": None, "finished_at": "2026-11-20T12:00:00+00:00"}
    versions = {"mlbench": "0.1.0", "python": "3.11.9", "platform": "Linux", "cpus": 2, "libraries": {}}
    document["environment"] = {**versions, "command": None, "git_commit": None}
    document["ranks"] = {"name": "pictures.ranks.npz", "sha256": "0" * 64}
    return Result.model_validate(document)


def measured(folder: Path, model: object | None = None, **about: Any) -> Path:
    """Measure a model, by default a `ToySeer`, on the task in a folder, and return the path of its result."""
    out = about.pop("out", folder / "results")
    languages = about.pop("languages", None)
    options = Options(**{"resamples": 200, "cache": out / "cache", **about})
    evaluate(model or ToySeer(), str(folder), out=out, languages=languages, options=options)
    return max(out.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
