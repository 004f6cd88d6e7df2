"""The command line: the main job, and commands over durable directories."""

from ._parser import main

__all__ = ["main"]
