"""Reads your own captioned images: JSON lines of captions for each language, and a folder of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlbench.collection.images import SUFFIXES
from mlbench.collection.records import Collection
from mlbench.errors import DataError
from mlbench.io.toml import relative_path
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.captions import OPTIONS, Caption, captioned, shards_of
from mlbench.tasks.readers.json_lines import check_options, files_of, objects, raise_faults, text_of, texts_of

_OWN_OPTIONS = (*OPTIONS, "cluster_unit")
_EXAMPLE = "{'image': 'dog.jpg', 'caption': ...}"


class CaptionsJsonl:
    """Reads captions of several languages and their images, and recognises folders of such files."""

    looks_for = "captions.<lang>.jsonl"

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection, see `read`."""
        return read(request)

    def recognises(self, folder: Path) -> bool:
        """Say whether there are captions of any language."""
        return bool(files_of(folder, ("captions",)))

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return the files, their languages and the folder of images; those that the user asks for change nothing.

        Tar files beside them may hold the images.
        """
        if (folder / "qrels.tsv").exists():
            raise DataError(f"{folder} has both captions and qrels: keep them in two folders")
        files = files_of(folder, ("captions",))
        tags = sorted({entry["language"] for entry in files})
        files += [{"path": path.name, "role": "shard"} for path in shards_of(folder)]
        return {"kind": "image_text", "languages": tags, "files": files, "images": {"folder": "images"}}


reader = CaptionsJsonl()


@dataclass
class _ParsedLines:
    """What the lines give so far, and every fault met on the way."""

    captions: list[Caption] = field(default_factory=list)
    clusters: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read(request: ReadRequest) -> Collection:
    """Return the collection of files with the role `captions`, one for each language.

    Their lines are `{"image", "caption"}`, or `{"image", "captions": [...]}` for several at once; an image may have
    several lines, and a line may name the `cluster` of its image (else every image is its own). Images are named by
    their path in the task's folder of images; others in that folder are told to the user, and so are captions that
    several images have. The k-th captions of an image are translations of each other.

    The option `cluster_unit` names what the clusters are. Raises `DataError` with the first fault, its file and line;
    its `__notes__` are all the faults.
    """
    check_options(request, "captions_jsonl", _OWN_OPTIONS)
    parsed = _ParsedLines()
    for source in request.files:
        if source.role == "captions":
            _read_captions(source, parsed)
    there = {source.language for source in request.files if source.role == "captions"}
    absent = [language for language in request.languages if language not in there]
    parsed.faults += [f"there is no file of captions for language {language!r}" for language in absent]
    raise_faults(parsed.faults)
    unit = str(request.options.get("cluster_unit", "cluster")) if parsed.clusters else "image"
    collection = captioned(request, parsed.captions, clusters=parsed.clusters, cluster_unit=unit)
    _tell_uncaptioned(request, parsed.captions)
    _tell_shared(request, parsed.captions)
    return collection


def _read_captions(source: SourceFile, parsed: _ParsedLines) -> None:
    for place, row in objects(source, parsed.faults, _EXAMPLE):
        image = _image(row, place, parsed.faults)
        texts = _texts(row, place, parsed.faults)
        if image is None:
            continue
        parsed.captions += [Caption(image, source.language or "", text) for text in texts]
        if "cluster" in row:
            cluster = text_of(row, "cluster", place, parsed.faults)
            if cluster is not None and parsed.clusters.setdefault(image, cluster) != cluster:
                elsewhere = parsed.clusters[image]
                parsed.faults.append(f"{place}: image {image!r} is in cluster {cluster!r}, elsewhere in {elsewhere!r}")


def _image(row: dict[str, object], place: str, faults: list[str]) -> str | None:
    name = text_of(row, "image", place, faults)
    try:
        return None if name is None else relative_path(name)
    except ValueError as error:
        faults.append(f"{place}: 'image': {error}")
        return None


def _texts(row: dict[str, object], place: str, faults: list[str]) -> list[str]:
    """Return the captions of a line."""
    if ("caption" in row) == ("captions" in row):
        faults.append(f"{place}: must have either 'caption' or 'captions'")
        return []
    if "captions" in row:
        return texts_of(row, "captions", place, faults)
    text = text_of(row, "caption", place, faults)
    return [] if text is None else [text]


def _tell_uncaptioned(request: ReadRequest, captions: Sequence[Caption]) -> None:
    """Tell of images that lie beside those that have captions."""
    first = captions[0].image
    path = request.images.find([first])[first] if request.images is not None else Path(first)
    folder = path.parents[first.count("/")]
    captioned_ones = {caption.image for caption in captions}
    there = (found.relative_to(folder).as_posix() for found in folder.rglob("*") if found.suffix.lower() in SUFFIXES)
    others = sorted(name for name in there if name not in captioned_ones)
    if others:
        request.progress.note(
            f"{request.task}: images without a caption: {len(others):,}, such as {others[0]}; left out"
        )


def _tell_shared(request: ReadRequest, captions: Sequence[Caption]) -> None:
    """Tell of captions that several images have."""
    images: dict[tuple[str, str], set[str]] = {}
    for image, language, text in captions:
        images.setdefault((language, text.strip()), set()).add(image)
    shared = [(language, text) for (language, text), names in images.items() if len(names) > 1]
    if shared:
        language, text = shared[0]
        request.progress.note(
            f"{request.task}: captions that several images have: {len(shared):,}, such as {text[:60]!r} in "
            f"{language}: those images cannot be told apart by it"
        )
