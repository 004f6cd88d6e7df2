"""Rules written out."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RuleTable:
    """A rule written out.

    Parameters
    ----------
    group : ndarray of int of shape (n_entries,)
    cell : ndarray of str of shape (n_entries,)
    mass : ndarray of shape (n_entries,)
        Share of all calibration weight.
    probability : ndarray of shape (n_entries,)
    """

    group: np.ndarray
    cell: np.ndarray
    mass: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class ClassTable:
    """A rule written out.

    Parameters
    ----------
    group : ndarray of int of shape (n_entries,)
    cell : list of str of length n_entries
    mass : ndarray of shape (n_entries,)
        Share of all calibration weight.
    probability : ndarray of shape (n_entries, n_classes)
    """

    group: np.ndarray
    cell: list
    mass: np.ndarray
    probability: np.ndarray
