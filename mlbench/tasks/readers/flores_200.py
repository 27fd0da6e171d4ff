"""Reads the archive of FLORES-200: dev/<code>.dev or devtest/<code>.devtest by line, and the article of each line."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlbench.collection.languages import check_language, is_language
from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.io.untrusted import LARGEST_MEMBER, walk_archive
from mlbench.protocols import ReadRequest
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sentences import collection_name, sentence_collection, text_lines

OPTIONS = ("collection", "split")
_SPLITS = ("dev", "devtest")


class Flores200:
    """Reads one split of the archive, which the option `split` names (by default `devtest`, that of evaluations).

    Topics are the lines, from 0: `<collection>-devtest-17`. The cluster of a line is the article that
    `metadata_<split>.tsv` says it is taken from (column URL).
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection; raises `DataError` with file and line, and for files of unequal length."""
        check_options(request, "flores_200", OPTIONS)
        split = str(request.options.get("split", "devtest"))
        if split not in _SPLITS:
            raise DataError(f"{request.task}: split must be dev or devtest, not {split!r}")
        if len(request.files) != 1:
            raise DataError(f"{request.task}: FLORES-200 is one archive, not {len(request.files)} files")
        found = dict(_members(request.files[0].path, split, request.languages))
        articles = _articles(found.pop("", None), request.files[0].path.name, split)
        prefix = f"{collection_name(request)}-{split}"
        texts: dict[str, dict[str, str]] = {}
        for language in request.languages:
            if language not in found:
                raise DataError(f"{request.files[0].path.name}: there is no {split} of language {language!r}")
            name, content = found[language]
            lines = text_lines(content, name)
            if len(lines) != len(articles) or not all(line.strip() for line in lines):
                sentences = sum(bool(line.strip()) for line in lines)
                raise DataError(f"{name} has {sentences:,} sentences, the metadata have {len(articles):,} lines")
            texts[language] = {f"{prefix}-{number}": line for number, line in enumerate(lines)}
        clusters = {f"{prefix}-{number}": article for number, article in enumerate(articles)}
        return sentence_collection(request, texts, clusters, cluster_unit="article")


reader = Flores200()


def _members(path: Path, split: str, languages: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield name and content of the file of each of `languages`, by language, and of the metadata, by an empty name."""

    def language(name: str) -> str | None:
        file = PurePosixPath(name)
        if file.name == f"metadata_{split}.tsv":
            return ""
        is_text = file.parent.name == split and file.suffix == f".{split}" and is_language(file.stem)
        return check_language(file.stem) if is_text else None

    for name, content in walk_archive(path, lambda name: language(name) in ("", *languages), LARGEST_MEMBER):
        if content is not None:
            yield str(language(name)), (PurePosixPath(name).name, content)


def _articles(metadata: tuple[str, bytes] | None, archive: str, split: str) -> list[str]:
    """Return the address of the article of each line."""
    if metadata is None:
        raise DataError(f"{archive}: there is no metadata_{split}.tsv in the archive")
    header, *lines = text_lines(metadata[1], metadata[0])
    columns = header.split("\t")
    if "URL" not in columns:
        raise DataError(f"{metadata[0]} line 1: the column URL is missing")
    place = columns.index("URL")
    addresses = ["".join(line.split("\t")[place : place + 1]).strip() for line in lines]
    return [address or f"line {number}" for number, address in enumerate(addresses)]
