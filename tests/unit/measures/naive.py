"""The bias scores as loops in plain Python, written from their definitions."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations
from math import log, log2
from statistics import mean, median

Topic = Mapping[str, Mapping[str, float]]
"""For each query language the rank of the best-ranked relevant document of each document language."""

Rows = dict[str, list[float]]


def documents_of(topic: Topic) -> set[str]:
    return {language for row in topic.values() for language in row}


def before(one: float, other: float) -> float:
    return 0.5 if one == other else float(one < other)


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
    """Documents at one expected rank share the first place."""
    first = [c for c in r if r[c] == min(r.values())]
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
            rest = [rank - (rank > r[gone]) for c, rank in r.items() if c != gone]
            loss[gone] = (whole - average_precision(rest)) / whole
        return loss[a] - mean(loss[c] for c in r if c != a)

    return by_query_language(topics, value)


def rank_spread(topics: Sequence[Topic]) -> float | None:
    values = []
    for topic in topics:
        documents = []
        for c in documents_of(topic):
            asked = [topic[a][c] for a in topic if c in topic[a]]
            gaps = [abs(log2(one) - log2(two)) for one, two in combinations(asked, 2)]
            if gaps:
                documents.append(mean(gaps))
        if documents:
            values.append(mean(documents))
    return mean(values) if values else None


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
    }


def all_references(topics: Sequence[Topic], size: int) -> dict[tuple[str, str], float | None]:
    """Return every floor and chance level that depends on the topics."""
    kept = [topic for topic in topics if len(documents_of(topic)) >= 2]

    def expected(value: Callable[[int], float]) -> float | None:
        return mean_of_means(by_query_language(kept, lambda a, r: value(len(r))))

    return {
        ("rank_distance", "floor"): expected(lambda m: m - 1),
        ("rank_distance", "chance"): expected(lambda m: (size + 1) * (m - 1) / (m + 1)),
        ("max_rank", "chance"): expected(lambda m: m * (size + 1) / (m + 1)),
        ("max_rank_norm", "chance"): expected(lambda m: 100 / (m * log(2) * log2(size / m))),
        ("same_language_first", "other_languages"): mean_of_means(same_language_first_elsewhere(kept)),
        ("own_language_preference", "chance"): 0.5 if kept else None,
        ("removal_gap", "chance"): 0.0 if kept else None,
    }
