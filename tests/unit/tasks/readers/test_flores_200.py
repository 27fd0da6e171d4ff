import io
import tarfile
from pathlib import Path

import pytest

from mlbench.errors import DataError
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.flores_200 import reader

METADATA = "URL\tdomain\ttopic\thas_image\thas_hyperlink\n"
ARTICLE = "https://en.wikinews.org/wiki/A\twikinews\thealth\tyes\tyes\n"
FILES = {
    "./flores200_dataset/README": "for people",
    "./flores200_dataset/dev/eng_Latn.dev": "Dev.\n",
    "./flores200_dataset/devtest/read_me.devtest": "for people",
    "./flores200_dataset/devtest/eng_Latn.devtest": "One.\nTwo.\nThree.\n",
    "./flores200_dataset/devtest/zho_Hans.devtest": "一。\n二。\n三。\n",
    "./flores200_dataset/devtest/zho_Hant.devtest": "一。\n二。\n三。\n",
    "./flores200_dataset/metadata_dev.tsv": f"{METADATA}{ARTICLE}",
    "./flores200_dataset/metadata_devtest.tsv": f"{METADATA}{ARTICLE}{ARTICLE}{ARTICLE.replace('A', 'B')}",
}


def request(folder: Path, files: dict[str, str], *, languages: tuple[str, ...], **options: Parameter) -> ReadRequest:
    path = folder / "flores200_dataset.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return ReadRequest("flores-200-devtest", languages, (SourceFile(path),), options=options)


def test_the_lines_of_a_split_and_their_articles(tmp_path: Path) -> None:
    collection = reader(request(tmp_path, FILES, languages=("en", "zh"), collection="f"))
    assert {tag: [query.text for query in rows] for tag, rows in collection.queries.items()} == {
        "en": ["One.", "Two.", "Three."],
        "zh": ["一。", "二。", "三。"],
    }
    assert (collection.clusters, collection.cluster_unit) == (
        {
            "f-devtest-0": "https://en.wikinews.org/wiki/A",
            "f-devtest-1": "https://en.wikinews.org/wiki/A",
            "f-devtest-2": "https://en.wikinews.org/wiki/B",
        },
        "article",
    )
    dev = reader(request(tmp_path, FILES, languages=("en",), split="dev"))
    assert [tuple(query) for query in dev.queries["en"]] == [("flores-200-devtest-dev-0", "Dev.")]


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({}, {"split": "test"}, "split must be dev or devtest, not 'test'"),
        ({"./flores200_dataset/devtest/eng_Latn.devtest": "One.\n"}, {}, "has 1 sentences, the metadata have 3 lines"),
        ({"./flores200_dataset/devtest/eng_Latn.devtest": "a\n\nb\n"}, {}, "has 2 sentences, the metadata have 3"),
        ({"./flores200_dataset/metadata_devtest.tsv": "domain\nx\n"}, {}, "line 1: the column URL is missing"),
        ({"./flores200_dataset/devtest/eng_Latn.devtest": None}, {}, "there is no devtest of language 'en'"),
        ({"./flores200_dataset/metadata_devtest.tsv": None}, {}, "there is no metadata_devtest.tsv in the archive"),
    ],
)
def test_faults(tmp_path: Path, changed: dict[str, str | None], options: dict[str, Parameter], message: str) -> None:
    files = {name: text for name, text in (FILES | changed).items() if text is not None}
    with pytest.raises(DataError, match=message):
        reader(request(tmp_path, files, languages=("en", "zh"), **options))


def test_what_is_no_archive(tmp_path: Path) -> None:
    asked = request(tmp_path, FILES, languages=("en",))
    asked.files[0].path.write_bytes(asked.files[0].path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"flores200_dataset\.tar\.gz"):
        reader(asked)
