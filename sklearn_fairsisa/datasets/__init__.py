"""Data sets for training, forgetting and comparing."""

from ._hatexplain import fetch_hatexplain
from ._posts import make_biased_posts
from ._redditbias import fetch_redditbias

__all__ = ["fetch_hatexplain", "fetch_redditbias", "make_biased_posts"]
