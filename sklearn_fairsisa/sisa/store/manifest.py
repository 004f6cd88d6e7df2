"""The files that say what of a directory counts."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

from ...exceptions import DamagedDirectoryError, DirectoryError, SignatureError
from .._rows import Facts
from .signing import KEY_VARIABLE, is_signed, key_id, sign, signing_key

FORMAT = 4
MANIFEST = "manifest.json"
_SIGNATURE = b', "signature": "'


def to_json(record: Any) -> bytes:
    """Return a record, or what holds records, as bytes of JSON."""
    return json.dumps(record, default=_fields, sort_keys=True).encode()


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


class File(NamedTuple):
    """A file that is written once and never changed.

    Parameters
    ----------
    name : str
    n_bytes : int
    sha256 : str
    """

    name: str
    n_bytes: int
    sha256: str


# The files that one packed object takes: its skeleton, then its weights.
Files = tuple[File, ...]


class StoredPiece(NamedTuple):
    """Some rows of one slice.

    Parameters
    ----------
    facts : Facts
    files : Files
    """

    facts: Facts
    files: Files

    @classmethod
    def from_json(cls, given: list[list[Any]]) -> Self:
        """Return the piece of some parsed JSON."""
        (slice, first, n_rows, labels, weighs), files = given
        facts = Facts(slice, first, n_rows, tuple(labels), weighs)
        return cls(facts, _files(files))


@dataclass(frozen=True)
class Shard:
    """What counts of one shard. It is a file of its own, so that others stay as is.

    Parameters
    ----------
    stage : int
        Number of slices that the member has learnt from.
    n_stages : int
        Number of slices.
    digest : str
        Digest of the member.
    reason : str or None
        Why the shard is behind; None if it is not.
    rows : tuple of StoredPiece
    checkpoints : dict of int to Files
        The member after some of the stages, counted from 0. The last is the member. A
        store in memory keeps the members themselves in place of files.
    """

    stage: int
    n_stages: int
    digest: str
    reason: str | None
    rows: tuple[StoredPiece, ...]
    checkpoints: dict[int, Any]

    @property
    def is_behind(self) -> bool:
        """Whether the member has slices yet to learn."""
        return self.stage < self.n_stages

    @cached_property
    def files(self) -> dict[str, File]:
        """All files of the shard, by name."""
        rows = (piece.files for piece in self.rows)
        return _by_name((*rows, *self.checkpoints.values()))

    @cached_property
    def by_digest(self) -> dict[str, File]:
        """The same files by the digests of their content."""
        return {file.sha256: file for file in self.files.values()}

    def to_json(self) -> bytes:
        """Return the bytes of the shard's file."""
        return to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the shard that `to_json` was called on."""
        facts = json.loads(data)
        facts["rows"] = tuple(map(StoredPiece.from_json, facts["rows"]))
        facts["checkpoints"] = {
            int(stage): _files(group) for stage, group in facts["checkpoints"].items()
        }
        return cls(**facts)


@dataclass(frozen=True)
class Ensemble:
    """An ensemble, as the files that it consists of.

    Parameters
    ----------
    state : Files
        What it holds besides plan and rows.
    plan : Files
    shards : tuple of File
        For each shard, the file with its ``Shard``.
    held_out : tuple of StoredPiece
        Rows that no shard trains on; batches stand for slices.
    companions : dict of str to Files
        What is committed together with the ensemble, such as a fair rule, by name.
    n_rows, n_forgotten : int
    """

    state: Files
    plan: Files
    shards: tuple[File, ...]
    held_out: tuple[StoredPiece, ...]
    companions: dict[str, Files]
    n_rows: int
    n_forgotten: int

    @cached_property
    def files(self) -> dict[str, File]:
        """The files that belong to no shard, by name."""
        companions = self.companions.values()
        held_out = (piece.files for piece in self.held_out)
        return _by_name((self.state, self.plan, *held_out, *companions))

    @cached_property
    def by_digest(self) -> dict[str, File]:
        """The same files by the digests of their content."""
        return {file.sha256: file for file in self.files.values()}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Self:
        """Return the ensemble of some parsed JSON."""
        companions = {name: _files(g) for name, g in facts["companions"].items()}
        return cls(
            state=_files(facts["state"]),
            plan=_files(facts["plan"]),
            shards=_files(facts["shards"]),
            held_out=tuple(map(StoredPiece.from_json, facts["held_out"])),
            companions=companions,
            n_rows=facts["n_rows"],
            n_forgotten=facts["n_forgotten"],
        )


@dataclass(frozen=True)
class AuditEnd:
    """Where the audit log ends.

    Parameters
    ----------
    entries : int
        Number of entries.
    head : str
        Hash of the newest.
    n_bytes : int, default=0
        Bytes that the entries before the newest take in the file of the log.
    tail : dict, default=None
        The newest entry, which the file of the log may lack after a crash.
    """

    entries: int
    head: str
    n_bytes: int = 0
    tail: dict[str, Any] | None = None


@dataclass(frozen=True)
class Manifest:
    """What of a directory counts. Replacing its file is what commits a change.

    Parameters
    ----------
    id : str
        Name of the directory's history, drawn by its first fit.
    audit : AuditEnd
    keep_every : int, default=1
        As in ``CheckpointPolicy``.
    commits : int, default=0
        Number of changes that were committed.
    current : Ensemble, default=None
        None until the first fit has begun.
    """

    id: str
    audit: AuditEnd
    keep_every: int = 1
    commits: int = 0
    current: Ensemble | None = None

    def ensembles(self) -> list[Ensemble]:
        """Return the ensembles whose files count: the current one, if there is one."""
        return [] if self.current is None else [self.current]

    @cached_property
    def shards(self) -> dict[str, File]:
        """The files that list those of a shard and count, by name."""
        return _by_name(ensemble.shards for ensemble in self.ensembles())

    def to_json(self) -> bytes:
        """Return the bytes of the manifest's file, signed with one's own key."""
        # Read when needed, or pickles of an estimator would hold it.
        key = signing_key()
        facts = {**_fields(self), "format": FORMAT, "key": key_id(key)}
        data = to_json(facts)
        return data[:-1] + _SIGNATURE + sign(key, data).encode() + b'"}'

    @classmethod
    def from_json(cls, data: bytes, place: str, *, check_signature: bool = True):
        """Return the manifest that the bytes of its file stand for.

        Parameters
        ----------
        data : bytes
        place : str
            Directory that they were read in, for errors.
        check_signature : bool, default=True
            Whether they must be signed with one's own key.

        Returns
        -------
        Manifest

        Raises
        ------
        DamagedDirectoryError
            If they are truncated, altered, or signed with another key.
        DirectoryError
            If they are of another format.
        """
        path = f"{place}/{MANIFEST}"
        try:
            facts = json.loads(data)
            form, signer = facts["format"], str(facts["key"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _no_manifest(path) from None
        if form != FORMAT:
            raise DirectoryError(
                f"{path} has the format {form}, this version reads {FORMAT}. Open it "
                "with the version of sklearn-fairsisa that wrote it, or fit again into "
                "an empty directory."
            )
        if check_signature:
            _check_signature(data, signer, place)
        try:
            current = facts["current"]
            return cls(
                id=facts["id"],
                audit=AuditEnd(**facts["audit"]),
                keep_every=facts["keep_every"],
                commits=facts["commits"],
                current=None if current is None else Ensemble.from_json(current),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _no_manifest(path) from None


def _check_signature(data, signer, place):
    key = signing_key()
    if signer != key_id(key):
        raise SignatureError(
            f"{place} is signed with the key {signer}, not with yours, {key_id(key)}. "
            f"Opening it may run code that its files hold. Set {KEY_VARIABLE} to its "
            "key, or, if you know where it comes from, open it once with "
            "SISAClassifier.load(..., resign=True)."
        )
    # The very bytes are signed, so that nothing else passes that means the same.
    signed, _, end = data.rpartition(_SIGNATURE)
    if not is_signed(key, signed + b"}", end.removesuffix(b'"}')) or end[-2:] != b'"}':
        raise SignatureError(
            f"{place}/{MANIFEST} was altered since it was signed. Restore it from a "
            "backup."
        )


def _no_manifest(path):
    return DamagedDirectoryError(
        f"{path} is truncated or altered: it is no manifest. Restore it from a backup."
    )


def _files(group: list[list[Any]]) -> Files:
    return tuple(File(*facts) for facts in group)


def _by_name(groups: Iterable[Files]) -> dict[str, File]:
    return {file.name: file for group in groups for file in group}


def what_it_holds(name: str) -> str:
    """Return what a file of a directory holds, in words."""
    kind, *places = name.split("-")[:-1]
    if kind == "frozen":
        return "the weights that are not trained"
    if kind == "shard":
        return f"the list of the files of shard {int(places[0][1:])}"
    if name.startswith("rows-held-"):
        return f"the rows held out of batch {int(places[1][1:])}"
    if kind in ("rows", "member"):
        shard, slice = (int(place[1:]) for place in places)
        holds = "the rows" if kind == "rows" else "the checkpoint"
        return f"{holds} of shard {shard}, slice {slice}"
    return f"the {kind} of the ensemble"
