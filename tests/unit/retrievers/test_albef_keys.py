"""Names and shapes of ALBEF's weights against the list of the official checkpoint."""

import pytest
from unit.retrievers.albef_checkpoints import DEPTH, SMALL, Shapes, official_shapes, small_shapes

from mlbench.errors import RetrieverError
from mlbench.retrievers.image_text.albef_checkpoint import POSITION_IDS, official_name, read_sizes

OFFICIAL = official_shapes()


def refused(shapes: Shapes) -> str:
    with pytest.raises(RetrieverError) as caught:
        read_sizes(shapes, "flickr30k.pth")
    message = str(caught.value)
    assert message.startswith("flickr30k.pth: not the weights of an ALBEF model: ")
    assert "\n" not in message
    return message.partition("model: ")[2]


def test_the_official_checkpoint_has_the_sizes_of_the_paper() -> None:
    assert len(OFFICIAL) == 415
    images = {"blocks": 12, "width": 768, "patch": 16, "positions": 1 + (384 // 16) ** 2, "mlp": 3072}
    texts = {"layers": 12, "fusion": 6, "hidden": 768, "inner": 3072, "vocabulary": 30522, "places": 512, "types": 2}
    assert read_sizes(OFFICIAL, "") == {**images, **texts, "dim": 256}


def test_a_smaller_model_has_its_own() -> None:
    sizes = read_sizes(small_shapes(), "")
    assert (sizes["blocks"], sizes["layers"], sizes["fusion"]) == (DEPTH, DEPTH, DEPTH // 2)
    assert (sizes["width"], sizes["positions"], sizes["dim"]) == (SMALL[768], SMALL[577], SMALL[256])


@pytest.mark.slow
def test_every_weight_that_is_missing_is_named() -> None:
    for name in OFFICIAL.keys() - {POSITION_IDS}:
        rest = {other: shape for other, shape in OFFICIAL.items() if other != name}
        assert refused(rest) == f"{name} is missing"


@pytest.mark.slow
def test_every_weight_of_a_wrong_shape_is_named() -> None:
    for name, shape in OFFICIAL.items():
        wrong = (*shape[:-1], shape[-1] + 1) if shape else (1,)
        assert refused({**OFFICIAL, name: wrong}).startswith(f"{name} is {' x '.join(map(str, wrong))} instead of ")
    assert refused({**OFFICIAL, "temp": (1,)}) == "temp is 1 instead of a single number"
    assert refused({**OFFICIAL, "itm_head.bias": ()}) == "itm_head.bias is a single number instead of 2"
    assert refused({**OFFICIAL, "text_proj.weight": (256, 768, 1)}).endswith("is 256 x 768 x 1 instead of 256 x 768")


@pytest.mark.parametrize(
    "name",
    [
        "logit_scale",
        "visual_encoder.head.weight",
        "visual_encoder.blocks.12.norm1.weight",
        "visual_encoder.blocks.999999999.attn.qkv.weight",
        "text_encoder.encoder.layer.0.crossattention.self.query.weight",
        "text_encoder.pooler.dense.weight",
        "text_encoder.bert.embeddings.LayerNorm.weight",
    ],
)
def test_a_weight_that_is_not_known_is_named(name: str) -> None:
    assert refused({**OFFICIAL, name: (768,)}) == f"{name} is not known"


def test_many_faults_are_counted() -> None:
    block = [name for name in OFFICIAL if name.startswith("visual_encoder.blocks.3.")]
    message = refused({name: shape for name, shape in OFFICIAL.items() if name not in block})
    # One block fewer is expected where one is missing altogether, so that the last one is too many.
    assert message == f"{', '.join(f'{name} is missing' for name in block[:3])}, and {2 * len(block) - 3} more"
    assert refused({}).startswith("temp is missing, ")


def test_other_models_are_refused() -> None:
    assert "temp is missing" in refused({"text_model.embeddings.token_embedding.weight": (49408, 512)})


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("text_encoder.bert.encoder.layer.3.output.dense.bias", "text_encoder.encoder.layer.3.output.dense.bias"),
        ("text_encoder.bert.embeddings.position_ids", POSITION_IDS),
        ("text_encoder.embeddings.LayerNorm.weight", "text_encoder.embeddings.LayerNorm.weight"),
        ("temp", "temp"),
        ("text_encoder.cls.predictions.decoder.weight", None),
        ("text_encoder_m.bert.embeddings.LayerNorm.weight", None),
        ("visual_encoder_m.cls_token", None),
        ("vision_proj_m.weight", None),
        ("text_proj_m.bias", None),
        ("image_queue", None),
        ("text_queue", None),
        ("idx_queue", None),
        ("queue_ptr", None),
        ("image_queue_size", "image_queue_size"),
        ("text_encoder_momentum.weight", "text_encoder_momentum.weight"),
    ],
)
def test_only_what_training_needs_is_left_out(name: str, official: str | None) -> None:
    assert official_name(name) == official
