"""Files of a corpus: in a folder of the caller's, or in a cache that downloads fill."""

import os
from dataclasses import dataclass
from pathlib import Path

ENV = "SKLEARN_FAIRSISA_DATA"


@dataclass(frozen=True)
class Release:
    """The published files of a corpus.

    Parameters
    ----------
    corpus : str
        Name of the corpus.
    url : str
        Address of the files, to which their names are appended.
    sha256 : dict of str to str
        Digest of each file, by its name.
    folder : str
        Folder in the cache.
    """

    corpus: str
    url: str
    sha256: dict
    folder: str

    @property
    def names(self):
        """Return the names of the files in words."""
        return " and ".join(self.sha256)

    def missing_in(self, folder):
        """Return the names of the files that a folder lacks."""
        return [name for name in self.sha256 if not (folder / name).is_file()]


def find_folder(release, data_home, download_if_missing):
    """Return a folder with the files of a release.

    Parameters
    ----------
    release : Release
    data_home : str, path or None
        Folder of the caller's; by default that of the environment variable, if it is
        set, or else that of the cache.
    download_if_missing : bool

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded.
    """
    origin = f"data_home={os.fspath(data_home)!r}" if data_home is not None else None
    if data_home is None and os.environ.get(ENV):
        data_home = os.environ[ENV]
        origin = f"The environment variable {ENV}={data_home!r}"
    if data_home is None:
        return _cached_folder(release, download_if_missing)
    folder = Path(data_home).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{origin} is not a folder. Name the folder with {release.names} of "
            f"{release.corpus}."
        )
    missing = release.missing_in(folder)
    if missing:
        raise FileNotFoundError(
            f"{origin} lacks {' and '.join(missing)}. Name the folder with "
            f"{release.names} of {release.corpus}, or leave it out to download them."
        )
    return folder


def _cached_folder(release, download_if_missing):
    advice = (
        f"by data_home= or by the environment variable {ENV}, a folder with "
        f"{release.names} (from {release.url})."
    )
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"Downloading {release.corpus} needs pooch. Install it with `pip install "
            f"pooch`, or name {advice}"
        ) from None
    folder = Path(pooch.os_cache("sklearn-fairsisa")) / release.folder
    missing = release.missing_in(folder)
    if missing and not download_if_missing:
        raise OSError(
            f"{release.corpus} is not in {folder} and download_if_missing=False. Name "
            f"{advice}"
        )
    for name in missing:
        digest = f"sha256:{release.sha256[name]}"
        try:
            pooch.retrieve(release.url + name, digest, fname=name, path=folder)
        # requests' errors are OSErrors; a wrong digest is a ValueError.
        except (OSError, ValueError) as error:
            raise OSError(
                f"{release.corpus} could not be downloaded from {release.url + name}. "
                f"Name {advice} The cause: {error}"
            ) from error
    return folder


def check_option(name, value, options):
    """Raise unless a value is among some options."""
    if value not in options:
        known = ", ".join(map(repr, options))
        raise ValueError(f"{name}={value!r} is unknown. Choose one of {known}.")
