"""The command line as a user meets it: a process of its own, in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LANGUAGES = ("de", "en", "es")


@dataclass(frozen=True)
class Done:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m mlbench` in `folder`, with a cache in it."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "MLBENCH_CACHE": str(self.cache), **(changes or {})}

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def __call__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=240,
            check=False,
            preexec_fn=before,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def result(self, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run `mlbench run ... --json` and return the document; the run must succeed."""
        done = self("run", "-q", "--json", *arguments, environment=environment)
        assert done.code == 0, done.err
        document: dict[str, Any] = json.loads(done.out)
        return document


def own_task(folder: Path, topics: int = 6, languages: tuple[str, ...] = LANGUAGES) -> Path:
    """Write a small collection in the bring-your-own format: two documents for each topic, the first relevant."""
    folder.mkdir(parents=True)
    for language in languages:
        queries = [{"id": f"t{n}", "text": f"{language} wonders what item {n * 7919} is"} for n in range(topics)]
        documents = [
            {"id": f"d{n}-{kind}", "text": f"{language}: {kind} {n * 7919} of {number}"}
            for n in range(topics)
            for number, kind in enumerate(("item", "thing"))
        ]
        for name, rows in (("queries", queries), ("documents", documents)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.{language}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"t{n}\t0\td{n}-item\t1\n" for n in range(topics)), encoding="utf-8")
    return folder


def tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write a BERT of one layer with random weights that reads bytes, without torch."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(vocabulary)}, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "model_max_length": 64}))
    sizes = {"vocab_size": len(vocabulary), "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 64}
    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "model_type": "bert", "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps({**sizes, **layers}))
    randomise(folder, seed)
    return folder


def randomise(folder: Path, seed: int) -> None:
    """Draw every weight of a tiny checkpoint anew, in place."""
    draw = np.random.RandomState(seed)
    words = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    shapes = {"embeddings.word_embeddings": (words, 16), "embeddings.position_embeddings": (64, 16)}
    shapes |= {"embeddings.token_type_embeddings": (2, 16), "encoder.layer.0.intermediate.dense": (32, 16)}
    shapes |= {f"encoder.layer.0.attention.self.{name}": (16, 16) for name in ("query", "key", "value")}
    shapes |= {"encoder.layer.0.attention.output.dense": (16, 16), "encoder.layer.0.output.dense": (16, 32)}
    weights = {f"{name}.weight": draw.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items() if "layer" in name}
    for name in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        weights |= {f"{name}.LayerNorm.weight": np.ones(16, np.float32)}
        weights |= {f"{name}.LayerNorm.bias": np.zeros(16, np.float32)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
