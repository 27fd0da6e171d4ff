from pathlib import Path

from mlbench.retrievers.image_text.towers import read_towers


def digest(path: Path, tokenizer: str | None = None) -> str:
    return read_towers(path, tokenizer)[1]


def test_the_digest_of_a_file_of_weights_covers_the_tokenizer_that_is_used(tmp_path: Path) -> None:
    weights, vocabulary = tmp_path / "flickr30k.pth", tmp_path / "vocab.txt"
    weights.write_bytes(b"weights")
    digests = [digest(weights)]
    (tmp_path / "notes.txt").write_text("of no account", encoding="utf-8")
    assert digest(weights) == digests[0]
    for words in ("a\nb\n", "b\na\n"):
        vocabulary.write_text(words, encoding="utf-8")
        digests.append(digest(weights))
    weights.write_bytes(b"others")
    digests.append(digest(weights))
    assert len(set(digests)) == 4

    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "vocab.txt").write_text("c\n", encoding="utf-8")
    named = digest(weights, str(apart))
    vocabulary.unlink()
    assert digest(weights, str(apart)) == named
