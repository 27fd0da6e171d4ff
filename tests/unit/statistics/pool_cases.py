"""A small pool, with the measures that whole sorted lists give: what the tests of pools compare with."""

from collections.abc import Sequence

import numpy as np

from mlbench.ranking.ranks import Ranks

LANGUAGES = ("de", "en", "th")
TOPICS, DOCUMENTS = 5, 8


class PoolCase:
    """Five topics in three languages over eight documents each; topic n's document is number n, none in Thai for 0."""

    def __init__(self, seed: int = 0) -> None:
        self.scores = np.random.RandomState(seed).permutation(3 * TOPICS * 3 * DOCUMENTS)
        self.scores = self.scores.reshape(3, TOPICS, 3, DOCUMENTS)

    def rows(self) -> list[tuple[int, int, int]]:
        """Query language, topic and document language of each judgment."""
        return [(q, t, d) for q in range(3) for t in range(TOPICS) for d in range(3) if (t, d) != (0, 2)]

    def ahead(self, query: int, topic: int, document: int) -> list[int]:
        own = self.scores[query, topic, document, topic]
        return [int((self.scores[query, topic, block] > own).sum()) for block in range(3)]

    def ranks(self) -> Ranks:
        rows = self.rows()

        def integers(values: object) -> np.ndarray:
            return np.array(values, dtype=np.int32)

        return Ranks(
            languages=np.array(LANGUAGES),
            columns=np.array(LANGUAGES),
            column_sizes=integers([DOCUMENTS] * 3),
            topic_ids=np.array([f"t{topic}" for topic in range(TOPICS)]),
            topic_clusters=integers(range(TOPICS)),
            cluster_unit=np.array(["topic"]),
            query_topics=integers([topic for _ in range(3) for topic in range(TOPICS)]),
            query_languages=integers([query for query in range(3) for _ in range(TOPICS)]),
            document_ids=np.array([f"{a}-{topic}" for a in LANGUAGES for topic in range(TOPICS)]),
            document_languages=integers([language for language in range(3) for _ in range(TOPICS)]),
            row_queries=integers([q * TOPICS + t for q, t, _ in rows]),
            row_documents=integers([d * TOPICS + t for _, t, d in rows]),
            row_grades=integers([1] * len(rows)),
            ahead=integers([self.ahead(*row) for row in rows]),
            ties=integers([[0, 0, 0]] * len(rows)),
            top=integers(np.full((3 * TOPICS, 1), -1)),
            listed=integers(np.full((3 * TOPICS, 3), DOCUMENTS)),
        )

    def average_precision(self, query: int, pool: Sequence[int]) -> list[float]:
        """By sorting the whole pool and walking down the list, topics without a relevant document left out."""
        values = []
        for topic in range(TOPICS):
            listed = sorted(
                ((self.scores[query, topic, d, n], (d, n)) for d in pool for n in range(DOCUMENTS)), reverse=True
            )
            relevant = {(d, topic) for d in pool if (topic, d) != (0, 2)}
            found = [place for place, (_, document) in enumerate(listed, 1) if document in relevant]
            if relevant:
                values.append(sum(n / place for n, place in enumerate(found, 1)) / len(relevant))
        return values
