from pathlib import Path

from mlbench.retrievers.image_text.towers import digest_towers


def test_the_digest_of_a_file_of_weights_covers_the_tokenizer_that_is_used(tmp_path: Path) -> None:
    weights, vocabulary = tmp_path / "flickr30k.pth", tmp_path / "vocab.txt"
    weights.write_bytes(b"weights")
    digests = [digest_towers(weights, None)]
    (tmp_path / "notes.txt").write_text("of no account", encoding="utf-8")
    assert digest_towers(weights, None) == digests[0]
    for words in ("a\nb\n", "b\na\n"):
        vocabulary.write_text(words, encoding="utf-8")
        digests.append(digest_towers(weights, None))
    weights.write_bytes(b"others")
    digests.append(digest_towers(weights, None))
    assert len(set(digests)) == 4

    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "vocab.txt").write_text("c\n", encoding="utf-8")
    named = digest_towers(weights, str(apart))
    vocabulary.unlink()
    assert digest_towers(weights, str(apart)) == named
