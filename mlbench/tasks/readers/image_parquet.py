"""Reads captioned images in Parquet, as data sets on the Hugging Face hub have them, in rows or in mteb's layout."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlbench.collection.languages import check_language
from mlbench.collection.records import Collection
from mlbench.errors import DataError, UserError
from mlbench.io.parquet import PARQUET, columns_of, id_column, image_ids, keys_of, parquet_rows
from mlbench.protocols import DataFiles, ReadRequest, SourceFile
from mlbench.tasks.data_card import card_in, features_of, paths_in, told_languages
from mlbench.tasks.readers.beir_layout import CORPUS, QRELS, QUERIES, is_layout, of_split, parts_of
from mlbench.tasks.readers.beir_rows import IDS, judgments, row_id
from mlbench.tasks.readers.captions import OPTIONS, Caption, captioned, captions_in, shards_of, without_blank
from mlbench.tasks.readers.image_sets import is_image_set
from mlbench.tasks.readers.json_lines import check_options, files_of
from mlbench.tasks.readers.rows import ending, rows

ROWS = "rows"
"""The role of a file whose rows are images with their captions."""
_CAPTIONS = ("captions", "caption", "sentences", "sentence", "text")
_SPLITS = ("test", "validation", "valid", "val", "dev", "eval", "train")
_NO_LANGUAGES = frozenset({*_SPLITS, "all", "data", "default", "raw"})
_NUMBER = re.compile(r"[-_.]?\d+(-of-\d+)?$")
_Keys = Callable[[str], tuple[str, ...]]


class ImageParquet:
    """Reads data sets of images in Parquet, and recognises their folders and what the hub says of them."""

    looks_for = "*.parquet with images"

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection, see `read`."""
        return read(request)

    def recognises(self, folder: Path) -> bool:
        """Say whether there are Parquet files with images; those beside tar files or captions only tell of these."""
        if shards_of(folder) or shards_of(folder / "test") or files_of(folder, ("captions",)):
            return False
        return is_image_set(paths_in(folder), card_in(folder), folder)

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return files and languages; those that the data do not tell are the one that the user asks for."""
        files = DataFiles(tuple(paths_in(folder)), card_in(folder))
        return _declared(files, languages, lambda path: _caption_keys(folder / path))

    def declare_files(self, files: DataFiles, languages: tuple[str, ...] | None) -> dict[str, object] | None:
        """Return what a task file would say of a data set, None for one without images; raises `DataError`."""
        if not is_image_set(files.paths, files.card):
            return None
        return _declared(files, languages, lambda _: _keys_in_card(files.card))


reader = ImageParquet()


def read(request: ReadRequest) -> Collection:
    """Return the collection of Parquet files in one of two layouts.

    - Files with the role `rows`: a column `image` (bytes, or an object with `bytes`), and captions in `captions`,
      `caption`, `sentences`, `sentence` or `text`: a text, a list, or these by language. They are of the language of
      the file, where it has one.
    - Files with the roles `corpus`, `queries` and `qrels`, as mteb has them: images on one side, texts on the other,
      each known by `id`; a text is a caption of the image that it is judged relevant with. Other images of a corpus are
      searched as well.

    An image is called by what a column such as `image_id` or `id` says, so that files of several languages share their
    images; without one by its file and row, from 0. Blank captions are left out, and told. Raises `DataError` with file
    and row, `MissingExtra` where Parquet cannot be read.
    """
    check_options(request, "image_parquet", OPTIONS)
    if any(source.role == ROWS for source in request.files):
        return captioned(request, without_blank(request, list(_of_rows(request))))
    sides = _Sides(request)
    return captioned(request, without_blank(request, sides.captions()), others=sides.others)


def _declared(files: DataFiles, languages: tuple[str, ...] | None, keys: _Keys) -> dict[str, object]:
    parts = parts_of(files.paths, files.card)
    if is_layout(parts):
        parts = of_split(parts, files.split or None)
        wanted = [part for part in parts if not files.subset or part.subset in ("", files.subset)]
        entries = [_entry(part.path, part.kind, _tag(part.subset)) for part in wanted]
    else:
        entries = _row_entries(files)
    told = {entry["language"] for entry in entries if "language" in entry}
    told = told or {tag for entry in entries[:1] for tag in keys(entry["path"])}
    sole = languages or tuple(tag for tag in map(_tag, told_languages(files.card)) if tag)
    if not told and len(sole) == 1:
        told = set(sole)
    return {
        "kind": "image_text",
        "languages": sorted(told) or None,
        "files": entries,
        "images": {"folder": "images"},
    }


def _entry(path: str, role: str, language: str) -> dict[str, str]:
    return {"path": path, "role": role} | ({"language": language} if language else {})


def _row_entries(files: DataFiles) -> list[dict[str, str]]:
    """Return what a task file says of tables of rows; raises `DataError` where it is not plain which split is meant."""
    found = []
    for path in sorted(path for path in files.paths if path.lower().endswith(PARQUET)):
        pure = PurePosixPath(path)
        names = [_NUMBER.sub("", pure.stem), *reversed(pure.parent.parts)]
        language = next(filter(None, map(_tag, names)), "")
        split = next((name for name in names if name in _SPLITS), "")
        if not files.subset or files.subset in (*names, language):
            found.append((path, language, split))
    splits = sorted({split for *_, split in found if split})
    split = files.split or next((split for split in _SPLITS if split in splits), "")
    kept = [(path, language) for path, language, own in found if own in ("", split)]
    if not kept:
        raise DataError(f"there are no files of the split {split!r}, but of {', '.join(splits)}")
    return [_entry(path, ROWS, language) for path, language in kept]


def _tag(name: str) -> str:
    """Return the language that a name of files is, empty for another name."""
    try:
        return "" if not name or name.lower() in _NO_LANGUAGES else check_language(name)
    except UserError:
        return ""


def _caption_keys(path: Path) -> tuple[str, ...]:
    """Return the languages of a column of captions by language; none for other columns."""
    column = _caption_column(path, columns_of(path))
    return tuple(check_language(key) for key in keys_of(path, column))


def _keys_in_card(card: Mapping[str, object]) -> tuple[str, ...]:
    for feature in features_of(card):
        inside = feature.get("struct")
        if feature.get("name") in _CAPTIONS and isinstance(inside, list):
            return tuple(check_language(str(entry.get("name"))) for entry in inside if isinstance(entry, dict))
    return ()


def _caption_column(path: Path, names: Sequence[str]) -> str:
    found = next((name for name in _CAPTIONS if name in names), None)
    if found is None:
        raise DataError(f"{path.name} has no column {', '.join(_CAPTIONS)}, but {', '.join(names)[:200]}")
    return found


def _of_rows(request: ReadRequest) -> Iterator[Caption]:
    sources = [source for source in request.files if source.role == ROWS]
    for source in sources:
        names = columns_of(source.path)
        column, has_ids = _caption_column(source.path, names), id_column(names) is not None
        if not has_ids and len({each.language for each in sources}) > 1:
            raise DataError(
                f"{source.path.name} has no column of ids, such as image_id, which would tell that files of several "
                f"languages are about the same images: it has {', '.join(names)[:200]}"
            )
        for image, (place, row) in zip(image_ids(source.path), parquet_rows(source.path, [column]), strict=True):
            try:
                found = captions_in(column, row[column])
            except (ValueError, UserError) as error:
                raise DataError(f"{place}: {error}") from error
            if image is None and found:
                raise DataError(f"{place}: has captions and no image")
            name = image if has_ids else f"{source.name or source.path.name}/{image}"
            for tag, texts in found.items():
                yield from (Caption(str(name), tag or _language_of(request, source), text) for text in texts)


def _language_of(request: ReadRequest, source: SourceFile) -> str:
    """Return the language of a file, or of the task where it has only one."""
    if source.language is None and len(request.languages) > 1:
        raise DataError(f"{request.task}: {source.path.name} needs a language in the task file")
    return source.language or request.languages[0]


@dataclass
class _Side:
    """The queries, or the corpus, of one language: images by id, or texts by id."""

    images: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class _Sides:
    """What files of queries, corpora and judgments say; `others` are the images that are judged with no text."""

    def __init__(self, request: ReadRequest) -> None:
        self.request, self.others = request, list[str]()
        self.queries, self.corpora = self._sides(QUERIES), self._sides(CORPUS)

    def captions(self) -> list[Caption]:
        """Return the captions, in the order of their side; raises `DataError` where some are of no or several images.

        Queries without judgments are left out, and told.
        """
        captions, skipped = list[Caption](), 0
        for language in self.request.languages:
            images, texts, image_of = self._of_language(language)
            captions += [
                Caption(images[image_of[own]], language, text) for own, text in texts.items() if own in image_of
            ]
            skipped += len(texts) - len(image_of)
        if skipped:
            self.request.progress.note(f"{self.request.task}: queries without judgments, left out: {skipped:,}")
        captioned_ones = {caption.image for caption in captions}
        there = (name for side in (*self.corpora.values(), *self.queries.values()) for name in side.images.values())
        self.others = list(dict.fromkeys(name for name in there if name not in captioned_ones))
        return captions

    def _of_language(self, language: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """Return what the images are called, the texts, and the image of each text that is judged, all by own id."""
        queries, corpus = _of(self.queries, language), _of(self.corpora, language)
        judged = list(self._judged(language, queries.images.keys() | queries.texts.keys()))
        is_text_to_image = bool(corpus.images)
        images = corpus.images if is_text_to_image else queries.images
        texts = queries.texts if is_text_to_image else corpus.texts
        if not images or not texts or (queries.images and queries.texts) or (corpus.images and corpus.texts):
            raise self._fault(language, "images must be on one side and texts on the other, in queries and corpus")
        image_of: dict[str, str] = {}
        for query, document in judged:
            text, image = (query, document) if is_text_to_image else (document, query)
            if text in texts and image in images and image_of.setdefault(text, image) != image:
                raise self._fault(
                    language, f"the text {text!r:.60} is judged with several images, but a caption is of one"
                )
        lone = next((own for own in texts if own not in image_of), None)
        if lone is not None and not is_text_to_image:
            raise self._fault(language, f"a text of the corpus, {lone!r:.60}, is a caption of no image")
        return images, texts, image_of

    def _fault(self, language: str, reason: str) -> DataError:
        return DataError(f"{self.request.task}: {language}: {reason}")

    def _sides(self, kind: str) -> dict[str | None, _Side]:
        found: dict[str | None, _Side] = {}
        for source in self._files(kind):
            side = found.setdefault(source.language, _Side())
            for place, row, image in _rows_with_images(source.path):
                own_id, text = row_id(row, place), row.get("text")
                if image is not None and isinstance(text, str) and text.strip():
                    raise DataError(f"{place}: has an image and a text: only one of them is searched")
                if image is not None:
                    side.images[own_id] = image
                elif isinstance(text, str):
                    side.texts[own_id] = text
        return found

    def _judged(self, language: str, asked: Container[str]) -> Iterable[tuple[str, str]]:
        """Yield query and document of each judgment of relevance, `asked` being the queries.

        Raises `DataError` for other grades than 0 and 1.
        """
        for source in self._files(QRELS):
            if source.language in (None, language):
                for query, document, grade in judgments(source.path, asked):
                    if grade not in (0, 1):
                        raise DataError(f"{source.path.name}: the score {grade} of an image: captions have 0 or 1")
                    if grade:
                        yield query, document

    def _files(self, kind: str) -> list[SourceFile]:
        return [source for source in self.request.files if source.role == kind]


def _of(sides: Mapping[str | None, _Side], language: str) -> _Side:
    return sides.get(language) or sides.get(None) or _Side()


def _rows_with_images(path: Path) -> Iterator[tuple[str, Mapping[str, object], str | None]]:
    """Yield each row with its place, and what its image is called, without reading images; other files have none."""
    names = image_ids(path) if ending(path.name) == PARQUET else []
    for number, (place, row) in enumerate(rows(path, (*IDS, "text"))):
        yield place, row, names[number] if names else None
