"""The parts of the study that ``paper.py`` runs."""
