"""Losses of BLIP and ALBEF against loops over plain numbers, written from the papers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlbench.training.losses import distilled_contrast, draw_hard_negatives, matching_loss

torch = pytest.importorskip("torch")

Vectors = Sequence[Sequence[float]]


def drawn(*shape: int, seed: int) -> Any:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def by_loop(
    vectors: Vectors, momentum: Vectors, candidates: Vectors, positives: Any, *, temperature: float, alpha: float
) -> float:
    """ALBEF, arXiv 2107.07651, eq. 1 and 6: (1 - alpha) H(y, p) + alpha H(q, p)."""

    def shares(vector: Sequence[float]) -> list[float]:
        cosines = [
            sum(x * y for x, y in zip(vector, other, strict=True)) / math.hypot(*vector) / math.hypot(*other)
            for other in candidates
        ]
        exponents = [math.exp(cosine / temperature) for cosine in cosines]
        return [each / sum(exponents) for each in exponents]

    total = 0.0
    for vector, guide, own in zip(vectors, momentum, positives, strict=True):
        p, q = shares(vector), shares(guide)
        for place in range(len(candidates)):
            target = own[place] / sum(own)
            total -= (1 - alpha) * target * math.log(p[place]) + alpha * q[place] * math.log(p[place])
    return total / len(vectors)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("queue", [0, 7])
def test_the_distilled_contrast_is_that_of_the_paper(queue: int, alpha: float) -> None:
    vectors, momentum, candidates = drawn(4, 5, seed=0), drawn(4, 5, seed=1), drawn(4 + queue, 5, seed=2)
    positives = torch.cat([torch.eye(4), torch.zeros(4, queue)], dim=1).bool()
    # One that is in the queue as well.
    positives[1, -1] = True
    expected = by_loop(
        vectors.tolist(), momentum.tolist(), candidates.tolist(), positives.tolist(), temperature=0.1, alpha=alpha
    )
    loss = distilled_contrast(vectors, momentum, candidates, positives, temperature=0.1, distillation=alpha)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_matching_loss_is_that_of_the_paper() -> None:
    logits = drawn(9, 2, seed=3)
    expected = 0.0
    for number, (no, yes) in enumerate(logits.tolist()):
        p = math.exp(yes) / (math.exp(yes) + math.exp(no))
        expected -= math.log(p if number < 3 else 1 - p) / 9
    assert matching_loss(logits, 3).item() == pytest.approx(expected, rel=1e-6)


class TestHardNegatives:
    def test_are_drawn_as_often_as_the_softmax_says(self) -> None:
        similarity, topics = drawn(4, 4, seed=4), torch.tensor([0, 1, 2, 1])
        counts = np.zeros((2, 4, 4))
        for seed in range(4000):
            found = draw_hard_negatives(similarity, topics, torch.Generator().manual_seed(seed))
            for side, places in enumerate(found):
                counts[side, np.arange(4), places.numpy()] += 1
        for side, scores in enumerate((similarity.numpy(), similarity.numpy().T)):
            weights = np.exp(scores) * (topics.numpy()[:, None] != topics.numpy())
            np.testing.assert_allclose(counts[side] / 4000, weights / weights.sum(axis=1, keepdims=True), atol=0.04)

    def test_are_the_same_for_the_same_batch(self) -> None:
        similarity, topics = drawn(6, 6, seed=5), torch.arange(6)
        first, again = (draw_hard_negatives(similarity, topics, torch.Generator().manual_seed(7)) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))

    def test_far_cosines_do_not_drown(self) -> None:
        # Of the own pair the softmax is 1 to the last digit.
        similarity = 1000 * torch.eye(3)
        texts, images = draw_hard_negatives(similarity, torch.arange(3), torch.Generator().manual_seed(0))
        assert (texts != torch.arange(3)).all()
        assert (images != torch.arange(3)).all()
