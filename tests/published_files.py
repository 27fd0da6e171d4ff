"""The files of the shipped training sets in their publishers' layouts, small and written by hand, behind an address."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path, PurePosixPath

from mlbench.tasks.task import DeclaredFile, Task

ROWS = 12
"""How many topics each file has, but for TyDi QA's, which has so many in each of three languages."""
PRONOUNS = {"arabic": "ar", "english": "en", "russian": "ru"}


def publish(task: Task, declaration: Path, folder: Path, address: str) -> Path:
    """Write the files of a training set into `folder`, and return its task file with `address` and their checksums.

    What the task file says of numbers of queries and documents is left out.
    """
    text = re.sub(r"(?ms)^\[expected(\.\w+)?\]\n.*?(?=^\[|\Z)", "", declaration.read_text(encoding="utf-8"))
    head, *blocks = re.split(r"(?m)^(?=\[\[files\]\]$)", text)
    for number, file in enumerate(task.files):
        content = content_of(file)
        target = folder / PurePosixPath(str(file.url)).name
        target.write_bytes(content)
        for key, value in (
            ("url", f"{address}/{target.name}"),
            ("sha256", sha256(content).hexdigest()),
            ("bytes", len(content)),
        ):
            blocks[number] = re.sub(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", blocks[number])
    own = folder / declaration.name
    own.write_text(head + "".join(blocks), encoding="utf-8")
    return own


def content_of(file: DeclaredFile) -> bytes:
    """Return what a publisher's file could hold."""
    name = PurePosixPath(file.path).name
    makers: dict[str, Callable[[], bytes]] = {
        r"all\.en-.*\.tmx\.zip": lambda: zipped(
            {name.removesuffix(".zip"): memory(name.split("-", 1)[1].split(".")[0])}
        ),
        r"data\.zip": lambda: zipped({f"data/{part}.jsonl": lines(part) for part in ("test", "train", "valid")}),
        r"XNLI-1\.0\.zip": lambda: zipped({f"XNLI-1.0/xnli.{part}.tsv": table() for part in ("dev", "test")}),
        r"tydiqa-.*\.json": lambda: document([f"{spoken}-{name}-{n}" for spoken in PRONOUNS for n in range(ROWS)]),
        r".*\.json": lambda: document([f"{name}-{n}" for n in range(ROWS)]),
    }
    return next(make for pattern, make in makers.items() if re.fullmatch(pattern, name))()


def zipped(members: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def memory(tag: str) -> str:
    units = "".join(
        f'<tu tuid="A:{n}"><tuv xml:lang="en"><seg>wash hand {n}</seg></tuv>'
        f'<tuv xml:lang="{tag}"><seg>{tag} {n} lavar</seg></tuv></tu>'
        for n in range(ROWS)
    )
    return f'<tmx version="1.4"><header srclang="en"/><body>{units}</body></tmx>'


def document(ids: list[str]) -> bytes:
    qas = [{"id": id_, "question": f"what is {id_}?", "answers": [{"text": "it", "answer_start": 0}]} for id_ in ids]
    articles = [{"paragraphs": [{"context": f"it stands in {each['id']}.", "qas": [each]}]} for each in qas]
    return json.dumps({"version": "1.1", "data": articles}).encode()


def lines(part: str) -> str:
    rows = [
        {
            "article_id": f"{part}{n}",
            "question_id": f"{part}{n}_0",
            "question": f"{part} {n}?",
            "context": f"in {part} {n}",
        }
        for n in range(ROWS // 3)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def table() -> str:
    heading = ("language", "gold_label", "sentence1", "sentence2", "promptID", "pairID")
    tags = ("ar", "de", "el", "en", "es", "fr", "hi", "ru", "th", "tr", "vi", "zh")
    rows = [
        (tag, label, f"{tag} premise {n}", f"{tag} claim {n} {label}", str(n), f"{n}{label[0]}")
        for tag in tags
        for n in range(ROWS // 2)
        for label in ("neutral", "entailment")
    ]
    return "".join("\t".join(row) + "\n" for row in (heading, *rows))
