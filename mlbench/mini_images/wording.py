"""Says what an image shows, in 11 languages."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlbench.mini_images.combinations import COLOURS, Combination

Words = tuple[str, ...]


def unchanging(*words: str) -> dict[str, Words]:
    """Return a language's words for `COLOURS`, in their order, as words of one form."""
    return {colour: (word,) for colour, word in zip(COLOURS, words, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """How a language says that there are so many shapes of a colour.

    Each noun has a class, its gender or the word that counts it, and a form for each number that the language tells
    apart. `forms` says which form stands after 1, 2, 3 and 4; `orders` how the words follow each other in each form.
    `agreement` says for a class which of a colour's words stands with each form; a colour of one word never changes.
    """

    forms: tuple[int, int, int, int]
    orders: Words
    numerals: Mapping[str, Words]
    shapes: Mapping[str, Words]
    colours: Mapping[str, Words]
    agreement: Mapping[str, tuple[int, ...]]

    def say(self, combination: Combination) -> str:
        """Return the caption of a combination."""
        kind, *nouns = self.shapes[combination.shape]
        form = self.forms[combination.count - 1]
        colour = self.colours[combination.colour]
        return self.orders[form].format(
            number=self.numerals[kind][combination.count - 1],
            kind=kind,
            colour=colour[self.agreement[kind][form]] if len(colour) > 1 else colour[0],
            shape=nouns[form],
        )
