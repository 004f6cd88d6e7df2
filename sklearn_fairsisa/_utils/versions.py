"""Versions of installed packages."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "sklearn-fairsisa", "scikit-learn", "fairlearn", "numpy", "scipy", "pandas",
    "joblib", "torch", "transformers", "tokenizers", "skorch", "peft", "safetensors",
)  # fmt: skip


def installed_versions():
    """Return the versions of Python and of the installed packages.

    Returns
    -------
    dict of str to str
    """
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def show_versions() -> None:
    """Print the versions of Python, the system and the packages, for a bug report.

    Examples
    --------
    >>> from sklearn_fairsisa import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    system: ...
    python: 3...
    ...
    """
    print(f"system: {platform.platform()}")
    for name, number in installed_versions().items():
        print(f"{name}: {number}")
