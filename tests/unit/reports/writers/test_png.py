import sys

import pytest

from mlbench.errors import MissingExtra
from mlbench.reports.documents.result import results_report
from mlbench.reports.writers.png import write_png
from mlbench.results import Result


def png_report(result: Result, *, measure: str | None = None) -> bytes:
    return write_png(results_report([result], measure=measure))


def chunks(png: bytes) -> list[bytes]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(png):
        length = int.from_bytes(png[place : place + 4])
        found.append(png[place + 4 : place + 8])
        place += 12 + length
    return found


def test_the_same_result_gives_the_same_bytes(small: Result) -> None:
    first = png_report(small)
    assert first == png_report(small)
    assert set(chunks(first)) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_the_settings_of_the_user_do_not_matter(small: Result) -> None:
    import matplotlib

    first = png_report(small)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 10}):
        assert png_report(small) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_another_measure_is_another_figure(small: Result) -> None:
    assert png_report(small, measure="R@1") != png_report(small)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$x^{$", r"\frac{a}", "模型", "a" * 200])
def test_a_name_is_a_name(small: Result, name: str) -> None:
    spoiled = small.model_copy(update={"retriever": small.retriever.model_copy(update={"spec": name})})
    assert chunks(png_report(spoiled))[-1] == b"IEND"


def test_without_matplotlib_it_says_what_to_install(small: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"PNG figures need: pip install 'mlbench\[plot\]'"):
        png_report(small)
