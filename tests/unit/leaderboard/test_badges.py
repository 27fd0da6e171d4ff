"""Pictures that say what is known of an entry."""

import xml.etree.ElementTree as ElementTree
from typing import get_args

import pytest

from mlbench.leaderboard.audit import STATUSES, Status, badge

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("status", get_args(Status))
def test_a_badge_says_its_status_in_words_and_to_screen_readers(status: Status) -> None:
    picture = ElementTree.fromstring(badge(status))
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["leaderboard", status]
    assert picture.get("aria-label") == f"leaderboard: {status}"
    # Nothing stands outside of the picture.
    for part in picture:
        length = part.get("width") or part.get("textLength")
        assert float(part.get("x", "0")) + float(str(length)) <= float(str(picture.get("width")))


def test_a_failed_audit_does_not_look_like_a_passed_one() -> None:
    colours = {status: {part.get("fill") for part in ElementTree.fromstring(badge(status))} for status in STATUSES}
    assert len({frozenset(map(str, found)) for found in colours.values()}) == len(STATUSES)
