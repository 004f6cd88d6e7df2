"""Data sets to learn, forget and compare on."""

from ._hatexplain import fetch_hatexplain
from ._posts import make_biased_posts

__all__ = ["fetch_hatexplain", "make_biased_posts"]
