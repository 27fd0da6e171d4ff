"""What is known of a language: its names, its script, its family, and how much text there is in it.

Names and scripts are those of CLDR, by langcodes. Families are those of Glottolog, and levels of resources follow from
the words of web text in FineWeb-2; both stand in `language_groups.tsv`, which says where its rows come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal, get_args

from mlbench.collection.languages import check_language, is_language

Grouping = Literal["resources", "script", "family"]
GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)
"""What languages are grouped by."""
LEVELS: Final = ("high", "medium", "low")
"""Levels of resources: at least a thousand million words of web text, at least ten million, and less."""
UNKNOWN: Final = "unknown"
"""The group of a language of which nothing is known."""
# CLDR calls them Simplified and Traditional, which say nothing where no language stands beside them.
_SCRIPTS: Final = {"Hans": "Han", "Hant": "Han"}


@dataclass(frozen=True, slots=True)
class LanguageInfo:
    """What is known of the language that `tag` stands for.

    `name` is in English and `own_name` in the language itself: either is the tag where no other is known. `script` and
    `family` are `UNKNOWN` where they are not known, and `resources` is one of `LEVELS`, or `UNKNOWN` for what is no tag
    of a registered language.
    """

    tag: str
    name: str
    own_name: str
    script: str = UNKNOWN
    family: str = UNKNOWN
    resources: str = UNKNOWN

    def group(self, grouping: Grouping) -> str:
        """Return the group that the language is in."""
        return {"resources": self.resources, "script": self.script, "family": self.family}[grouping]


@cache
def language_info(tag: str) -> LanguageInfo:
    """Return what is known of a language; of what is no tag of a registered language, nothing but the tag itself."""
    # Late: their tables take tens of milliseconds to read.
    import langcodes

    if not is_language(tag) or not langcodes.tag_is_valid(tag):
        return LanguageInfo(tag, tag, tag)
    canonical = check_language(tag)
    language, table = langcodes.Language.get(tag), _groups()
    likely = language.maximize()
    script = _SCRIPTS.get(str(likely.script)) or (likely.script_name() if likely.script else UNKNOWN)
    level = next((level for level, tags in zip(LEVELS, table["words"].values(), strict=False) if canonical in tags), "")
    code = canonical.partition("-")[0]
    family = next((name for name, codes in table["family"].items() if code in codes), UNKNOWN)
    name = language.display_name()
    return LanguageInfo(tag, name, language.autonym() or name, script, family, level or LEVELS[-1])


@cache
def _groups() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Return the tags of each family, and those of each level of resources but the lowest."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    text = files("mlbench.collection").joinpath("language_groups.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, name, tags = line.split("\t")
            found.setdefault(kind, {})[name] = frozenset(tags.split())
    return found
