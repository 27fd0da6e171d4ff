"""Makes a collection of captions and their images; images that cannot be decoded are left out and counted."""

import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from mlbench.collection.images import check_images
from mlbench.collection.languages import IMAGE, check_language
from mlbench.collection.records import Collection, Document, Image, Judgment, Query, document_id
from mlbench.errors import DataError, UserError
from mlbench.protocols import ReadRequest

OPTIONS = ("captions_per_image", "images")
"""What every reader of captions takes: how many captions of an image are kept in each language, the first ones, and a
pattern of the names of the images that are kept."""
SHARD_ENDINGS = (".tar", ".tar.gz", ".tgz")
_MOST_NAMED = 20
_HALF = re.compile("[\ud800-\udfff]")
_NOT_IN_IDS = re.compile(r"[\s\x00-\x1f\x7f-\x9f#%]")
_MOST_MEMBERS = 10


class Caption(NamedTuple):
    """What is said of an image in one language; `image` is the path of its file in the task's folder of images."""

    image: str
    language: str
    text: str


def captioned(
    request: ReadRequest,
    captions: Sequence[Caption],
    *,
    clusters: Mapping[str, str] | None = None,
    cluster_unit: str = "image",
    others: Sequence[str] = (),
) -> Collection:
    """Return the collection of `captions`, in their order: a topic for each image, and one for each of its captions.

    `others` are images without captions, which are searched and do not ask.

    The k-th caption of an image in each language has the topic `<image>#<k>`, so translations share a topic; they are
    of the image's cluster, which is the image itself or what `clusters` has for it. Where only a sample is asked for,
    only its images are looked for and checked, and `left_out` counts the others. Images that cannot be decoded are left
    out with their captions, told to the user and counted; captions that an image has twice are told.

    With the option `captions_per_image`, an image has the first so many of its captions in each language, with the
    option `images` there are only images whose names fit the pattern: it is as if the files held no others.

    Raises `DataError` for a language without captions, names and captions with half of a surrogate pair, missing
    images, and images of which most are broken; `UserError` for a wrong option.
    """
    captions = _selected(request, captions)
    found = {row.language for row in captions}
    for language in request.languages:
        if language not in found:
            raise DataError(f"{request.task}: there are no captions in language {language!r}")
    _check_characters(request.task, captions)
    if request.images is None:
        raise DataError(f"{request.task}: a task of captioned images must say where they are: add [images] to its file")
    _tell_repeated(request, captions)
    whole = kept = _named(request, captions, clusters or {}, cluster_unit, others)
    checked: dict[str, Image | None] = {}
    while True:
        sample = kept if request.limit is None else kept.sample(request.limit)
        waiting = [row.text for row in sample.documents[IMAGE] if row.text not in checked]
        checked |= _checked(request, waiting, checked) if waiting else {}
        if all(checked[row.text] is not None for row in sample.documents[IMAGE]):
            break
        # A broken image makes room for another one in a sample.
        broken = {name for name, image in checked.items() if image is None}
        usable, also = (
            [row for row in captions if row.image not in broken],
            [row for row in others if row not in broken],
        )
        kept = _named(request, usable, clusters or {}, cluster_unit, also)
    for language, rows in kept.documents.items():
        if not rows:
            raise DataError(f"{request.task}: no caption in {language!r} is left, as none of its images can be used")
    return replace(
        _with_images(sample, {name: image for name, image in checked.items() if image is not None}),
        left_out={tag: len(rows) - len(sample.documents[tag]) for tag, rows in whole.documents.items()},
        unreadable=tuple(sorted(name for name, image in checked.items() if image is None)),
    )


def without_blank(request: ReadRequest, captions: Sequence[Caption]) -> list[Caption]:
    """Return the captions that say something; tell how many do not."""
    kept = [caption for caption in captions if caption.text.strip()]
    blank = len(captions) - len(kept)
    if blank:
        request.progress.note(
            f"{request.task}: {blank:,} {'caption is' if blank == 1 else 'captions are'} blank and left out"
        )
    return kept


def captions_in(key: str, entry: object) -> dict[str | None, list[str]]:
    """Return the captions by language of what JSON or a table has under `key`: a text, a list, or these by language.

    Those that do not say their language are under None. Raises `ValueError` where they are no texts, `UserError` where
    languages are none.
    """
    if isinstance(entry, Mapping):
        found = {check_language(str(tag)): _texts_in(f"{key}.{tag}", texts) for tag, texts in entry.items()}
        return {tag: texts for tag, texts in found.items() if texts}
    return {None: texts} if (texts := _texts_in(key, entry)) else {}


def _texts_in(key: str, entry: object) -> list[str]:
    texts = entry if isinstance(entry, list) else [] if entry is None else [entry]
    found = [text for text in texts if isinstance(text, str)]
    if len(found) < len(texts):
        raise ValueError(f"{key!r} must be a text or a list of texts, not {entry!r:.60}")
    return found


def topic_of(image: str) -> str:
    """Return the topic of an image: its name, in which white space, `#` and `%` are written as in an address."""
    return _NOT_IN_IDS.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), image)


def shards_of(folder: Path) -> list[Path]:
    """Return the tar files in a folder, in the order of the numbers in their names; none where there is no folder."""
    there = folder.iterdir() if folder.is_dir() else ()
    found = [path for path in there if path.name.endswith(SHARD_ENDINGS) and path.is_file()]
    return sorted(found, key=lambda path: by_number(path.name))


def by_number(name: str) -> list[str]:
    """Return a key that sorts names by the numbers in them: `2.tar` before `10.tar`."""
    return [part.zfill(20) for part in re.findall(r"[0-9]+|[^0-9]+", name)]


def _selected(request: ReadRequest, captions: Sequence[Caption]) -> Sequence[Caption]:
    """Return the captions that the options of the task leave."""
    most, pattern = request.options.get("captions_per_image"), request.options.get("images", "*")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise UserError(f"{request.task}: captions_per_image must be a whole number of at least 1, not {most!r:.60}")
    if not isinstance(pattern, str):
        raise UserError(f"{request.task}: images must be a pattern of names, such as '*.jpg', not {pattern!r:.60}")
    kept = [row for row in captions if fnmatchcase(row.image, pattern)]
    if captions and not kept:
        raise UserError(f"{request.task}: no image is called like images = {pattern!r:.60}: {captions[0].image} is one")
    if most is None:
        return kept
    numbers: Counter[tuple[str, str]] = Counter()
    first = []
    for row in kept:
        numbers[row.image, row.language] += 1
        if numbers[row.image, row.language] <= most:
            first.append(row)
    return first


def _check_characters(task: str, captions: Sequence[Caption]) -> None:
    half = next((row for row in captions if _HALF.search(row.image + row.text)), None)
    if half is not None:
        raise DataError(
            f"{task}: the image {half.image!a:.60} or its caption {half.text!a:.60} holds half of a surrogate pair, "
            "which is no character"
        )


def _tell_repeated(request: ReadRequest, captions: Sequence[Caption]) -> None:
    """Tell of captions that an image has twice in one language: each asks twice, and none is told from its double."""
    asked = (row for row in captions if row.language in request.languages)
    counts = Counter((row.image, row.language, row.text.strip()) for row in asked)
    repeated = [row for row, times in counts.items() if times > 1]
    if repeated:
        image, language, text = repeated[0]
        request.progress.note(
            f"{request.task}: captions that an image has more than once: {len(repeated):,}, such as {text[:60]!r} of "
            f"{image} in {language}: each counts as often as it is listed"
        )


def _named(
    request: ReadRequest,
    captions: Sequence[Caption],
    clusters: Mapping[str, str],
    cluster_unit: str,
    others: Sequence[str],
) -> Collection:
    """Return the collection with the name of each image in its place."""
    topics = {row.image: topic_of(row.image) for row in captions}
    images = {name: Document(document_id(request.task, IMAGE, topic, ""), name) for name, topic in topics.items()}
    queries: dict[str, list[Query]] = {language: [] for language in request.languages}
    documents: dict[str, list[Document]] = {language: [] for language in request.languages}
    judgments: dict[str, list[Judgment]] = {topic: [] for topic in topics.values()}
    of_topic = {topic: clusters.get(name, topic) for name, topic in topics.items()}
    numbers: Counter[tuple[str, str]] = Counter()
    for name, language, text in captions:
        if language not in queries:
            continue
        numbers[name, language] += 1
        topic, number = topics[name], str(numbers[name, language])
        own = f"{topic}#{number}"
        document = Document(document_id(request.task, language, topic, number), text.strip())
        queries[language].append(Query(own, document.text))
        documents[language].append(document)
        judgments[topic].append(Judgment(language, document.doc_id, 1))
        judgments[own] = [Judgment(IMAGE, images[name].doc_id, 1)]
        of_topic[own] = of_topic[topic]
    queries[IMAGE] = [Query(topic, name) for name, topic in topics.items()]
    also = [Document(document_id(request.task, IMAGE, topic_of(name), ""), name) for name in others]
    documents[IMAGE] = [*images.values(), *also]
    languages = tuple(sorted(queries))
    return Collection(
        languages=languages,
        queries={tag: tuple(queries[tag]) for tag in languages},
        documents={tag: tuple(documents[tag]) for tag in languages},
        judgments={topic: tuple(rows) for topic, rows in judgments.items()},
        clusters=of_topic,
        cluster_unit=cluster_unit,
    )


def _with_images(collection: Collection, images: Mapping[str, Image]) -> Collection:
    queries = tuple(Query(topic, images[name]) for topic, name in collection.queries[IMAGE])
    documents = tuple(Document(doc_id, images[name]) for doc_id, name in collection.documents[IMAGE])
    return replace(
        collection,
        queries={**collection.queries, IMAGE: queries},
        documents={**collection.documents, IMAGE: documents},
    )


def _checked(request: ReadRequest, names: Sequence[str], before: Mapping[str, Image | None]) -> dict[str, Image | None]:
    """Return the image of each name, None for one that cannot be decoded; tell of what is odd.

    Raises `DataError` where more than half of these and those checked `before` cannot be decoded.
    """
    assert request.images is not None
    paths = request.images.find(names)
    request.progress.start("check images", len(names))
    images: dict[str, Image | None] = {}
    faults, animated = dict[str, str](), list[str]()
    for name, checked in zip(names, check_images([paths[name] for name in names]), strict=True):
        images[name] = None if checked.fault else Image(checked.digest, checked.path)
        if checked.fault:
            faults[name] = checked.fault
        if checked.animated:
            animated.append(name)
        request.progress.advance(1)
    request.progress.finish()
    _tell(request, {**before, **images}, faults, animated)
    return images


def _tell(
    request: ReadRequest, images: Mapping[str, Image | None], faults: Mapping[str, str], animated: Sequence[str]
) -> None:
    """Tell of images that are broken, animated or there twice; raises `DataError` where more than half are broken.

    `faults` and `animated` are of those that were checked last.
    """
    task, note = request.task, request.progress.note
    n_broken = sum(image is None for image in images.values())
    for name, fault in list(faults.items())[:_MOST_NAMED]:
        note(f"{task}: {name} {fault}")
    if faults:
        name, fault = next(iter(faults.items()))
        broken = f"{task}: {n_broken:,} of {len(images):,} images cannot be used, such as {name}, which {fault}"
        if 2 * n_broken > len(images):
            raise DataError(f"{broken}: are these the images of the task?")
        note(f"warning: {broken}: left out, with their captions")
    if animated:
        note(f"{task}: only the first frame of animated images is seen ({len(animated):,}, such as {animated[0]})")
    twins = _twins([(name, image) for name, image in images.items() if image is not None])
    if twins:
        note(
            f"{task}: images that are the same file as another: {len(twins):,}, such as {twins[0][0]} and "
            f"{twins[0][1]}: they cannot be told apart, so the one that is wanted may stand behind the other"
        )


def _twins(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the names of what was there before under another name, each after that name."""
    first: dict[str, str] = {}
    return [(first[content], name) for name, content in rows if first.setdefault(content, name) != name]


def content_of(path: Path, member: str) -> bytes:
    """Return the bytes of a file, or of the `member` of a zip file, which may lie in a folder there.

    Raises `DataError` for a file that cannot be read or is damaged, and a zip file without such a member.
    """
    try:
        if not zipfile.is_zipfile(path):
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            found = [name for name in names if member and (name == member or name.endswith(f"/{member}"))]
            if not found:
                raise DataError(f"{path} holds no {member or 'named member'}, only {', '.join(names[:_MOST_MEMBERS])}")
            return archive.read(found[0])
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): replace it by the original") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
