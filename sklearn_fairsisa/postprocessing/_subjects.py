"""Which rows belong to which data subject."""

import secrets
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..sisa._plan import subject_key
from ..sisa._requests import check_known_subjects


@dataclass(frozen=True)
class Subjects:
    """The data subject of each row, by keyed hashes in place of the ids.

    Parameters
    ----------
    keys : ndarray of uint64 of shape (n_rows,)
        They reveal no id without the salt, so those of forgotten rows may stay and a
        request can be repeated.
    salt : str
    """

    keys: np.ndarray
    salt: str

    @classmethod
    def of(cls, ids) -> Self:
        """Take down the data-subject ids of rows."""
        salt = secrets.token_hex(16)
        return cls(_keys(ids, salt), salt)

    def rows(self, ids):
        """Return the sorted positions of the rows of a list of subjects.

        Raises
        ------
        ValueError
            If there is no row of a subject.
        """
        wanted = _keys(ids, self.salt)
        found = np.flatnonzero(np.isin(self.keys, wanted))
        if not np.isin(wanted, self.keys[found]).all():
            known = set(self.keys.tolist())
            check_known_subjects(ids, lambda i: subject_key(i, self.salt) in known)
        return found


def _keys(ids, salt):
    return np.array([subject_key(i, salt) for i in ids], dtype=np.uint64)
