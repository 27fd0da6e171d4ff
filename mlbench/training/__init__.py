"""Training: from a recipe to a checkpoint, and sweeps over recipes."""
