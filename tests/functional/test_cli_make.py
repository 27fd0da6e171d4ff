from pathlib import Path

import pytest

from mlbench.cli import call


def test_make_draws_both_parts_and_refuses_to_draw_over_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "own folder"
    command = ["tasks", "make", "mini-images", str(folder), "--drawings", "1"]
    assert call(command) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"'{folder}/test': 64 images for evaluation, captioned in 11 languages",
        f"'{folder}/train': 192 images for training, captioned in 11 languages",
    ]
    assert shown.err.startswith("draw: 256 images in ")
    assert call(["tasks", "check", str(folder / "train")]) == 0
    assert "192 clusters (combination)" in capsys.readouterr().out
    assert call(command) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mini-pictures", "DIR"], "'mini-pictures' is not 'mini-images'"),
        (["mini-images", "DIR", "--seed", "0"], "0 is not in the range"),
        (["mini-images", "DIR", "--drawings", "0"], "0 is not in the range"),
        (["mini-images"], "Missing argument 'DIR'"),
    ],
)
def test_make_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["tasks", "make", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
