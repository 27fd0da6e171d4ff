"""InfoNCE against a loop in float64 and against the library's loss."""

import math

import numpy as np
import pytest

from mlbench.errors import DataError, UserError
from mlbench.training.losses import NegativesKind, check_loss, highest_guess, info_nce

torch = pytest.importorskip("torch")

TEMPERATURE = 0.05


def drawn(n: int, seed: int, dim: int = 8) -> "torch.Tensor":
    # Of any length: the loss compares directions.
    values = np.random.RandomState(seed).standard_normal((n, dim)) * (1 + np.arange(n))[:, None]
    return torch.from_numpy(values)


def by_loop(queries, documents, negatives, *, hard_only=False) -> float:
    """Eq. 1 of arXiv 2408.10536, term by term."""

    def term(a, b) -> float:
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
        return math.exp(cosine / TEMPERATURE)

    total = 0.0
    for i, query in enumerate(queries):
        others = [] if hard_only else [document for j, document in enumerate(documents) if j != i]
        own = term(query, documents[i])
        total -= math.log(own / (own + sum(term(query, other) for other in [*others, *negatives])))
    return total / len(queries)


@pytest.mark.parametrize("kind", ["in_batch", "hard_only"])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 2), (1, 1), (7, 3)])
def test_is_the_sum_of_the_paper(n: int, m: int, kind: NegativesKind) -> None:
    queries, documents, negatives = drawn(n, 0), drawn(n, 1), drawn(m, 2)
    expected = by_loop(queries.tolist(), documents.tolist(), negatives.tolist(), hard_only=kind == "hard_only")
    loss = info_nce(queries, documents, negatives, temperature=TEMPERATURE, negatives_kind=kind)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("negatives", [None, torch.zeros(0, 8, dtype=torch.float64)])
def test_is_symmetric_on_demand(negatives: "torch.Tensor | None") -> None:
    queries, documents = drawn(6, 0), drawn(6, 1)
    there = by_loop(queries.tolist(), documents.tolist(), [])
    back = by_loop(documents.tolist(), queries.tolist(), [])
    assert info_nce(queries, documents, negatives, temperature=TEMPERATURE).item() == pytest.approx(there, rel=1e-12)
    both = info_nce(queries, documents, negatives, temperature=TEMPERATURE, symmetric=True)
    assert both.item() == pytest.approx((there + back) / 2, rel=1e-12)


def test_negatives_count_against_queries_alone() -> None:
    queries, documents, negatives = drawn(4, 0), drawn(4, 1), drawn(3, 2)
    there = by_loop(queries.tolist(), documents.tolist(), negatives.tolist())
    back = by_loop(documents.tolist(), queries.tolist(), [])
    both = info_nce(queries, documents, negatives, temperature=TEMPERATURE, symmetric=True)
    assert both.item() == pytest.approx((there + back) / 2, rel=1e-12)


def test_is_the_loss_of_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.losses")
    queries, documents, negatives = drawn(6, 0).float(), drawn(6, 1).float(), drawn(6, 2).float()
    theirs = losses.MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / TEMPERATURE)
    expected = theirs.compute_loss_from_embeddings([queries, documents, negatives], None)
    assert info_nce(queries, documents, negatives, temperature=TEMPERATURE).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize("kind", ["in_batch", "hard_only"])
def test_has_the_right_gradient(kind: NegativesKind) -> None:
    inputs = tuple(drawn(n, seed, dim=3).requires_grad_() for n, seed in ((3, 0), (3, 1), (2, 2)))
    assert torch.autograd.gradcheck(
        lambda *vectors: info_nce(*vectors, temperature=0.5, negatives_kind=kind), inputs, raise_exception=True
    )


def test_stays_exact_under_mixed_precision() -> None:
    queries, documents = drawn(16, 0).float(), drawn(16, 1).float()
    expected = info_nce(queries, documents, temperature=TEMPERATURE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = info_nce(queries, documents, temperature=TEMPERATURE)
        half = info_nce(queries.bfloat16(), documents.bfloat16(), temperature=TEMPERATURE)
    assert torch.equal(mixed, expected)
    assert half.dtype == torch.float32


@pytest.mark.parametrize("negatives", [None, torch.zeros(0, 8)])
def test_hard_negatives_must_be_there(negatives: "torch.Tensor | None") -> None:
    with pytest.raises(DataError, match="no example of a batch has a hard negative"):
        info_nce(drawn(2, 0), drawn(2, 1), negatives, temperature=1.0, negatives_kind="hard_only")


def test_hard_negatives_have_no_other_side() -> None:
    with pytest.raises(ValueError, match="belong to queries"):
        info_nce(drawn(2, 0), drawn(2, 1), drawn(2, 2), temperature=1.0, negatives_kind="hard_only", symmetric=True)


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("dim", [2, 8, 64])
@pytest.mark.parametrize("n", [2, 16, 256])
def test_a_model_that_guesses_is_never_above_the_highest_guess(n: int, dim: int, temperature: float) -> None:
    losses = [
        float(
            info_nce(
                drawn(n, seed, dim), drawn(n, 1000 + seed, dim), drawn(n, 2000 + seed, dim), temperature=temperature
            )
        )
        for seed in range(60)
    ]
    assert np.mean(losses) < highest_guess(2 * n, temperature)


def test_a_model_that_pushes_documents_away_is_above_it() -> None:
    pushed = info_nce(torch.eye(8), -torch.eye(8), torch.eye(8), temperature=0.05)
    assert float(pushed) > highest_guess(16, 0.05)


@pytest.mark.parametrize(
    ("loss", "precision", "fault"),
    [
        (3.0, "fp32", None),
        (9.99, "fp32", None),
        (
            10.01,
            "fp32",
            "the loss is 10 after 7 steps, and a model that guesses has at most 10: lower optimizer.learning_rate",
        ),
        (math.nan, "fp32", "the loss is nan after 7 steps: lower optimizer.learning_rate"),
        (math.inf, "bf16", "the loss is inf after 7 steps: lower optimizer.learning_rate, or train in fp32"),
    ],
)
def test_a_loss_that_tells_of_too_high_a_rate(loss: float, precision: str, fault: str | None) -> None:
    if fault is None:
        check_loss(loss, 7, 10.0, precision=precision)
    else:
        with pytest.raises(UserError) as raised:
            check_loss(loss, 7, 10.0, precision=precision)
        assert str(raised.value) == fault
