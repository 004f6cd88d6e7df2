"""Finished pieces of long studies, each kept as one small file.

A study of hours is measured piece by piece. Each piece is a file of JSON that holds its
key, which says what was measured, and what was found; the name of the file holds the
key too. The next run measures only the missing pieces. Pieces can be committed, so that
a study continues on another machine; delete the folder to measure anew.
"""

import base64
import io
import json
import os
import re

import numpy as np


class Pieces:
    """The pieces of one study.

    Parameters
    ----------
    folder : Path
        Folder of the pieces, made when the first one is kept.

    Attributes
    ----------
    counts : dict of str to int
        Pieces that this run found ("kept") and added ("measured").
    """

    def __init__(self, folder):
        self.folder = folder
        self.counts = {"kept": 0, "measured": 0}

    @classmethod
    def beside(cls, output):
        """Return the pieces of ``results/study.json``: ``results/study/pieces``."""
        return cls(output.with_suffix("") / "pieces")

    def __contains__(self, key):
        return self._path(key).exists()

    def read(self, key):
        """Return what was found for a key, or None if it must be measured.

        Parameters
        ----------
        key : dict of str to JSON value

        Returns
        -------
        JSON value or None
            Arrays are returned as arrays, tuples as lists.
        """
        path = self._path(key)
        if not path.exists():
            return None
        piece = json.loads(path.read_text(), object_hook=_array_from_json)
        if piece["key"] != key:
            raise ValueError(
                f"{path} holds the piece {piece['key']}, but {key} is needed. Delete "
                "the file, or rename it after its own key."
            )
        if not self.counts["kept"]:
            print(f"Kept pieces are in {self.folder}. Delete it to measure anew.")
        self.counts["kept"] += 1
        return piece["found"]

    def keep(self, key, found):
        """Write what was found for a key.

        Parameters
        ----------
        key : dict of str to JSON value
        found : JSON value
            It may contain numpy's arrays, tuples and numbers.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "found": found}, default=_json_from_numpy)
        path = self._path(key)
        # A run killed while it writes leaves no piece that looks finished.
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_text(text + "\n")
        aside.replace(path)
        self.counts["measured"] += 1

    def _path(self, key):
        parts = (
            f"{name}={re.sub(r'[^a-zA-Z0-9_.]+', '-', str(value)).strip('-')}"
            for name, value in key.items()
            if value is not None
        )
        return self.folder / f"{','.join(parts)}.json"


def _json_from_numpy(value):
    if isinstance(value, np.ndarray):
        stream = io.BytesIO()
        np.save(stream, value, allow_pickle=False)
        return {"npy": base64.b64encode(stream.getvalue()).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"A piece is written as JSON, which has no {type(value).__name__}. Convert it "
        "to numbers, strings, lists, dicts or numpy arrays first."
    )


def _array_from_json(found):
    if found.keys() != {"npy"}:
        return found
    return np.load(io.BytesIO(base64.b64decode(found["npy"])), allow_pickle=False)
