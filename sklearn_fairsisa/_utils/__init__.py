"""Helpers that every part of the package may use; they import no other part."""
