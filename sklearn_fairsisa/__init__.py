"""Classifiers that forget exactly and stay fair."""
