"""Reads WebDataset shards: tar files in which the files with one key are an image and its captions."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from mlbench.collection.images import SUFFIXES
from mlbench.collection.languages import check_language
from mlbench.collection.records import Collection
from mlbench.errors import DataError, UserError
from mlbench.io.toml import relative_path
from mlbench.io.untrusted import LARGEST_MEMBER, walk_archive
from mlbench.protocols import DataFiles, ReadRequest, SourceFile
from mlbench.tasks.data_card import told_languages
from mlbench.tasks.readers.captions import OPTIONS, SHARD_ENDINGS, Caption, by_number, captioned, captions_in, shards_of
from mlbench.tasks.readers.json_lines import check_options, files_of, raise_faults

# A key ends at the first dot of the file's name, as in the library webdataset.
_MEMBER = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")
_LONGEST_CAPTIONS = 2**20
_SPLITS = ("dev", "eval", "test", "train", "val")
_ByLanguage = dict[str | None, list[str]]
"""Captions by language; under None those that do not say theirs."""


class WebDataset:
    """Reads shards of images and captions, and recognises folders of them."""

    looks_for = "*.tar"

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection, see `read`."""
        return read(request)

    def recognises(self, folder: Path) -> bool:
        """Say whether there are shards, or a folder `test` of them, or such folders that are called by languages.

        Captions beside shards are for another reader.
        """
        return bool(_test_shards(folder) or _by_language(folder)) and not files_of(folder, ("captions",))

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return the shards and the languages of their captions; where the data do not say any, the user's one."""
        places = {None: folder} if _test_shards(folder) else _by_language(folder)
        files, found = [], set[str | None]()
        for tag, place in places.items():
            shards = _test_shards(place)
            _check_kind(place, shards)
            files += [_entry(path.relative_to(folder).as_posix(), tag) for path in shards]
            samples = (sample for path in shards for sample in _samples(SourceFile(path), []))
            found |= {tag} if tag else {own for sample in samples for own in sample.captions}
        tags = sorted(tag for tag in found if tag is not None) or languages
        if tags is languages and languages is not None and len(languages) > 1:
            raise DataError(f"{folder}: captions without a language are all of one: name one with --languages TAG")
        return {"kind": "image_text", "languages": tags, "files": files, "images": {"folder": "images"}}

    def declare_files(self, files: DataFiles, languages: tuple[str, ...] | None) -> dict[str, object] | None:
        """Return what a task file would say of shards on the hub, None where there are none.

        What is in them is not known before they are downloaded, so their languages are those that the user asks for, or
        the only one of the data card.
        """
        place = f"{files.split or 'test'}/"
        shards = [path for path in files.paths if path.endswith(SHARD_ENDINGS)]
        shards = [path for path in shards if path.startswith(place)] or [path for path in shards if "/" not in path]
        told = told_languages(files.card)
        tags = languages or (tuple(told) if len(told) == 1 else None)
        entries = [_entry(path, None) for path in sorted(shards, key=by_number)]
        if not shards:
            return None
        return {"kind": "image_text", "languages": tags, "files": entries, "images": {"folder": "images"}}


reader = WebDataset()


@dataclass
class _Sample:
    """What the files with one key hold: the member that is the image, and captions by language.

    `digest` is the SHA-256 of the image, if it was read.
    """

    image: str | None = None
    digest: str = ""
    texts: _ByLanguage = field(default_factory=dict)
    from_json: _ByLanguage = field(default_factory=dict)

    @property
    def captions(self) -> _ByLanguage:
        """Captions by language, from texts before JSON; languages without any are left out."""
        return {
            tag: kept
            for tag, texts in {**self.from_json, **self.texts}.items()
            if (kept := [text for text in texts if text.strip()])
        }

    def add(self, member: str, kind: str, content: bytes | None) -> None:
        """Add a member that ends in `kind`, in lower case; raises `ValueError` or `UserError` for a faulty one."""
        if _is_image(member):
            if self.image is not None:
                raise ValueError(f"is a second image of the sample of {self.image}")
            self.image, self.digest = member, sha256(content).hexdigest() if content is not None else ""
        elif content is not None and len(content) > _LONGEST_CAPTIONS:
            raise ValueError(f"has more than {_LONGEST_CAPTIONS:,} bytes, the most that are read")
        elif content is not None and kind == "json":
            self.from_json = _captions_by_language(_parsed(content))
        elif content is not None:
            tag = kind.removesuffix("txt").rstrip(".")
            self.texts[check_language(tag) if tag else None] = _lines(content)


def read(request: ReadRequest) -> Collection:
    """Return the collection of tar files with the role `shard`.

    The files of a sample have one key: `000.jpg` (or another format), and captions in any of
    - `000.txt`, a caption in each line, and `000.th.txt` for a language;
    - `000.json`: `{"captions": {"en": [...], "th": "..."}}`, or `caption` in place of `captions`, or the languages
      alone; or `{"caption": "..."}`, which does not say its language. Other keys are passed over.

    Captions without a language are in the shard's, or in the only language of the task; where others say theirs, they
    are passed over, and told. Text files come before JSON, which is read for the languages that they lack. An image is
    called by its shard and its path there, `00.tar/000.jpg`; where shards are of several languages, images with the
    same bytes are one. Nothing is decoded but text, JSON and images.

    Raises `DataError` with the first fault, its shard and member; its `__notes__` are all the faults.
    """
    check_options(request, "webdataset", OPTIONS)
    faults = list[str]()
    shards = [source for source in request.files if source.role == "shard"]
    # The images of one language's shards are those of another's where their bytes are the same.
    several = len({source.language for source in shards}) > 1
    samples = [(source, sample) for source in shards for sample in _samples(source, faults, with_images=several)]
    names: dict[str, str] = {}
    # Where some captions say their language, those that say none may be of another one.
    say_languages = any(tag for _, sample in samples for tag in sample.captions)
    only = request.languages[0] if len(request.languages) == 1 and not say_languages else None
    captions = list[Caption]()
    bare, unnamed = list[str](), list[str]()
    for source, sample in samples:
        image, found = f"{source.name or source.path.name}/{sample.image}", sample.captions
        image = names.setdefault(sample.digest or image, image)
        plain, language = found.pop(None, []), source.language or only
        if plain and language:
            found.setdefault(language, plain)
        elif plain:
            unnamed.append(image)
        if not found:
            bare.append(image)
        captions += [Caption(image, tag, text) for tag, texts in found.items() if tag for text in texts]
    raise_faults(faults)
    _tell(request, "images without a caption", bare)
    _tell(request, "images with captions that do not say a language", unnamed)
    return captioned(request, captions)


def _tell(request: ReadRequest, what: str, images: list[str]) -> None:
    if images:
        request.progress.note(f"{request.task}: {what}: {len(images):,}, such as {images[0]}; left out")


def _test_shards(folder: Path) -> list[Path]:
    return shards_of(folder) or shards_of(folder / "test")


def _by_language(folder: Path) -> dict[str | None, Path]:
    """Return the folders in a folder that are called by a language and have shards, by language."""
    found: dict[str | None, Path] = {}
    for place in sorted(folder.iterdir()):
        if place.name not in _SPLITS and _is_language(place.name) and _test_shards(place):
            found[check_language(place.name)] = place
    return found


def _entry(path: str, language: str | None) -> dict[str, str]:
    return {"path": path, "role": "shard"} | ({"language": language} if language else {})


def _check_kind(folder: Path, shards: list[Path]) -> None:
    """Refuse what CLIP_benchmark wrote for classification, and folders with fewer shards than they say."""
    about, number = folder / "dataset_type.txt", shards[0].parent / "nshards.txt"
    try:
        kind = about.read_text("utf-8").strip() if about.is_file() else "retrieval"
        stated = number.read_text("utf-8").strip() if number.is_file() else str(len(shards))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder}: {about.name} or {number.name} cannot be read: {error}") from error
    if kind != "retrieval":
        raise DataError(f"{about} says {kind[:40]!r}: only data sets for retrieval have captions")
    if stated != str(len(shards)):
        raise DataError(f"{number} says {stated[:40]!r}, but there are {len(shards)} shards")


def _samples(source: SourceFile, faults: list[str], *, with_images: bool = False) -> Iterator[_Sample]:
    """Yield the samples of a shard that have an image, in the order of their keys; faults are added to `faults`.

    Images are passed over unread, but `with_images`.
    """
    samples: dict[str, _Sample] = {}
    seen: set[str] = set()
    is_read = (lambda name: _holds_captions(name) or _is_image(name)) if with_images else _holds_captions
    for member, content in walk_archive(source.path, is_read, LARGEST_MEMBER):
        match = _MEMBER.fullmatch(member)
        if match is None:
            continue
        try:
            name = relative_path(member)
            if name in seen:
                raise ValueError("is there twice")
            seen.add(name)
            samples.setdefault(match[1], _Sample()).add(name, match[2].lower(), content)
        except (ValueError, UserError) as error:
            faults.append(f"{source.path.name}: {member}: {error}")
    for key, sample in samples.items():
        if sample.image is not None:
            yield sample
        elif sample.captions:
            faults.append(f"{source.path.name}: {key}: has captions and no image")


def _is_image(member: str) -> bool:
    return f".{member.lower().rpartition('.')[2]}" in SUFFIXES


def _holds_captions(member: str) -> bool:
    """Say whether a member is read: JSON, and text that is of no language or of one."""
    match = _MEMBER.fullmatch(member)
    kinds = match[2].lower().split(".") if match else []
    return kinds in (["json"], ["txt"]) or (len(kinds) == 2 and kinds[1] == "txt")


def _lines(content: bytes) -> list[str]:
    """Return the captions in a text: each line that is not blank."""
    return [line.strip() for line in content.decode("utf-8-sig").split("\n") if line.strip()]


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _captions_by_language(table: object) -> _ByLanguage:
    """Return the captions by language in what a JSON file holds; raises `ValueError` where they are no texts."""
    if not isinstance(table, dict):
        raise ValueError("must hold an object, such as {'captions': {'en': ['...']}}")
    key = next((key for key in ("captions", "caption") if key in table), "")
    if key:
        return captions_in(key, table[key])
    is_all_languages = bool(table) and all(_is_language(tag) for tag in table)
    return captions_in("captions", table) if is_all_languages else {}


def _is_language(tag: str) -> bool:
    try:
        return bool(check_language(tag))
    except UserError:
        return False
