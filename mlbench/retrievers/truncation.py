"""Which texts a model cuts off at its longest input, found by tokenising them without that limit."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
CountTokens = Callable[..., Integers]
"""Returns how many tokens each text has, int64 (texts,), with special tokens and the prompt.

It takes a sequence of texts, or two of them, of which each pair is read together.
"""
_BLOCK = 4096
# Tokens of texts that are tokenised together, padding included.
_CELLS = 2**21
# Normalizers that bring a text into one of the forms of `most_bytes`.
_NORMALIZERS = {"BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"}
_NORMALIZERS |= {"Strip", "StripAccents"}
_MODELS = {"BPE", "Unigram", "WordLevel", "WordPiece"}
# What makes blanks parts of tokens, and may put one before each piece; and what cuts texts at blanks alone.
_KEEPING_BLANKS = {"ByteLevel", "Metaspace"}
_AT_BLANKS = {"Whitespace", "WhitespaceSplit"}


class TokenLimit:
    """The longest input of a model in one role, and which texts are longer.

    `cut` counts the tokens of texts as the model reads them, `whole` counts them without its limit, and is None where
    nothing can. `stated` is the limit that the model states, None where it states none. `tokenizer` and `prompt` are
    what makes the tokens, where texts of few bytes need not be tokenised; without a `tokenizer` all are. A model that
    reads pairs has 2 `columns` of texts.
    """

    def __init__(
        self,
        cut: CountTokens,
        whole: CountTokens | None,
        stated: int | None,
        *,
        tokenizer: "Tokenizer | None" = None,
        prompt: str = "",
        columns: int = 1,
    ) -> None:
        self._cut, self._whole, self._stated, self._prompt = cut, whole or cut, stated, prompt
        self._columns = columns
        self._per_byte = None if tokenizer is None else tokens_per_byte(tokenizer)

    @cached_property
    def tokens(self) -> int | None:
        """After how many tokens a text is cut off, special tokens and the prompt included; None where none is."""
        return None if self._probed is None or self._probed[0] == self._probed[1] else self._probed[0]

    def exceeded_by(self, *columns: Sequence[str]) -> Booleans | None:
        """Return for each text, or pair of two columns, whether it is cut off, bool (texts,); None if none can tell.

        The answer is a function of the text alone.
        """
        if self._probed is None:
            return None
        found = np.zeros(len(columns[0]), dtype=np.bool_)
        limit = self.tokens
        if limit is None:
            return found
        for start in range(0, len(found), _BLOCK):
            block = [texts[start : start + _BLOCK] for texts in columns]
            sizes = np.sum([most_bytes(texts) for texts in block], axis=0)
            for rows in _batches(np.flatnonzero(sizes > self._room), sizes):
                found[start + rows] = self._whole(*([texts[row] for row in rows] for texts in block)) > limit
        return found

    @cached_property
    def _room(self) -> int:
        """How many bytes the longest form of a text may have that need not be tokenised; -1 where all must be."""
        if self._per_byte is None or self.tokens is None:
            return -1
        # Special tokens, and blanks that normalizer and pre-tokenizer may put in front.
        rest = self.tokens - int(self._whole(*[["a"]] * self._columns)[0]) - 2 * self._columns
        return rest // self._per_byte - int(most_bytes([self._prompt])[0])

    @cached_property
    def _probed(self) -> tuple[int, int] | None:
        """The tokens of a text that is too long, as they are read and in all; None where they cannot be counted."""
        if self._stated is None:
            return (0, 0)
        probe = [["a " * (2 * self._stated)]] * self._columns
        try:
            cut, whole = int(self._cut(*probe)[0]), int(self._whole(*probe)[0])
        except Exception:  # The code of a checkpoint may not know the options, and fail in any way.
            return None
        # A model that ignores the options of `whole` cuts the text there too.
        return None if cut == whole <= self._stated else (cut, whole)


def tokens_per_byte(tokenizer: "Tokenizer") -> int | None:
    """Return how many tokens a byte of a text's longest form can become, special tokens and a blank in front apart.

    It is one, or two where blanks are put between pieces of words; None where it cannot be told.
    """
    normalizers = _parts(tokenizer.normalizer, "normalizers")
    cutters = _parts(tokenizer.pre_tokenizer, "pretokenizers")
    of_bytes = any(part["type"] == "ByteLevel" for part in (*normalizers, *cutters))
    longest = max((_bytes_put_in(part, of_bytes=of_bytes) for part in normalizers), default=0)
    if type(tokenizer.model).__name__ not in _MODELS or longest > 1:
        return None
    prefixing = [place for place, part in enumerate(cutters) if _puts_blanks(part)]
    at_blanks = all(part["type"] in _AT_BLANKS for part in cutters[: max(prefixing, default=0)])
    # Around Chinese characters, where blanks are parts of tokens.
    spaced = any(part.get("handle_chinese_chars") for part in normalizers) and any(
        part["type"] in _KEEPING_BLANKS for part in cutters
    )
    return 1 if at_blanks and not spaced else 2


def _parts(component: "Normalizer | PreTokenizer | None", name: str) -> list[dict[str, object]]:
    """Return the parts of a component of a tokenizer, which is None, one part, or a sequence of parts."""

    def flat(state: dict[str, object]) -> Iterator[dict[str, object]]:
        inner = state.get(name) if state["type"] == "Sequence" else None
        yield from (part for each in inner for part in flat(each)) if isinstance(inner, list) else (state,)

    return [] if component is None else list(flat(json.loads(component.__getstate__())))


def _bytes_put_in(normalizer: Mapping[str, object], *, of_bytes: bool) -> int:
    """Return how many tokens that a normalizer puts in may become, in front of a text or in place of a character.

    A character is one token, or where tokens are `of_bytes` as many as it has bytes.
    """
    if normalizer["type"] in ("Prepend", "Replace"):
        content = str(normalizer.get("content", normalizer.get("prepend")))
        return len(content.encode()) if of_bytes else len(content)
    return 0 if normalizer["type"] in _NORMALIZERS else 2


def _puts_blanks(cutter: Mapping[str, object]) -> bool:
    return cutter["type"] in _KEEPING_BLANKS and bool(cutter.get("add_prefix_space", True))


def most_bytes(texts: Sequence[str]) -> Integers:
    """Return how many bytes each text has in its longest form, int64 (texts,).

    The forms are those into which tokenizers bring a text before they cut it: case folding and Unicode normalization,
    which turn a ligature into as many as 18 letters. As no token is less than a byte, they limit the tokens.
    """
    joined = "".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    bytes_of = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.uint8)
    for character in set(joined):
        bytes_of[ord(character)] = _longest_form(character)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(bytes_of[codes], dtype=np.int64)))
    sizes: Integers = np.diff(sums[np.concatenate((np.zeros(1, np.int64), ends))])
    return sizes


@cache
def _longest_form(character: str) -> int:
    """Return the bytes of the longest form of a character."""
    cased = (character, character.lower(), character.casefold())
    forms = (normalize(form, text) for text in cased for form in ("NFC", "NFD", "NFKC", "NFKD"))
    return max(len(text.encode("utf-8", "surrogatepass")) for text in (*cased, *forms))


def _batches(rows: Integers, sizes: Integers) -> Iterator[Integers]:
    """Cut rows, the shortest first, into batches of few cells, however long the longest is."""
    rows = rows[np.argsort(sizes[rows], kind="stable")]
    while len(rows):
        cells = sizes[rows] * np.arange(1, len(rows) + 1)
        n_rows = max(int(np.searchsorted(cells, _CELLS, side="right")), 1)
        yield rows[:n_rows]
        rows = rows[n_rows:]
