"""Measures of ranked lists and language-bias scores: formula, source, arithmetic."""
