"""Does training text contain evaluation text? A probe made of evaluation texts scans training texts and gives findings.

All texts are folded first (see `fold`). A question or sentence hits where it is contained in a training text, hence
also where it equals it or one of its sentences; a paragraph where the text has enough of its shingles. Every evaluation
language is looked for in every training text. The other direction, a training text that is a part of an evaluation
sentence, is no hit: such texts are greetings, headings and the like, and longer ones show in the paragraphs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from mlbench.collection.records import Collection
from mlbench.protocols import SILENCE, Progress
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Task
from mlbench.training.ngrams import Sieve, fold, has_blanks, shingles, squeeze

Kind = Literal["question", "sentence", "paragraph"]
MOST_EXAMPLES = 20
"""How many hits the summary of a manifest names."""
_BLOCK_CHARACTERS = 2**20


class Origin(NamedTuple):
    """Where an evaluation text is from; `id` is that of the topic, the document, or a paragraph's first document."""

    task: str
    kind: Kind
    language: str
    id: str


class TextLocation(NamedTuple):
    """Where a training text is: in row number `row` of `dataset`, as a query, a document or a text of parallel text.

    Several texts may be in one place, such as the hard negatives of a row, which are documents.
    """

    dataset: str
    row: int
    role: Literal["query", "document", "text"]
    language: str


Group = tuple[str, str, str]
"""A dataset, a language and a role."""
Evaluation = tuple[str, Kind]
"""A task and a kind of its texts."""


class SearchedTexts(NamedTuple):
    """How many texts of a kind are looked for, and how many are too short for it."""

    texts: int
    short: int


class Hit(NamedTuple):
    """A training text that contains an evaluation text."""

    place: TextLocation
    origin: Origin


@dataclass(frozen=True)
class Threshold:
    """From where on an evaluation text counts as contained in a training text.

    Questions and sentences have at least `characters` without blanks. Of a paragraph, a `share` of the distinct
    shingles must be in one training text: stretches of `words` words, or of `stretch` characters where most of the
    paragraph is in scripts that put no blanks between words. Raises `ValueError` for what would hit everything.
    """

    characters: int = 15
    share: float = 0.5
    words: int = 13
    stretch: int = 25

    def __post_init__(self) -> None:
        if min(self.characters, self.words, self.stretch) < 1 or not 0 < self.share <= 1:
            raise ValueError("lengths must be 1 or more and the share above 0 and at most 1")


_THRESHOLD = Threshold()


def load_texts(
    task: Task, *, data_dir: Path | None = None, progress: Progress = SILENCE
) -> tuple[tuple[Origin, str], ...]:
    """Return all questions, sentences and paragraphs of `task`, in every language; raises as `load_collection` does.

    Images are among the questions and sentences: they are contained where an image of the same bytes is.
    """
    if task.kind == "image_text":
        captioned = load_collection(task, data_dir=data_dir, progress=progress)
        # A caption is a whole; one that is long and differs from another in a word is not found in it.
        texts = evaluation_texts(task.name, captioned, captioned)
        return tuple((origin, text) for origin, text in texts if origin.kind != "paragraph")
    sentences, contexts = (
        load_collection(task.model_copy(update={"document_text": text}), data_dir=data_dir, progress=progress)
        for text in ("sentence", "sentence_in_context")
    )
    return tuple(evaluation_texts(task.name, sentences, contexts))


def evaluation_texts(task: str, sentences: Collection, contexts: Collection) -> Iterator[tuple[Origin, str]]:
    """Yield the questions, sentences and paragraphs of a collection read without and with the context of its documents.

    A paragraph is the sentences that share their context, in order; a document without context is its own paragraph.
    """
    for language in sentences.languages:
        for topic, text in sentences.queries[language]:
            yield Origin(task, "question", language, topic), text
        paragraphs: dict[str, tuple[Origin, list[str]]] = {}
        for document, longer in zip(sentences.documents[language], contexts.documents[language], strict=True):
            yield Origin(task, "sentence", language, document.doc_id), document.text
            # The reader removed the newlines of both, which would glue words of the paragraph together.
            context = longer.text[len(document.text.replace("\n", "")) :] or document.doc_id
            origin = Origin(task, "paragraph", language, document.doc_id)
            paragraphs.setdefault(context, (origin, []))[1].append(document.text)
        yield from ((origin, " ".join(texts)) for origin, texts in paragraphs.values())


@dataclass(frozen=True)
class Findings:
    """What a scan found: `hits` in ascending order, each once, whatever the order of the texts.

    `scanned` counts the training texts of each group, `evaluated` the evaluation texts of each task and kind.
    `short_equal` counts the training texts that are, from beginning to end, a question or sentence too short to hit.
    """

    threshold: Threshold
    evaluated: Mapping[Evaluation, SearchedTexts]
    hits: tuple[Hit, ...]
    scanned: Mapping[Group, int]
    short_equal: int

    def rows(self) -> dict[str, frozenset[int]]:
        """Return the numbers of the rows with a hit, for each dataset that has any."""
        rows: dict[str, set[int]] = {}
        for place, _ in self.hits:
            rows.setdefault(place.dataset, set()).add(place.row)
        return {dataset: frozenset(numbers) for dataset, numbers in sorted(rows.items())}

    def counts(self) -> dict[Group, Counter[Evaluation]]:
        """Return for each group that has hits how many of its places contain a text of each task and kind."""
        distinct = {(place, origin.task, origin.kind) for place, origin in self.hits}
        counts: dict[Group, Counter[Evaluation]] = {}
        for place, task, kind in sorted(distinct):
            counts.setdefault((place.dataset, place.language, place.role), Counter())[task, kind] += 1
        return counts

    def describe(self) -> tuple[str, ...]:
        """Return lines for people: how many rows hold evaluation text, and a line for each group with hits."""
        tasks = ", ".join(sorted({task for task, _ in self.evaluated})) or "no task"
        total = sum(self.scanned.values())
        if not self.hits:
            return (f"none of {total:,} training texts contains text of {tasks}",)
        rows = ", ".join(f"{dataset} {len(numbers):,}" for dataset, numbers in self.rows().items())
        lines = [f"training text contains text of {tasks}: rows of {rows}"]
        for group, counts in self.counts().items():
            dataset, language, role = group
            found = ", ".join(f"{task} {kind} in {n:,}" for (task, kind), n in sorted(counts.items()))
            lines.append(f"{dataset}, {language}, {role}: {found} of {self.scanned[group]:,} texts")
        return tuple(lines)

    def as_json(self) -> dict[str, object]:
        """Return the summary for a manifest: threshold, counts, and at most 20 hits as examples; no evaluation text."""
        return {
            "threshold": asdict(self.threshold),
            "evaluation": [
                {"task": task, "kind": kind, **looked._asdict()}
                for (task, kind), looked in sorted(self.evaluated.items())
            ],
            "texts": sum(self.scanned.values()),
            "short_equal": self.short_equal,
            "hits": len(self.hits),
            "rows": {dataset: len(numbers) for dataset, numbers in self.rows().items()},
            "counts": [
                {"dataset": dataset, "language": language, "role": role, "task": task, "kind": kind, "texts": n}
                for (dataset, language, role), counts in self.counts().items()
                for (task, kind), n in sorted(counts.items())
            ],
            "examples": [{**hit.origin._asdict(), "place": hit.place._asdict()} for hit in self.hits[:MOST_EXAMPLES]],
        }


@dataclass(frozen=True)
class Probe:
    """Evaluation texts made ready to be found; those that are equal after folding are looked for once.

    `strings` are the squeezed questions and sentences, `paragraphs` the folded paragraphs, each with its origins.
    """

    threshold: Threshold
    strings: Mapping[str, Sequence[Origin]]
    paragraphs: Mapping[str, Sequence[Origin]]
    short_texts: frozenset[str]
    evaluated: Mapping[Evaluation, SearchedTexts]

    @classmethod
    def of(cls, texts: Iterable[tuple[Origin, str]], *, threshold: Threshold = _THRESHOLD) -> "Probe":
        """Return the probe of evaluation texts, of several tasks if need be (see `load_texts`); none find nothing."""
        strings: dict[str, list[Origin]] = {}
        paragraphs: dict[str, list[Origin]] = {}
        short_texts: set[str] = set()
        evaluated: dict[Evaluation, SearchedTexts] = {}
        for origin, text in texts:
            folded = fold(text)
            if origin.kind == "paragraph":
                home, key, long = paragraphs, folded, _has_shingles(folded, threshold)
            else:
                home, key, long = strings, squeeze(folded), len(squeeze(folded)) >= threshold.characters
            if long:
                home.setdefault(key, []).append(origin)
            elif home is strings:
                short_texts.add(key)
            before = evaluated.get((origin.task, origin.kind), SearchedTexts(0, 0))
            evaluated[origin.task, origin.kind] = SearchedTexts(before.texts + long, before.short + (not long))
        return cls(threshold, strings, paragraphs, frozenset(short_texts - {""}), evaluated)

    def scan(self, texts: Iterable[tuple[TextLocation, str]], *, block: int = _BLOCK_CHARACTERS) -> Findings:
        """Return what training `texts` contain, read once and held in blocks of about `block` characters."""
        hits: set[Hit] = set()
        scanned: Counter[Group] = Counter()
        short_equal = 0
        for places, folded in _blocks(texts, block):
            squeezed = [squeeze(text) for text in folded]
            scanned.update((place.dataset, place.language, place.role) for place in places)
            short_equal += sum(text in self.short_texts for text in squeezed)
            for text, origins in (*self._strings_in(squeezed), *self._paragraphs_in(folded, squeezed)):
                hits.update(Hit(places[text], origin) for origin in origins)
        return Findings(self.threshold, self.evaluated, tuple(sorted(hits)), scanned, short_equal)

    @cached_property
    def _string_sieve(self) -> Sieve:
        return Sieve(((string,) for string in self.strings), self.threshold.characters, 1.0)

    @cached_property
    def _paragraph_sieve(self) -> Sieve:
        groups = ({squeeze(each) for each in self._shingles(text, has_blanks(text))} for text in self.paragraphs)
        # A word has a character at least, so that no shingle is shorter.
        return Sieve(groups, min(self.threshold.words, self.threshold.stretch), self.threshold.share)

    def _strings_in(self, squeezed: Sequence[str]) -> Iterator[tuple[int, Sequence[Origin]]]:
        known = list(self.strings.items())
        for text, number in self._string_sieve.candidates(squeezed):
            if known[number][0] in squeezed[text]:
                yield text, known[number][1]

    def _paragraphs_in(self, folded: Sequence[str], squeezed: Sequence[str]) -> Iterator[tuple[int, Sequence[Origin]]]:
        known = list(self.paragraphs.items())
        for text, number in self._paragraph_sieve.candidates(squeezed):
            paragraph, origins = known[number]
            of_words = has_blanks(paragraph)
            own = self._shingles(paragraph, of_words)
            if len(own & self._shingles(folded[text], of_words)) >= self.threshold.share * len(own):
                yield text, origins

    def _shingles(self, folded: str, of_words: bool) -> frozenset[str]:
        length = self.threshold.words if of_words else self.threshold.stretch
        return shingles(folded, length, of_words=of_words)


def _has_shingles(folded: str, threshold: Threshold) -> bool:
    if has_blanks(folded):
        return len(folded.split()) >= threshold.words
    return len(squeeze(folded)) >= threshold.stretch


def _blocks(texts: Iterable[tuple[TextLocation, str]], size: int) -> Iterator[tuple[list[TextLocation], list[str]]]:
    """Yield places and folded texts in lists that end where `size` characters are reached; no text, no list."""
    places: list[TextLocation] = []
    folded: list[str] = []
    held = 0
    for place, text in texts:
        places.append(place)
        folded.append(fold(text))
        held += len(folded[-1])
        if held >= size:
            yield places, folded
            places, folded, held = [], [], 0
    if places:
        yield places, folded
