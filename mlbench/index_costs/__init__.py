"""What approximate indexes cost: their results against the exact one of the same encoder, from ranks alone."""
