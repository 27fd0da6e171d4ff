"""Models in OpenCLIP's own format, computed by its library (open_clip_torch)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import check_language, find_language, written_language
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.cache import offline
from mlbench.protocols import Parameter
from mlbench.retrievers.checkpoint_folder import read_json
from mlbench.retrievers.image_text.clip import check_length
from mlbench.retrievers.image_text.towers import Features, ImageTower, TextTower, Towers
from mlbench.retrievers.load_checkpoint import (
    LoadOptions,
    check_complete,
    check_finite,
    digest_tokenizer,
    first_line,
    hold_tensors,
    quiet,
)
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

_CONFIG = "open_clip_config.json"
# As the library prefers them.
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "*.model", "vocab.*", "merges.txt")

# The codes of FLORES-200 that NLLB's tokenizer has, and puts beside each text.
_FLORES = """
    ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn als_Latn amh_Ethi apc_Arab arb_Arab
    ars_Arab ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn
    bel_Cyrl bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn
    ces_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn
    epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gaz_Latn
    gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn
    hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda
    kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn kea_Latn khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn
    kmr_Latn knc_Arab knc_Latn kon_Latn kor_Hang lao_Laoo lij_Latn lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn
    ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn mkd_Cyrl
    mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn nya_Latn
    oci_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn prs_Arab quy_Latn
    ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn sna_Latn
    snd_Arab som_Latn sot_Latn spa_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn tam_Taml
    taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tpi_Latn tsn_Latn tso_Latn tuk_Latn
    tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn
    wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn
"""
# Languages that it has under the code of one of their varieties.
_VARIETIES = {"ff": "fuv_Latn", "no": "nob_Latn", "ps": "pbt_Arab", "qu": "quy_Latn", "quz": "quy_Latn"}


class _Tokenizer(Protocol):
    """The library's tokenizer: its own, or one of transformers, which is then its `tokenizer`."""

    context_length: int

    def __call__(self, texts: list[str]) -> "Tensor":
        """Return int64 (texts, context_length), padded and cut off."""
        ...

    def clean_fn(self, text: str) -> str:
        """Return what is cut into tokens."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, nothing before or behind it; one of transformers is not asked."""
        ...


def open_open_clip(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return the towers of a folder with open_clip_config.json and weights.

    Texts are cleaned, tokenised and cut off, and images prepared, as the library does it. What the configuration takes
    from other repositories (a tokenizer, or the sizes of a text encoder of transformers) is looked up on the hub.
    Raises `MissingExtra` without open_clip_torch, and `RetrieverError` for a folder that cannot be loaded, lacks
    weights, has only pickled ones where they are not allowed, or whose weights are not finite.
    """
    require_open_clip()
    from open_clip.hf_model import HFTextEncoder
    from sentence_transformers.util import get_device_name

    config = _read_config(folder)
    text_config = dict(cast(Mapping[str, object], config["text_cfg"]))
    device = options.device or get_device_name()
    model, base = _build(folder, text_config, options)
    model.eval().to(device)
    text = getattr(model, "text", model)
    wrapped = _open_tokenizer(folder, text_config, options.tokenizer)
    inner: PreTrainedTokenizerBase | None = getattr(wrapped, "tokenizer", None)
    # A text encoder of transformers looks at no padding; the library's own has a vector for each position.
    right = inner is not None and inner.padding_side == "right" and not text_config.get("tokenizer_mode")
    fixed = not (isinstance(text, HFTextEncoder) and right)
    length = check_length(max_length, wrapped.context_length, fixed_width=fixed)
    wrapped.context_length = length
    tower = TextTower(
        partial(_tokenise, wrapped),
        lambda features: cast("Tensor", model.encode_text(features["input_ids"])),
        length,
        fixed_width=fixed,
        count_tokens=None if text_config.get("tokenizer_mode") else partial(_count_tokens, wrapped),
        tokenise_in=partial(_tokenise_in, wrapped) if hasattr(inner, "src_lang") else None,
    )
    beside = [base, "" if inner is None else digest_tokenizer(inner)]
    digest = sha256("\x1f".join(beside).encode()).hexdigest()
    codes: dict[str, Parameter] = {} if tower.tokenise_in is None else {"language_codes": "FLORES-200"}
    return Towers(tower, _image_tower(model), device, digest, {**_logit_parameters(model), **codes})


def require_open_clip() -> None:
    """Raise `MissingExtra` where open_clip_torch is not installed, `RetrieverError` where it cannot be imported."""
    if find_spec("open_clip") is None:
        raise MissingExtra("models in OpenCLIP's format", "open-clip")
    try:
        import open_clip  # noqa: F401
    except Exception as error:
        # torchvision raises errors of its own where torch is of another build.
        raise RetrieverError(
            f"open_clip cannot be imported ({first_line(error)}): install torch and torchvision of one build"
        ) from error


def _read_config(folder: Path) -> Mapping[str, object]:
    config = read_json(folder / _CONFIG).get("model_cfg")
    if not isinstance(config, dict) or not isinstance(config.get("text_cfg"), dict):
        raise RetrieverError(f"{folder / _CONFIG}: no model_cfg with a text_cfg; is it a model of OpenCLIP?")
    return config


def _build(folder: Path, text_config: dict[str, object], options: LoadOptions) -> "tuple[Module, str]":
    """Return the model with its weights, and the configuration of its text encoder where that lies elsewhere."""
    import open_clip
    import torch

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    weights, base = _find_weights(folder, allow_pickle=options.allow_pickle), ""
    changed: dict[str, object] = {}
    if name := text_config.get("hf_model_name"):
        place = _fetch(str(name), ("config.json",))
        base = (place / "config.json").read_text(encoding="utf-8")
        changed = {"text_cfg": text_config | {"hf_model_name": str(place), "hf_model_pretrained": False}}
    # The library's mixed precisions leave embeddings of transformers in another one than the layers behind them.
    precision = "fp32" if options.dtype == "fp32" else f"pure_{options.dtype}"
    try:
        with quiet(), _unlogged():
            model: Module = open_clip.create_model(
                f"local-dir:{folder}", precision=precision, load_weights=False, pretrained_text=False, **changed
            )
            found = open_clip.load_checkpoint(model, str(weights), strict=False)
            hold_tensors(model)
    except Exception as error:
        # Any of four libraries may fail here in any way.
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    check_complete(sorted(found.missing_keys), folder)
    if found.unexpected_keys:
        raise RetrieverError(
            f"{weights}: {len(found.unexpected_keys)} weights are not known, among them {found.unexpected_keys[0]}: "
            f"is it what {_CONFIG} describes?"
        )
    check_finite(model, str(folder))
    return model, base


def _find_weights(folder: Path, *, allow_pickle: bool) -> Path:
    found = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise RetrieverError(f"{folder}: no weights ({_WEIGHTS[0]}); save the model in this folder")
    if found.suffix == ".bin" and not allow_pickle:
        raise RetrieverError(
            f"{folder}: weights are pickled only ({found.name}), and opening a pickle can run code: "
            "save them as safetensors, or pass --allow-pickle if you trust them"
        )
    return found


def _open_tokenizer(folder: Path, text_config: Mapping[str, object], asked: str | None) -> _Tokenizer:
    """Return the library's tokenizer: one of transformers is taken from `asked`, the folder, or the hub."""
    from open_clip import tokenizer as tokenizers

    length = text_config.get("context_length", tokenizers.DEFAULT_CONTEXT_LENGTH)
    options = dict(cast(Mapping[str, object], text_config.get("tokenizer_kwargs") or {}))
    name = text_config.get("hf_tokenizer_name")
    try:
        if not name:
            return cast(_Tokenizer, tokenizers.SimpleTokenizer(context_length=length, **options))
        place = Path(asked).expanduser() if asked else folder
        if not asked and not (folder / "tokenizer_config.json").is_file():
            place = _fetch(str(name), (*_TOKENIZER, "config.json"))
        options |= {"tokenizer_mode": text_config.get("tokenizer_mode"), "context_length": length}
        with quiet():
            return cast(
                _Tokenizer,
                tokenizers.HFTokenizer(str(place), **options, local_files_only=True, trust_remote_code=False),
            )
    except RetrieverError:
        raise
    except Exception as error:
        raise RetrieverError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from error


def _tokenise(tokenizer: _Tokenizer, texts: Sequence[str]) -> Features:
    import torch

    rows = tokenizer(list(texts))
    inner: PreTrainedTokenizerBase | None = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        # The last token is the one with the highest number; the number of padding stands for a token too.
        last = rows.argmax(dim=1, keepdim=True)
    else:
        is_token = (rows != inner.pad_token_id).long()
        if inner.padding_side == "left":
            return {"input_ids": rows, "attention_mask": is_token}
        last = is_token.sum(dim=1, keepdim=True) - 1
        if inner.pad_token_id == inner.eos_token_id:
            last = (last + 1).clamp(max=rows.shape[1] - 1)
    return {"input_ids": rows, "attention_mask": (torch.arange(rows.shape[1]) <= last).long()}


def _count_tokens(tokenizer: _Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return how many tokens texts have that are not cut off, int64 (texts,)."""
    inner: PreTrainedTokenizerBase | None = getattr(tokenizer, "tokenizer", None)
    if inner is not None:
        return whole_texts(inner)([tokenizer.clean_fn(text) for text in texts])
    # One token stands before a text and one behind it.
    return np.fromiter((len(tokenizer.encode(text)) + 2 for text in texts), np.int64, len(texts))


def _tokenise_in(tokenizer: _Tokenizer, language: str) -> Callable[[Sequence[str]], Features]:
    inner = cast("PreTrainedTokenizerBase", getattr(tokenizer, "tokenizer"))  # noqa: B009
    code = flores_code(language)
    if code is None or inner.convert_tokens_to_ids(code) in (None, inner.unk_token_id):
        raise RetrieverError(f"the model's tokenizer has no code for the language {language!r}: leave it out")

    def tokenise(texts: Sequence[str]) -> Features:
        # The tokenizer puts the code of its own language beside each text.
        own, inner.src_lang = inner.src_lang, code
        try:
            return _tokenise(tokenizer, texts)
        finally:
            inner.src_lang = own

    return tokenise


def flores_code(tag: str) -> str | None:
    """Return the code of FLORES-200 for a language tag in any form; None for a language that it has not.

    A region counts as far as the script follows from it: Chinese of Hong Kong is written in `Hant`.
    """
    codes = _flores_codes()
    found = find_language(tag, tuple(codes)) or written_language(tag)
    return codes.get(found)


@cache
def _flores_codes() -> dict[str, str]:
    return {check_language(code): code for code in _FLORES.split()} | _VARIETIES


def _image_tower(model: "Module") -> ImageTower:
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    dtype = next(model.visual.parameters()).dtype

    def prepare(images: "Sequence[Image]") -> Features:
        return {"pixel_values": torch.stack([transform(image) for image in images])}

    def embed(features: Features) -> "Tensor":
        return cast("Tensor", model.encode_image(features["pixel_values"].to(dtype)))

    return ImageTower(prepare, embed)


def _logit_parameters(model: "Module") -> dict[str, Parameter]:
    """Return the scale and bias that make a cosine a logit; they change no order."""
    bias = getattr(model, "logit_bias", None)
    scale: dict[str, Parameter] = {"logit_scale": float(model.logit_scale.detach().float().exp().reshape(-1)[0])}
    return scale if bias is None else scale | {"logit_bias": float(bias.detach().float().reshape(-1)[0])}


def _fetch(name: str, files: Sequence[str]) -> Path:
    """Return a folder with these files of a hub repository, or `name` itself where it is a folder."""
    from huggingface_hub import snapshot_download

    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), local_files_only=offline()))
    except Exception as error:
        # The hub's client lets through errors of its own, of HTTP and of the file system alike.
        raise RetrieverError(
            f"{name}: {files[0]} is neither in the local cache nor can it be fetched ({type(error).__name__}); the "
            f"model's {_CONFIG} asks for it: download it once, or name a folder there"
        ) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep off the screen what the library logs, such as that weights are not loaded yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
