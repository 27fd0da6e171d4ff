"""Statistics over clusters of topics: scores with intervals, paired differences and tests."""
