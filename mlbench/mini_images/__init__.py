"""A small collection of drawn shapes with captions in 11 languages, made by rule so that it needs no download."""
