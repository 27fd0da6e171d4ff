"""What is known of widely used models: how they are used, what they were trained on, and who says so."""
