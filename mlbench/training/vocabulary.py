"""Subwords of a static encoder: learned from the training texts, and the texts as memory-mapped subwords."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from mlbench.io.cache import kept_folder
from mlbench.protocols import SILENCE, Progress
from mlbench.training.cropping import Floats
from mlbench.training.index import Ints
from mlbench.training.rows import DatasetRows

UNKNOWN = "[UNK]"
_FORMAT = "3"
_LONGEST_PIECE = 16
_BLOCK_TEXTS = 10_000
_TOKENIZER = "tokenizer.json"
_FREQUENCIES = "frequencies.npy"


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as subwords: those of text i are `ids[starts[i]:starts[i + 1]]`, int32 and int64 (texts + 1,)."""

    ids: NDArray[np.int32]
    starts: Ints

    def bags(self, numbers: Ints, spans: Floats) -> tuple[Ints, Ints]:
        """Return the subwords of the texts with these numbers, cut to `spans` (n, 2), one after the other.

        Returns ids, int64, and where each text begins, int64 (n,). A text keeps at least one subword.
        """
        first, size = self.starts[numbers], self.starts[numbers + 1] - self.starts[numbers]
        start = np.minimum(np.rint(spans[:, 0] * size).astype(np.int64), size - 1)
        end = np.maximum(np.rint(spans[:, 1] * size).astype(np.int64), start + 1)
        kept = end - start
        offsets = np.cumsum(kept) - kept
        places = np.arange(kept.sum()) - np.repeat(offsets - (first + start), kept)
        return self.ids[places].astype(np.int64), offsets

    def frequencies(self, numbers: Ints, n_pieces: int) -> Ints:
        """Return in how many of the texts with these numbers each subword is, int64 (n_pieces,)."""
        counts = np.zeros(n_pieces, np.int64)
        for first in range(0, len(numbers), _BLOCK_TEXTS):
            block = numbers[first : first + _BLOCK_TEXTS]
            ids, offsets = self.bags(block, np.tile([0.0, 1.0], (len(block), 1)))
            text = np.repeat(np.arange(len(block)), np.diff(np.append(offsets, len(ids))))
            counts += np.bincount(np.unique(text * n_pieces + ids) % n_pieces, minlength=n_pieces)
        return counts


@dataclass(frozen=True, eq=False)
class SubwordVocabulary:
    """The subwords, and all texts of some data sets in them, by the name of the data set.

    `frequencies`, int64 (pieces,), says in how many of the texts they were learned from each is, of `n_texts`.
    """

    tokenizer: Tokenizer
    tokens: dict[str, Tokens]
    frequencies: Ints
    n_texts: int


def learn_vocabulary(
    training: Sequence[tuple[DatasetRows, Ints]],
    also: Sequence[DatasetRows],
    pieces: int,
    *,
    progress: Progress = SILENCE,
) -> SubwordVocabulary:
    """Learn subwords from the texts with the given numbers, and cut the texts of these and of `also` into them.

    It is done once for the same texts and kept in the cache folder. Raises `DataError` where that cannot be written.
    """
    every = [rows for rows, _ in training] + list(also)
    used = [sha256(numbers.astype("<i8").tobytes()).hexdigest() for _, numbers in training]
    parts = [_FORMAT, str(pieces), *(rows.content for rows in every), *used]
    name = f"subwords-{sha256(' '.join(parts).encode()).hexdigest()[:16]}"
    folder = kept_folder(name, lambda made: _write(training, every, pieces, made, progress), last=_TOKENIZER)
    tokens = {rows.name: _open(folder, number) for number, rows in enumerate(every)}
    frequencies = np.load(folder / _FREQUENCIES)
    n_texts = sum(len(numbers) for _, numbers in training)
    return SubwordVocabulary(Tokenizer.from_file(str(folder / _TOKENIZER)), tokens, frequencies, n_texts)


def learn_tokenizer(texts: Iterable[str], pieces: int) -> Tokenizer:
    """Return at most `pieces` subwords by byte-pair encoding (Sennrich et al. 2016), on text in NFKC and lower case.

    They are more only where the texts have more different characters. Punctuation marks are kept apart; words, or whole
    stretches of scripts without blanks, are cut by the model. The same texts in the same order give the same subwords:
    a unigram model of this library would not, and takes ten times as long.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("isolated"), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=[UNKNOWN], max_token_length=_LONGEST_PIECE, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _write(
    training: Sequence[tuple[DatasetRows, Ints]],
    every: Sequence[DatasetRows],
    pieces: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Write the tokenizer and all texts cut by it into `folder`."""
    # How long it takes once all texts are read is not known.
    progress.start("learn subwords", 0)
    texts = (text for rows, numbers in training for text in read_texts(rows, numbers, progress))
    tokenizer = learn_tokenizer(texts, pieces)
    progress.start("cut texts", sum(len(rows.texts) for rows in every))
    for number, rows in enumerate(every):
        _tokenise(tokenizer, read_texts(rows, np.arange(len(rows.texts)), progress), folder, number)
    progress.finish()
    size = tokenizer.get_vocab_size()
    counts = [_open(folder, number).frequencies(numbers, size) for number, (_, numbers) in enumerate(training)]
    np.save(folder / _FREQUENCIES, np.sum(counts, axis=0))
    tokenizer.save(str(folder / _TOKENIZER))


def read_texts(rows: DatasetRows, numbers: Ints, progress: Progress) -> Iterator[str]:
    """Yield the texts with these numbers, in their order, some thousand of them in memory."""
    for first in range(0, len(numbers), _BLOCK_TEXTS):
        block = numbers[first : first + _BLOCK_TEXTS]
        yield from rows.read(block)
        progress.advance(len(block))


def _tokenise(tokenizer: Tokenizer, texts: Iterator[str], folder: Path, number: int) -> None:
    """Write the subwords of the texts of data set `number`; a text without subwords gets the unknown one."""
    unknown = tokenizer.get_vocab()[UNKNOWN]
    sizes = [np.zeros(1, np.int64)]
    with (folder / f"{number}.ids").open("wb") as file:
        while block := list(islice(texts, _BLOCK_TEXTS)):
            encoded = tokenizer.encode_batch_fast(block, add_special_tokens=False)
            ids = [found.ids or [unknown] for found in encoded]
            sizes.append(np.fromiter(map(len, ids), np.int64, len(ids)))
            np.fromiter(chain.from_iterable(ids), np.int32).tofile(file)
    np.save(folder / f"{number}.starts.npy", np.cumsum(np.concatenate(sizes)))


def _open(folder: Path, number: int) -> Tokens:
    starts = np.load(folder / f"{number}.starts.npy", mmap_mode="r")
    return Tokens(np.memmap(folder / f"{number}.ids", np.int32, "r"), starts)
