"""Exact fair post-processing of discrete outputs, by geometry."""
