"""One document on forgetting, fairness and limits, for whoever supervises a model."""

from ._dossier import Dossier, make_dossier

__all__ = ["Dossier", "make_dossier"]
