"""Check what a release would upload: its size, files, metadata, README and citation.

python .ci/check_dist.py dist
"""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

# Twice the size of today; results alone are ten times as large.
MOST_BYTES = 2_000_000
NEEDED_BY_TESTS = {".ci/run", "README.md", "docs/api.rst", "tests/conftest.py"}


def check_sdist(path):
    """Return the metadata of a small sdist without results, or exit."""
    if path.stat().st_size >= MOST_BYTES:
        sys.exit(
            f"{path} has {path.stat().st_size:,} bytes, at most {MOST_BYTES:,} are "
            "meant. Exclude what is large under [tool.hatch.build.targets.sdist]."
        )
    with tarfile.open(path) as archive:
        folder = path.name.removesuffix(".tar.gz")
        names = {name.removeprefix(f"{folder}/") for name in archive.getnames()}
        metadata = archive.extractfile(f"{folder}/PKG-INFO").read()
    results = sorted(name for name in names if "/results/" in name)
    if results:
        sys.exit(
            f"{path} holds {results[0]} and {len(results) - 1} other results. Exclude "
            "them under [tool.hatch.build.targets.sdist]."
        )
    if missing := NEEDED_BY_TESTS - names:
        sys.exit(f"{path} lacks {sorted(missing)}, which its tests read.")
    return metadata


def check_wheel(path):
    """Return the metadata of a wheel that holds the package alone, or exit."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (info,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(info)
    folders = {name.split("/")[0] for name in names} - {info.split("/")[0]}
    if folders != {"sklearn_fairsisa"} or "sklearn_fairsisa/py.typed" not in names:
        sys.exit(
            f"{path} holds {sorted(folders)}. It must hold sklearn_fairsisa alone, and "
            "py.typed in it."
        )
    return metadata


def check_citation(version):
    """Exit unless CITATION.cff is about this version."""
    text = Path("CITATION.cff").read_text()
    (cited,) = re.findall(r"^version: (.+)$", text, re.MULTILINE)
    if cited != version:
        sys.exit(f"CITATION.cff cites version {cited}, but the version is {version}.")


def check_links(metadata):
    """Exit if an index would show dead links for a release.

    An index has no files beside the README. Versions for development are not uploaded,
    and nothing says yet where the repository will be.
    """
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", metadata.description)
    addresses = metadata.project_urls or {}
    is_release = "dev" not in str(metadata.version)
    if is_release and (links or not addresses):
        sys.exit(
            f"The README has the relative links {links}, and the metadata has "
            f"{len(addresses)} addresses. On the index these links lead nowhere: "
            "make them absolute, and give the repository in [project.urls]."
        )
    print(f"{len(links)} links of the README must be absolute before a release")


def main():
    (folder,) = map(Path, sys.argv[1:])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    found = [check_sdist(sdist), check_wheel(wheel)]
    for path, metadata in zip((sdist, wheel), found):
        # As the index does; what is not valid raises.
        parsed = Metadata.from_email(metadata, validate=True)
        print(
            f"{path.name}: {path.stat().st_size:,} bytes, {parsed.name} "
            f"{parsed.version}, {parsed.description_content_type} of "
            f"{len(parsed.description):,} characters"
        )
    check_citation(str(parsed.version))
    check_links(parsed)
    if found[0] != found[1]:
        sys.exit("The metadata of sdist and wheel differ.")


if __name__ == "__main__":
    main()
