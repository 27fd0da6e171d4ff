"""Collections in MIRACL's own format, small, or made for given topics and judgments."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]

PER_SHARD = 2000


def a_row(docid: str, text: str = "text", title: str = "title") -> Row:
    return {"docid": docid, "title": title, "text": text}


def write_shard(path: Path, rows: Iterable[Row]) -> None:
    """Write documents as the published shards hold them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def plant(topics: Path, qrels: Path, folder: Path, others: int = 0, share: float = 1.0) -> list[Path]:
    """Write shards for one language: every judged document, then `others` about nothing.

    Relevant ones say the first `share` of their question (of the first, where there are several), the others that are
    judged for it what is left.
    """
    questions = dict(line.split("\t") for line in topics.read_text(encoding="utf-8").split("\n") if line)
    relevant: dict[str, str] = {}
    judged: dict[str, str] = {}
    for topic, _, docid, grade in (line.split("\t") for line in qrels.read_text(encoding="utf-8").split("\n") if line):
        half = round(len(questions[topic]) * share)
        if int(grade):
            relevant.setdefault(docid, questions[topic][:half])
        judged.setdefault(docid, f"{questions[topic][half:]} {docid}")
    rows = [a_row(docid, relevant.get(docid, text), docid.partition("#")[0]) for docid, text in judged.items()]
    rows += [a_row(f"other{number}#0", f"about {number}") for number in range(others)]
    paths = []
    for number, start in enumerate(range(0, len(rows), PER_SHARD)):
        paths.append(folder / f"docs-{number}.jsonl.gz")
        write_shard(paths[-1], rows[start : start + PER_SHARD])
    return paths


def task_file(folder: Path, languages: Sequence[str], files: Iterable[tuple[str, str, Path]], more: str = "") -> Path:
    """Write a task beside its files, which are given as language, role and path inside `folder`."""
    entries = [
        f'[[files]]\nlanguage = "{language}"\nrole = "{role}"\npath = "{path.relative_to(folder).as_posix()}"\n'
        for language, role, path in files
    ]
    listed = ", ".join(f'"{language}"' for language in languages)
    path = folder / "planted.toml"
    path.write_text(
        f'extends = "miracl"\nname = "planted"\nlanguages = [{listed}]\n{more}\n' + "".join(entries), encoding="utf-8"
    )
    return path
