"""How often the intervals of bias scores miss chance for systems that are blind to language, and whether bias is found.

Usage: python tests/bench/calibration.py [SYSTEMS]

Simulates SYSTEMS (1,000) retrievers of each kind, scores each as `mlbench run` does, and prints two Markdown tables:
the share of intervals that miss the chance value, and mean scores of retrievers with planted biases of growing size.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from mlbench.collection.languages import Setting
from mlbench.measures.bias import BIAS_SCORES
from mlbench.ranking.ranks import UNLISTED, Ranks
from mlbench.results import Bias
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score

LANGUAGES = ("ar", "de", "th")
N_TOPICS = 60
N_DOCUMENTS = 60
SIZE = len(LANGUAGES) * N_DOCUMENTS


@dataclass(frozen=True)
class Kind:
    """A kind of simulated retrievers, in noise of standard deviation 1.

    `translated` gives each topic one relevant document in each language, else there are 1 to 8 in each, in unequal
    numbers. `skill` is what relevant documents score more, `own` those in the language of the query, `favoured` those
    in one language. Scores are rounded to multiples of `step`, so that documents tie; lists end after `depth`.
    """

    translated: bool = True
    skill: float = 0.0
    own: float = 0.0
    favoured: float = 0.0
    step: float = 0.0
    depth: int = SIZE


KINDS = {
    "random": Kind(),
    "ties": Kind(skill=2.0, step=0.5),
    "short lists": Kind(skill=2.0, depth=120),
    "random, native": Kind(translated=False),
    "ties, native": Kind(translated=False, skill=2.0, step=0.5),
    "short lists, native": Kind(translated=False, skill=2.0, depth=120),
}
"""Retrievers that are blind to language. Those with skill give no information on scores whose chance is that of a
random order."""
OF_RANDOM_ORDERS = frozenset(
    {
        "rank_distance",
        "rank_distance_log2",
        "max_rank",
        "max_rank_norm",
        "complete@m",
        "complete@20",
        "complete@100",
        "language_prior",
        "language_nDCG@10",
        "rank_spread",
        "list_agreement",
    }
)
PLANTED = (0.0, 0.1, 0.2, 0.4, 0.8)


def simulate(kind: Kind, seed: int) -> Ranks:
    """Return the ranks of a simulated retriever on a collection of its own."""
    draw, size = np.random.RandomState(seed), len(LANGUAGES)
    home = np.repeat(np.arange(size), N_DOCUMENTS)
    relevant = np.zeros((N_TOPICS, SIZE), dtype=bool)
    for topic in range(N_TOPICS):
        for language in range(size):
            number = 1 if kind.translated else draw.randint(1, 9)
            relevant[topic, language * N_DOCUMENTS + draw.permutation(N_DOCUMENTS)[:number]] = True
    topics, asking = np.divmod(np.arange(N_TOPICS * size), size)
    scores = draw.standard_normal((len(topics), SIZE))
    # What a document is worth to a topic is alike in all languages that ask.
    worth = kind.skill + (draw.standard_normal((N_TOPICS, SIZE)) if kind.skill else 0.0)
    # Queries are numbered language by language.
    numbered = np.lexsort((topics, asking))
    topics, asking, scores = topics[numbered], asking[numbered], scores[numbered]
    scores += (worth * relevant)[topics] + kind.own * (home == asking[:, None]) + kind.favoured * (home == 0)
    if kind.step:
        scores = np.round(scores / kind.step) * kind.step
    # The order of ids breaks ties, which is blind to language.
    ids = draw.permutation(SIZE)
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=1)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(SIZE)[None, :], axis=1)
    queries, documents = np.nonzero(relevant[topics])
    found = scores[queries, documents]
    ahead = np.where(place[queries, documents] < kind.depth, place[queries, documents], UNLISTED)
    return Ranks(
        languages=np.array(LANGUAGES),
        columns=np.array(["+".join(LANGUAGES)]),
        column_sizes=np.array([SIZE], dtype=np.int32),
        topic_ids=np.array([f"t{topic:03}" for topic in range(N_TOPICS)]),
        topic_clusters=np.arange(N_TOPICS, dtype=np.int32),
        cluster_unit=np.array(["topic"]),
        query_topics=topics.astype(np.int32),
        query_languages=asking.astype(np.int32),
        document_ids=np.array([f"{number:03}" for number in range(SIZE)]),
        document_languages=home.astype(np.int32),
        row_queries=queries.astype(np.int32),
        row_documents=documents.astype(np.int32),
        row_grades=np.ones(len(queries), dtype=np.int32),
        ahead=ahead[:, None].astype(np.int32),
        ties=((scores[queries] == found[:, None]).sum(axis=1) - 1)[:, None].astype(np.int32),
        top=order[:, : min(20, kind.depth)].astype(np.int32),
        listed=np.full((len(topics), 1), kind.depth, dtype=np.int32),
    )


def bias_of(kind: Kind, seed: int, resamples: int = 2000) -> Bias:
    """Return the bias scores of a simulated retriever."""
    request = ScoreRequest(
        settings=tuple(Setting(language, LANGUAGES) for language in LANGUAGES),
        measures=("AP",),
        primary_measure="AP",
        bias_scores=tuple(name for name, each in BIAS_SCORES.items() if each.chance is not None),
        parallel=True,
        translated=kind.translated,
        resamples=resamples,
        seed=seed,
    )
    bias = score(simulate(kind, seed), request).bias
    assert bias is not None
    return bias


def misses(kind: Kind, seed: int) -> dict[str, bool]:
    """Return by score whether the interval of one retriever does not hold the chance value."""
    found = {}
    for each in bias_of(kind, seed).scores:
        chance = each.references.get("chance")
        if each.interval is not None and chance is not None and (not kind.skill or each.name not in OF_RANDOM_ORDERS):
            found[each.name] = not each.interval.low <= chance <= each.interval.high
    return found


def planted(kind: Kind, what: str, seeds: Iterable[int]) -> dict[str, list[float]]:
    """Return by score its mean for each size of a bias, `own` or `favoured`."""
    values: dict[str, list[float]] = {}
    for size in PLANTED:
        found: dict[str, list[float]] = {}
        for seed in seeds:
            for each in bias_of(replace(kind, **{what: size}), seed, resamples=2).scores:
                if each.value is not None:
                    found.setdefault(each.name, []).append(each.value)
        for name, own in found.items():
            values.setdefault(name, []).append(float(np.mean(own)))
    return values


def main() -> None:
    """Print both tables."""
    systems = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    shares: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(2) as pool:
        for name, kind in KINDS.items():
            found: dict[str, list[bool]] = {}
            for missed in pool.map(misses, repeat(kind), range(systems), chunksize=25):
                for score_name, each in missed.items():
                    found.setdefault(score_name, []).append(each)
            shares[name] = {score_name: float(np.mean(each)) for score_name, each in found.items()}
            print(name, shares[name], file=sys.stderr, flush=True)
    print(f"| score | {' | '.join(shares)} |\n|---{'|---:' * len(shares)}|")
    for name in BIAS_SCORES:
        if any(name in each for each in shares.values()):
            cells = (f"{100 * each[name]:.1f}" if name in each else "" for each in shares.values())
            print(f"| {name} | {' | '.join(cells)} |")
    for what in ("own", "favoured"):
        print(f"\n| {what} | {' | '.join(f'{size:g}' for size in PLANTED)} |\n|---{'|---:' * len(PLANTED)}|")
        for translated in (True, False):
            kind = Kind(translated=translated, skill=2.0)
            for name, values in planted(kind, what, range(max(1, systems // 25))).items():
                label = f"{name}{'' if translated else ', native'}"
                print(f"| {label} | {' | '.join(f'{value:.3f}' for value in values)} |")


if __name__ == "__main__":
    main()
