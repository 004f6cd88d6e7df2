"""Values that existing directories rest on, written down from an earlier version.

Should one of these change, tomorrow's version sends a subject's later rows to another
shard, trains other members from the same plan, or refuses today's logs and signatures.
A change needs a new format of directories.
"""

import numpy as np
import pytest
from held import state_of
from scipy import sparse
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.fairness._coins import row_coins
from sklearn_fairsisa.sisa._audit import AuditLog, salted_row
from sklearn_fairsisa.sisa._digests import digest
from sklearn_fairsisa.sisa._plan import (
    make_plan,
    subject_key,
    training_seed,
    watched_rows,
)
from sklearn_fairsisa.sisa.store.signing import key_id, sign

NAMED = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])


def test_rows_without_subjects_keep_their_places():
    plan = make_plan(12, n_shards=3, n_slices=2, seed=7)
    assert plan.shards.tolist() == [0, 2, 1, 2, 1, 1, 0, 1, 2, 0, 2, 0]
    assert plan.slices.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1]
    longer = plan.extended(5)
    assert longer.shards[12:].tolist() == [0, 2, 1, 2, 0]
    assert longer.slices[12:].tolist() == [2] * 5


def test_watched_rows_stay_watched():
    watched = [2, 5, 6, 7, 10, 13, 14, 15, 16, 18]
    assert np.flatnonzero(watched_rows(7, 0.3, np.arange(20))).tolist() == watched
    some = np.array([3, 10, 18])
    assert watched_rows(7, 0.3, some).tolist() == [False, True, True]
    people = ["ada", "bob", "cy", "ada", 4, 5, 6, 7]
    of_people = watched_rows(7, 0.3, np.arange(8), people)
    assert np.flatnonzero(of_people).tolist() == [2, 5, 6]


def test_rows_of_subjects_keep_their_places():
    first = ["anna", "ben", "anna", 7, "7", 7.0]
    plan = make_plan(6, n_shards=3, n_slices=2, seed=7, subjects=first)
    assert plan.shards.tolist() == [1, 0, 1, 1, 1, 1]
    assert plan.slices.tolist() == [1, 1, 1, 0, 0, 0]
    longer = plan.extended(3, ["ben", "carl", 7])
    assert longer.shards[6:].tolist() == [0, 2, 1]


def test_roles_stay():
    plan = make_plan(10, n_shards=2, n_slices=1, seed=7, held_out=0.3).extended(5)
    ids = ["anna", "ben", 7, "carl", "dora", "emil"]
    of_people = make_plan(6, n_shards=2, n_slices=1, seed=7, subjects=ids, held_out=0.4)
    assert plan.shards.tolist() == [-1, 0, 0, 1, 0, 0, 1, -1, 1, -1, 0, -1, -1, 0, 1]
    assert plan.slices.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert of_people.shards.tolist() == [0, 1, 1, 0, -1, 1]
    assert of_people.extended(6, ids).shards[6:].tolist() == of_people.shards.tolist()


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("anna", 6160571306001184318),
        (7, 15264459805424322853),
        (7.0, 15264459805424322853),
        (np.int16(7), 15264459805424322853),
        ("7", 4160456900146149457),
        (b"x", 122461369808078541),
        ((1, "a"), 1999537957796651251),
        (None, 7503278691211755092),
    ],
)
def test_a_subject_keeps_its_key(subject, key):
    assert subject_key(subject, 7) == key


@pytest.mark.parametrize(
    ("place", "seed"),
    [
        ((7, 0, 0, 0), 2075355705),
        ((7, 2, 0, 0), 568570116),
        ((7, 0, 1, 0), 916020372),
        ((7, 0, 0, 5), 532500449),
        ((2**63 - 1, 1, 1, 0), 2137046810),
    ],
)
def test_a_stage_keeps_its_seed(place, seed):
    assert training_seed(*place) == seed


@pytest.mark.parametrize(
    ("state", "begins"),
    [
        (None, "e7fa15e3c132791f"),
        (True, "b97833b333e29a44"),
        (1, "e9d3042af1c0f976"),
        (1.5, "620165cd957986af"),
        ("a", "eead6b4503209285"),
        (b"a", "75f3b845e62a61ff"),
        ([1, 2], "34b0d94efdb246a4"),
        ((1, 2), "b10453182a82e4ad"),
        ({"b": 1, "a": 2}, "a08a9a9c59248966"),
        ({3, 1}, "cc8c19d165d6c19a"),
        (np.arange(3), "a0f85f203a3d2b14"),
        (np.arange(3, dtype=np.float32), "ae3e5f9a1b11b71a"),
        (np.float64(-0.0), "10e133280cb285ef"),
        (np.array(["a", "b"], dtype=object), "bcecc829fe88f0ae"),
        (sparse.csr_array(np.eye(2)), "d0e45a03c7cbdb4c"),
        (np.random.RandomState(0), "b6c3fdc68da5885c"),
        (NAMED, "1d0a3bc33c1c07e3"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_state_keeps_its_digest(state, begins):
    assert len(digest(state)) == 64
    assert digest(state).startswith(begins)


def test_a_log_keeps_its_hashes():
    log = AuditLog().appended({"kind": "fit", "n": 3})
    log = log.appended({"kind": "forget", "rows": ["a"]})
    assert log.head == (
        "353ddee74257e2ba0a648893cfe2d8f9ca588bf96900c5fe572cbd3cedc3714a"
    )
    assert [entry["entry"] for entry in log.entries] == [1, 2]


def test_salted_ids_and_signatures_stay():
    assert salted_row(5, "00" * 16) == "2a8db2b294912c10906e311e76148363"
    assert salted_row(5, "00" * 15 + "01") != salted_row(5, "00" * 16)
    assert sign(b"key", b"data") == (
        "5031fe3d989c6d1537a013fa6e739da23463fdaec3b70137d828e36ace221bd0"
    )
    assert key_id(b"key") == "0abb1ef4"


def test_a_salt_has_128_bits_and_every_byte_of_it_counts():
    X, y = np.arange(8.0)[:, None], np.arange(8) % 2
    fits = [SISAClassifier(GaussianNB(), n_shards=2).fit(X, y) for _ in range(3)]
    salts = {state_of(fitted.forget(3)).salt for fitted in fits}
    assert {len(bytes.fromhex(salt)) for salt in salts} == {16}
    assert len(salts) == 3
    for byte in range(16):
        other = bytearray(16)
        other[byte] = 1
        assert salted_row(5, other.hex()) != salted_row(5, bytes(16).hex())


def test_a_row_keeps_its_coin():
    mixed = [np.array([0.1, 3.0]), np.array(["x", None], dtype=object)]
    np.testing.assert_array_equal(
        row_coins(mixed, 7), [0.13893295325412436, 0.15805944418973328]
    )
    X = np.array([[0.1, 2.0], [0.0, -1.5]])
    np.testing.assert_array_equal(
        row_coins(X, 7), [0.9628512793547594, 0.270305850986854]
    )
    np.testing.assert_array_equal(
        row_coins(X, 2**31 - 1), [0.8584244599650526, 0.21774945566304882]
    )
