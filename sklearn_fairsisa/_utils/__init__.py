"""Helpers for all parts of the package; they only import the exceptions."""
