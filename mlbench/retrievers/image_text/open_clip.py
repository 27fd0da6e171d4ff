"""Models in OpenCLIP's own format, computed by its library (open_clip_torch)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

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

# The codes of FLORES-200, which NLLB's tokenizer puts beside each text, by the tags that tasks have for languages.
_PAIRS = """
    af=afr_Latn ak=aka_Latn am=amh_Ethi ar=arb_Arab as=asm_Beng ay=ayr_Latn az=azj_Latn ba=bak_Cyrl be=bel_Cyrl
    bg=bul_Cyrl bm=bam_Latn bn=ben_Beng bo=bod_Tibt bs=bos_Latn ca=cat_Latn cs=ces_Latn cy=cym_Latn da=dan_Latn
    de=deu_Latn dz=dzo_Tibt ee=ewe_Latn el=ell_Grek en=eng_Latn eo=epo_Latn es=spa_Latn et=est_Latn eu=eus_Latn
    fa=pes_Arab ff=fuv_Latn fi=fin_Latn fil=tgl_Latn fj=fij_Latn fo=fao_Latn fr=fra_Latn ga=gle_Latn gd=gla_Latn
    gl=glg_Latn gn=grn_Latn gu=guj_Gujr ha=hau_Latn he=heb_Hebr hi=hin_Deva hr=hrv_Latn ht=hat_Latn hu=hun_Latn
    hy=hye_Armn id=ind_Latn ig=ibo_Latn is=isl_Latn it=ita_Latn ja=jpn_Jpan jv=jav_Latn ka=kat_Geor kg=kon_Latn
    ki=kik_Latn kk=kaz_Cyrl km=khm_Khmr kn=kan_Knda ko=kor_Hang ks=kas_Arab ku=kmr_Latn ky=kir_Cyrl lb=ltz_Latn
    lg=lug_Latn li=lim_Latn ln=lin_Latn lo=lao_Laoo lt=lit_Latn lv=lvs_Latn mg=plt_Latn mi=mri_Latn mk=mkd_Cyrl
    ml=mal_Mlym mn=khk_Cyrl mr=mar_Deva ms=zsm_Latn mt=mlt_Latn my=mya_Mymr nb=nob_Latn ne=npi_Deva nl=nld_Latn
    nn=nno_Latn no=nob_Latn ny=nya_Latn oc=oci_Latn om=gaz_Latn or=ory_Orya pa=pan_Guru pl=pol_Latn ps=pbt_Arab
    pt=por_Latn qu=quy_Latn quz=quy_Latn rn=run_Latn ro=ron_Latn ru=rus_Cyrl rw=kin_Latn sa=san_Deva sc=srd_Latn
    sd=snd_Arab sg=sag_Latn si=sin_Sinh sk=slk_Latn sl=slv_Latn sm=smo_Latn sn=sna_Latn so=som_Latn sq=als_Latn
    sr=srp_Cyrl ss=ssw_Latn st=sot_Latn su=sun_Latn sv=swe_Latn sw=swh_Latn ta=tam_Taml te=tel_Telu tg=tgk_Cyrl
    th=tha_Thai ti=tir_Ethi tk=tuk_Latn tl=tgl_Latn tn=tsn_Latn tr=tur_Latn ts=tso_Latn tt=tat_Cyrl tw=twi_Latn
    ug=uig_Arab uk=ukr_Cyrl ur=urd_Arab uz=uzn_Latn vi=vie_Latn wo=wol_Latn xh=xho_Latn yi=ydd_Hebr yo=yor_Latn
    yue=yue_Hant zh=zho_Hans zu=zul_Latn
"""
_CODES = dict(pair.split("=") for pair in _PAIRS.split())
_TRADITIONAL = ("hk", "mo", "tw")


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
    """Return the code of a language tag such as `th` or `zh-hant`; None for a language that is not known.

    A script that the tag names stands in the code, and Chinese of Hong Kong, Macao and Taiwan is written in `Hant`.
    """
    language, *subtags = tag.split("-")
    code = _CODES.get(language)
    if code is None:
        return None
    script = next((subtag.title() for subtag in subtags if len(subtag) == 4 and subtag.isalpha()), None)
    if script is None and language == "zh" and any(subtag in _TRADITIONAL for subtag in subtags):
        script = "Hant"
    return code if script is None else f"{code.partition('_')[0]}_{script}"


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
