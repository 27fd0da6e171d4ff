"""The bias scores as loops in plain Python, written from their definitions."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations, product
from math import comb, log2
from statistics import mean, median

Topic = Mapping[str, Mapping[str, float]]
"""For each query language the rank of the best-ranked relevant document of each document language."""

Rows = dict[str, list[float]]


class Unlisted(float):
    """The expected rank of one of a query's unlisted documents; which of them stands there is not known."""


def spread(ranks: Mapping[str, float], cut: float, size: int) -> dict[str, float]:
    """Return the ranks of one query in a list of `cut` documents of `size`, those beyond it spread evenly."""
    missing = sorted(c for c, rank in ranks.items() if rank > cut)
    step = (size - cut + 1) / (len(missing) + 1)
    found = {c: rank for c, rank in ranks.items() if rank <= cut}
    return found | {c: Unlisted(cut + place * step) for place, c in enumerate(missing, 1)}


def possible(ranks: Mapping[str, float], language: str) -> list[float]:
    """Return where a document may stand: any unlisted one at any of their ranks."""
    if not isinstance(ranks[language], Unlisted):
        return [ranks[language]]
    return [rank for rank in ranks.values() if isinstance(rank, Unlisted)]


def documents_of(topic: Topic) -> set[str]:
    return {language for row in topic.values() for language in row}


def before(one: float, other: float) -> float:
    return 0.5 if isinstance(one, Unlisted) and isinstance(other, Unlisted) else float(one < other)


def own_language_preference(topics: Sequence[Topic]) -> float | None:
    values = []
    for topic in topics:
        languages = sorted(set(topic) & documents_of(topic))
        pairs = list(permutations(languages, 2))
        if pairs:
            values.append(mean(before(topic[a][a], topic[a][c]) for a, c in pairs))
    return mean(values) if values else None


def by_query_language(topics: Sequence[Topic], value: Callable[[str, Mapping[str, float]], float | None]) -> Rows:
    rows: Rows = {}
    for topic in topics:
        for a, ranks in topic.items():
            found = value(a, ranks)
            if found is not None:
                rows.setdefault(a, []).append(found)
    return rows


def rank_distance(topics: Sequence[Topic]) -> Rows:
    return by_query_language(topics, lambda a, r: max(r.values()) - min(r.values()))


def rank_distance_log2(topics: Sequence[Topic]) -> Rows:
    return by_query_language(topics, lambda a, r: log2(max(r.values()) / min(r.values())))


def max_rank(topics: Sequence[Topic]) -> Rows:
    return by_query_language(topics, lambda a, r: max(r.values()))


def max_rank_norm(topics: Sequence[Topic], size: int) -> Rows:
    def value(a: str, r: Mapping[str, float]) -> float | None:
        return 100 * (log2(size) - log2(max(r.values()))) / (log2(size) - log2(len(r))) if size > len(r) else None

    return by_query_language(topics, value)


def complete(topics: Sequence[Topic], cutoff: int | None) -> Rows:
    def value(a: str, r: Mapping[str, float]) -> float | None:
        k = len(r) if cutoff is None else cutoff
        return None if k < len(r) else float(all(rank <= k for rank in r.values()))

    return by_query_language(topics, value)


def first_share(r: Mapping[str, float], language: str) -> float:
    """Where no document is listed, they share the first place."""
    best = min(r, key=lambda c: r[c])
    first = list(r) if isinstance(r[best], Unlisted) else [best]
    return (language in first) / len(first)


def same_language_first(topics: Sequence[Topic]) -> Rows:
    return by_query_language(topics, lambda a, r: first_share(r, a) if a in r else None)


def same_language_first_elsewhere(topics: Sequence[Topic]) -> Rows:
    rows: Rows = {}
    for topic in topics:
        for c in documents_of(topic):
            others = [first_share(topic[a], c) for a in topic if a != c and c in topic[a]]
            if others and c in topic.get(c, {}):
                rows.setdefault(c, []).append(mean(others))
    return rows


def language_prior(topics: Sequence[Topic]) -> Rows:
    rows: Rows = {}
    for topic in topics:
        for b in documents_of(topic):
            wins = [before(r[b], r[c]) for a, r in topic.items() for c in r if b in r and len({a, b, c}) == 3]
            if wins:
                rows.setdefault(b, []).append(mean(wins))
    return rows


def average_precision(ranks: Sequence[float]) -> float:
    return mean(place / rank for place, rank in enumerate(sorted(ranks), 1))


def removal_gap(topics: Sequence[Topic]) -> Rows:
    def value(a: str, r: Mapping[str, float]) -> float | None:
        if a not in r or len(r) < 2:
            return None
        whole, loss = average_precision(list(r.values())), {}
        for gone in r:
            rests = [[other - (other > rank) for other in r.values() if other != rank] for rank in possible(r, gone)]
            loss[gone] = mean((whole - average_precision(rest)) / whole for rest in rests)
        return loss[a] - mean(loss[c] for c in r if c != a)

    return by_query_language(topics, value)


def rank_spread(topics: Sequence[Topic]) -> float | None:
    values = []
    for topic in topics:
        documents = []
        for c in documents_of(topic):
            asked = [possible(topic[a], c) for a in topic if c in topic[a]]
            gaps = [
                mean(abs(log2(one) - log2(two)) for one, two in product(some, others))
                for some, others in combinations(asked, 2)
            ]
            if gaps:
                documents.append(mean(gaps))
        if documents:
            values.append(mean(documents))
    return mean(values) if values else None


def language_preference_rate(topics: Sequence[Topic]) -> Rows:
    return by_query_language(topics, lambda a, r: float(r[a] == 1) if a in r and 1 in r.values() else None)


def language_ndcg(topics: Sequence[Topic]) -> Rows:
    def gain(rank: float) -> float:
        return 1 / log2(1 + rank) if rank <= 10 and not isinstance(rank, Unlisted) else 0.0

    return by_query_language(topics, lambda a, r: gain(r[a]) if a in r else None)


def mean_of_means(rows: Rows) -> float | None:
    return mean(mean(values) for values in rows.values()) if rows else None


def spread_of_means(rows: Rows) -> float | None:
    means = [mean(values) for values in rows.values()]
    return max(means) - min(means) if means else None


def all_scores(topics: Sequence[Topic], size: int) -> dict[str, float | None]:
    """Return every score that follows from ranks, over topics with documents in at least two languages."""
    kept = [topic for topic in topics if len(documents_of(topic)) >= 2]
    distance = rank_distance(kept)
    return {
        "own_language_preference": own_language_preference(kept),
        "rank_distance": mean_of_means(distance),
        "rank_distance_median": mean(median(values) for values in distance.values()) if distance else None,
        "rank_distance_log2": mean_of_means(rank_distance_log2(kept)),
        "max_rank": mean_of_means(max_rank(kept)),
        "max_rank_norm": mean_of_means(max_rank_norm(kept, size)),
        "complete@m": mean_of_means(complete(kept, None)),
        "complete@20": mean_of_means(complete(kept, 20)),
        "complete@100": mean_of_means(complete(kept, 100)),
        "language_prior": spread_of_means(language_prior(kept)),
        "same_language_first": mean_of_means(same_language_first(kept)),
        "removal_gap": mean_of_means(removal_gap(kept)),
        "rank_spread": rank_spread(kept),
        "language_preference_rate": mean_of_means(language_preference_rate(kept)),
        "language_nDCG@10": mean_of_means(language_ndcg(kept)),
    }


def mean_of_smallest(value: Callable[[int], float], m: int, size: int) -> float:
    """Return the mean of a value of the smallest of m ranks."""
    return sum(value(k) * comb(size - k, m - 1) for k in range(1, size - m + 2)) / comb(size, m)


def median_range(numbers: Sequence[int], size: int) -> float:
    """Return the median range of m random ranks, for m one of `numbers`, by counting the sets of each range."""
    reached, d = 0.0, 0
    while True:
        # d 0: one rank alone. Else the two ends, and m - 2 of the d - 1 ranks between them.
        sets = [size if d == 0 and m == 1 else (size - d) * comb(d - 1, m - 2) if m > 1 <= d else 0 for m in numbers]
        reached += sum(some / comb(size, m) for some, m in zip(sets, numbers, strict=True)) / len(numbers)
        if reached >= 0.5 - 1e-12:
            return float(d)
        d += 1


def all_references(topics: Sequence[Topic], size: int) -> dict[tuple[str, str], float | None]:
    """Return every number that is given beside a score, but for the chance of language_prior, which is simulated."""
    kept = [topic for topic in topics if len(documents_of(topic)) >= 2]

    def expected(value: Callable[[int], float | None]) -> float | None:
        return mean_of_means(by_query_language(kept, lambda a, r: value(len(r))))

    def complete(cutoff: int | None) -> float | None:
        def value(m: int) -> float | None:
            k = m if cutoff is None else cutoff
            return None if k < m else comb(min(k, size), m) / comb(size, m)

        return expected(value)

    counts = by_query_language(kept, lambda a, r: len(r))
    own = mean_of_means(by_query_language(kept, lambda a, r: 1 / len(r) if a in r else None))

    def first(a: str, r: Mapping[str, float]) -> float | None:
        return 1 / len(r) if a in r and 1 in r.values() else None

    def gain(a: str, r: Mapping[str, float], places: int) -> float | None:
        return sum(1 / log2(1 + k) for k in range(1, min(10, places) + 1)) / places if a in r else None

    def norm(m: int) -> float | None:
        if size == m:
            return None
        return 100 * (log2(size) - largest(m)) / (log2(size) - log2(m))

    def largest(m: int) -> float:
        return mean_of_smallest(lambda k: log2(size + 1 - k), m, size)

    pairs = [abs(log2(a) - log2(b)) for a in range(1, size + 1) for b in range(1, size + 1)]
    return {
        ("own_language_preference", "ideal"): 0.5 if kept else None,
        ("own_language_preference", "chance"): 0.5 if kept else None,
        ("rank_distance", "ideal"): expected(lambda m: m - 1),
        ("rank_distance", "chance"): expected(lambda m: (size + 1) * (m - 1) / (m + 1)),
        ("rank_distance_median", "ideal"): mean(median(m) - 1 for m in counts.values()) if kept else None,
        ("rank_distance_median", "chance"): mean(median_range(m, size) for m in counts.values()) if kept else None,
        ("rank_distance_log2", "ideal"): expected(log2),
        ("rank_distance_log2", "chance"): expected(lambda m: largest(m) - mean_of_smallest(log2, m, size)),
        ("max_rank", "ideal"): expected(float),
        ("max_rank", "chance"): expected(lambda m: m * (size + 1) / (m + 1)),
        ("max_rank_norm", "ideal"): 100.0 if kept else None,
        ("max_rank_norm", "chance"): expected(norm),
        ("complete@m", "ideal"): 1.0 if kept else None,
        ("complete@m", "chance"): complete(None),
        ("complete@20", "ideal"): 1.0 if kept else None,
        ("complete@20", "chance"): complete(20),
        ("complete@100", "ideal"): 1.0 if kept else None,
        ("complete@100", "chance"): complete(100),
        ("language_prior", "ideal"): 0.0 if kept else None,
        ("same_language_first", "ideal"): own,
        ("same_language_first", "chance"): own,
        ("same_language_first", "other_languages"): mean_of_means(same_language_first_elsewhere(kept)),
        ("removal_gap", "ideal"): 0.0 if kept else None,
        ("removal_gap", "chance"): 0.0 if kept else None,
        ("language_preference_rate", "ideal"): mean_of_means(by_query_language(kept, first)),
        ("language_preference_rate", "chance"): mean_of_means(by_query_language(kept, first)),
        ("language_nDCG@10", "ideal"): mean_of_means(by_query_language(kept, lambda a, r: gain(a, r, len(r)))),
        ("language_nDCG@10", "chance"): mean_of_means(by_query_language(kept, lambda a, r: gain(a, r, size))),
        ("rank_spread", "ideal"): 0.0 if kept else None,
        ("rank_spread", "chance"): None if rank_spread(kept) is None else mean(pairs),
    }
