"""Two systems in, a verdict out: gates on the differences of a candidate from its base."""
