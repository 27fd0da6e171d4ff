"""How reports are written: one module for each format."""
