"""Data sets for training, forgetting and comparing."""

from ._hatexplain import fetch_hatexplain
from ._posts import make_biased_posts

__all__ = ["fetch_hatexplain", "make_biased_posts"]
