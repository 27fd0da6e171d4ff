"""Rows of adapters on a base, of static models, and of graphs in place of weights."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from unit.retrievers.checkpoint_rows import NO_POOLING, TEXTS, Floats, Row
from unit.retrievers.library_checkpoints import LIBRARY, bert, by_library, late_by_library, sparse_by_library

PEFT, MODEL2VEC, ONNX = "peft, merged by hand", "model2vec", "ONNX Runtime"
LAYERS = ["query", "value"]
ONNX_FILE = "onnx/model.onnx"
NO_WEIGHTS = "no weights for torch"


def disturb(model: Any) -> None:
    """Give what was trained other values than those that change nothing."""
    import torch

    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad or any(part in name for part in ("lora_", "hada_", "ia3_")):
                parameter.add_(torch.randn_like(parameter) * 0.2)


def base_of(folder: Path) -> Path:
    """Return where the base of the adapter in `folder` is."""
    return folder.with_name(f"{folder.name}-base")


def adapter(configuration: Callable[[Any], Any], **changes: Any) -> Callable[[Path], None]:
    """Return what writes a plain BERT and an adapter of peft alone, whose configuration then gets `changes`."""

    def save(folder: Path) -> None:
        import peft
        import transformers

        base = bert(base_of(folder))
        model = peft.get_peft_model(transformers.AutoModel.from_pretrained(base), configuration(peft))
        disturb(model)
        model.save_pretrained(folder)
        path = folder / "adapter_config.json"
        near = {"base_model_name_or_path": f"../{base.name}"}
        path.write_text(json.dumps(json.loads(path.read_text()) | near | changes))

    return save


def merged(folder: Path, texts: Sequence[str]) -> Floats:
    """Return the mean states of each text alone, with the adapter merged into its base."""
    import peft
    import torch
    import transformers

    base = base_of(folder)
    model = peft.PeftModel.from_pretrained(transformers.AutoModel.from_pretrained(base), folder).merge_and_unload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    with torch.inference_mode():
        return np.stack([model.eval()(**tokenizer(text, return_tensors="pt"))[0][0].mean(dim=0) for text in texts])


def by(name: str, auto: str = "AutoModel") -> Callable[[Path], None]:
    """Return what writes a model of a class of the library with an adapter, as the library saves it."""

    def save(folder: Path) -> None:
        import peft
        import sentence_transformers

        model = getattr(sentence_transformers, name)(str(bert(base_of(folder), auto)), device="cpu")
        model.add_adapter(peft.LoraConfig(r=4, target_modules=LAYERS))
        disturb(model[0])
        model.save(str(folder))

    return save


def lora(peft: Any) -> Any:
    """Return the configuration of a small LoRA adapter."""
    return peft.LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS)


def without_a_layer(folder: Path) -> None:
    """Write an adapter that lacks the tensors of a layer."""
    from safetensors.numpy import load_file, save_file

    adapter(lora)(folder)
    path = folder / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(path).items() if "layer.1" not in name}, path)


def peft_row(name: str, configuration: Callable[[Any], Any]) -> Row:
    """Return the row of an adapter of peft alone on a plain BERT."""
    return Row(name, adapter(configuration), merged, library=PEFT, pooled="mean", warning=NO_POOLING)


ADAPTERS = (
    peft_row("LoRA, of peft alone", lora),
    peft_row(
        "LoRA, rank-stabilised, with biases",
        lambda p: p.LoraConfig(r=4, use_rslora=True, bias="lora_only", target_modules=LAYERS),
    ),
    peft_row(
        "LoRA, word embeddings saved whole",
        lambda p: p.LoraConfig(r=4, target_modules=LAYERS, modules_to_save=["word_embeddings"]),
    ),
    peft_row("DoRA", lambda p: p.LoraConfig(r=4, use_dora=True, target_modules=LAYERS)),
    peft_row("IA3", lambda p: p.IA3Config(target_modules=[*LAYERS, "dense"], feedforward_modules=["dense"])),
    peft_row("LoHa", lambda p: p.LoHaConfig(r=4, target_modules=LAYERS)),
    Row("LoRA, saved by Sentence Transformers", by("SentenceTransformer"), by_library, library=LIBRARY, pooled="mean"),
    Row(
        "LoRA of a sparse encoder",
        by("SparseEncoder", "AutoModelForMaskedLM"),
        sparse_by_library,
        library=LIBRARY,
        opened="sparse",
    ),
    Row(
        "LoRA of a late-interaction encoder", by("MultiVectorEncoder"), late_by_library, library=LIBRARY, opened="late"
    ),
    Row("LoRA of a classifier", adapter(lora, task_type="SEQ_CLS"), refusal="let it re-rank"),
    Row(
        "prompt tuning",
        adapter(lora, peft_type="PROMPT_TUNING"),
        refusal="an adapter of type PROMPT_TUNING is not put on",
    ),
    Row(
        "adapter without its base",
        adapter(lora, base_model_name_or_path="/gone"),
        refusal="the base of the adapter is missing",
    ),
    Row("adapter that lacks a layer", without_a_layer, refusal="the adapter does not fit its base: it lacks"),
)


def words() -> Tokenizer:
    """Return a tokenizer of whole words that does not know the last text."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(TEXTS[:-1], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    return tokenizer


def model2vec(dtype: type = np.float32, *, shared: bool = False) -> Callable[[Path], None]:
    """Return what writes a model of model2vec; where `shared`, several words have one row and a factor of their own."""

    def save(folder: Path) -> None:
        from model2vec import StaticModel

        random, tokenizer = np.random.RandomState(1), words()
        size = tokenizer.get_vocab_size()
        rows = np.rint(random.normal(0, 30, (5 if shared else size, 8))).astype(dtype)
        options: dict[str, Any] = {}
        if shared:
            options = {"token_mapping": random.randint(0, 5, size), "weights": random.uniform(0.5, 2, size)}
        StaticModel(rows, tokenizer, **options).save_pretrained(folder)

    return save


def by_model2vec(folder: Path, texts: Sequence[str]) -> Floats:
    """Encode with model2vec."""
    from model2vec import StaticModel

    return unit(StaticModel.from_pretrained(folder).encode(list(texts)))


def static(folder: Path) -> None:
    """Write a StaticEmbedding of the library."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(1)
    SentenceTransformer(modules=[StaticEmbedding(words(), embedding_dim=8)], device="cpu").save(str(folder))


def unit(vectors: Floats) -> Floats:
    """Return rows with norm 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


STATIC = (
    Row(
        "StaticEmbedding", static, lambda f, t: unit(by_library(f, t)), library=LIBRARY, opened="static", pooled="mean"
    ),
    Row("model2vec", model2vec(), by_model2vec, library=MODEL2VEC, opened="static", pooled="mean"),
    Row("model2vec, int8", model2vec(np.int8), by_model2vec, library=MODEL2VEC, opened="static", pooled="mean"),
    Row(
        "model2vec, shared rows with factors",
        model2vec(shared=True),
        by_model2vec,
        library=MODEL2VEC,
        opened="static",
        pooled="mean",
    ),
)


@cache
def graph() -> bytes:
    """Return a small BERT as a graph of ONNX."""
    from sentence_transformers import SentenceTransformer

    from mlbench.retrievers.backends import export_graph, watch_call

    with TemporaryDirectory() as place:
        model = SentenceTransformer(str(bert(Path(place) / "bert")), device="cpu")
        export_graph(model, watch_call(model), Path(place) / "model.onnx")
        return (Path(place) / "model.onnx").read_bytes()


def with_onnx(folder: Path) -> None:
    """Write the configuration and the tokenizer of a BERT, and its graph."""
    bert(folder)
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / ONNX_FILE).write_bytes(graph())


def with_openvino(folder: Path) -> None:
    """Write the same with a graph of OpenVINO."""
    import openvino

    from mlbench.retrievers.backends import _core

    with_onnx(folder)
    path = folder / ONNX_FILE
    (folder / "openvino").mkdir()
    target = folder / "openvino" / "openvino_model.xml"
    openvino.save_model(_core().read_model(path), target, compress_to_fp16=False)
    shutil.move(path.parent, folder.with_name(f"{folder.name}-onnx"))


def quantised(folder: Path) -> None:
    """Write the same with a graph of int8 whose scale is that of a batch."""
    from onnxruntime.quantization import quantize_dynamic

    with_onnx(folder)
    path = folder / ONNX_FILE
    quantize_dynamic(str(path), str(path.with_name("model_quantized.onnx")))
    path.unlink()


def two_graphs(folder: Path) -> None:
    """Write the same with two graphs, neither of which has the usual name."""
    with_onnx(folder)
    path = folder / ONNX_FILE
    shutil.copy(path, path.with_name("model_fp16.onnx"))
    path.rename(path.with_name("model_O4.onnx"))


def by_onnx(folder: Path, texts: Sequence[str]) -> Floats:
    """Return the mean states of each text alone, by ONNX Runtime."""
    import onnxruntime
    import transformers

    beside = folder.with_name(f"{folder.name}-onnx")
    [path] = [*folder.glob("onnx/*.onnx"), *beside.glob("*.onnx")]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    names = {each.name for each in session.get_inputs()}
    rows = []
    for text in texts:
        features = tokenizer(text, return_tensors="np")
        states = session.run(None, {name: value for name, value in features.items() if name in names})[0]
        rows.append(states[0].mean(axis=0))
    return np.stack(rows)


GRAPHS = (
    Row("ONNX alone", with_onnx, by_onnx, library=ONNX, pooled="mean", warning=NO_WEIGHTS),
    Row("ONNX alone, dynamic int8", quantised, by_onnx, library=ONNX, pooled="mean", warning=NO_WEIGHTS),
    Row("OpenVINO alone", with_openvino, by_onnx, library=ONNX, pooled="mean", warning=NO_WEIGHTS),
    Row("several graphs", two_graphs, refusal="choose with --set graph=onnx/model_O4.onnx"),
)
