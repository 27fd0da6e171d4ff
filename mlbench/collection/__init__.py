"""Test collections: languages, queries, documents, judgments, images."""

from mlbench.collection.images import BrokenImage, open_image, open_images
from mlbench.collection.languages import IMAGE, Setting, settings_of
from mlbench.collection.records import Collection, Document, Image, Judgment, Query, document_id

__all__ = [
    "IMAGE",
    "BrokenImage",
    "Collection",
    "Document",
    "Image",
    "Judgment",
    "Query",
    "Setting",
    "document_id",
    "open_image",
    "open_images",
    "settings_of",
]
