"""The libraries that decode, tokenise and compute, and their versions."""

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = {
    "PIL": "pillow",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "einops": "einops",
    "faiss": "faiss-cpu",
    "flash_attn": "flash-attn",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "openvino": "openvino",
    "peft": "peft",
    "pillow_heif": "pillow-heif",
    "safetensors": "safetensors",
    "sentence_transformers": "sentence-transformers",
    "sentencepiece": "sentencepiece",
    "tiktoken": "tiktoken",
    "timm": "timm",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
}
"""What each library is installed as, by the name under which it is imported."""


def versions_installed(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries, given by what they are installed as; those that are not installed are missing.

    Nothing is imported, and the answer does not depend on what has been.
    """
    return {name: found for name in libraries if (found := _version(name)) is not None}


def versions_imported() -> dict[str, str]:
    """Return the versions of those of the `LIBRARIES` that this process has imported: others had no part in a run."""
    return versions_installed(name for module, name in LIBRARIES.items() if module in sys.modules)


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
