"""The tables of XNLI-1.0.zip, written by hand in their layout."""

import zipfile
from pathlib import Path

import pytest

from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.xnli import read_pairs

COLUMNS = ["language", "gold_label", "sentence1_parse", "sentence1", "sentence2", "promptID", "pairID", "genre"]
LABELS = ("neutral", "contradiction", "entailment")


def table(*languages: str, premises: int = 2) -> str:
    """Return a table with three pairs for each premise, the last of which is entailed."""
    lines = ["\t".join(COLUMNS)]
    for tag in languages:
        for number in range(3 * premises):
            premise = number // 3 + 1
            cells = [tag, LABELS[number % 3], "( x )", f'{tag}  "premise {premise}', f"{tag} claim {number + 1}"]
            lines.append("\t".join([*cells, str(premise), str(number + 1), "facetoface"]))
    return "\n".join(lines) + "\n"


def collection(folder: Path, dev: str, test: str) -> Collection:
    with zipfile.ZipFile(folder / "XNLI-1.0.zip", "w") as archive:
        archive.writestr("XNLI-1.0/README.pdf", b"\xff")
        archive.writestr("XNLI-1.0/xnli.dev.jsonl", "{}")
        archive.writestr("XNLI-1.0/xnli.dev.tsv", dev)
        archive.writestr("XNLI-1.0/xnli.test.tsv", test)
        archive.writestr("__MACOSX/XNLI-1.0/._xnli.dev.tsv", b"\xff")
    return read_pairs(ReadRequest("own", ("de", "en"), (SourceFile(folder / "XNLI-1.0.zip"),)))


def test_entailed_hypotheses_ask_for_their_premise(tmp_path: Path) -> None:
    found = collection(tmp_path, table("ar", "de", "en"), table("de", "en", premises=1))
    assert [tuple(query) for query in found.queries["de"]] == [
        ("dev-3", "de claim 3"),
        ("dev-6", "de claim 6"),
        ("test-3", "de claim 3"),
    ]
    assert [document.text for document in found.documents["en"]] == ['en "premise 1', 'en "premise 2', 'en "premise 1']
    texts = {document.doc_id: document.text for rows in found.documents.values() for document in rows}
    assert [(row.language, texts[row.doc_id]) for row in found.judgments["dev-6"]] == [
        ("de", 'de "premise 2'),
        ("en", 'en "premise 2'),
    ]
    assert found.clusters == {"dev-3": "dev-p1", "dev-6": "dev-p2", "test-3": "test-p1"}


@pytest.mark.parametrize(
    ("dev", "message"),
    [
        ("a\tb\n", "xnli.dev.tsv: the first line names no column 'language'"),
        (table("de") + "de\tneutral\n", "xnli.dev.tsv line 8: 2 columns instead of 8"),
    ],
)
def test_faults(tmp_path: Path, dev: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        collection(tmp_path, dev, table("de"))
