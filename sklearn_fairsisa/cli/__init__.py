"""The command line: the comparison, and commands for durable directories."""

from ._parser import main

__all__ = ["main"]
