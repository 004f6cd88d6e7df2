"""Clusters give the bits that one process gives."""

import os
from pathlib import Path

import joblib
import numpy as np
import pytest
from held import digests
from learners_of_workers import KillsItsWorkerOnce
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa._digests import digest

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")

X, y = make_classification(n_samples=120, n_features=6, random_state=0)


def make_sisa(estimator, **params):
    return SISAClassifier(estimator, n_shards=4, n_slices=2, random_state=0, **params)


@pytest.fixture(scope="module")
def cluster():
    here = str(Path(__file__).parent)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = here if before is None else f"{here}:{before}"
    try:
        with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@pytest.mark.parametrize("name", ["sgd", "mlp"])
def test_a_dask_cluster_gives_the_same_bits(cluster, tmp_path, name):
    learner = {"sgd": SGDClassifier(), "mlp": MLPClassifier((4,))}[name]
    local = make_sisa(learner).fit(X, y)
    with joblib.parallel_config(backend="dask"):
        far = make_sisa(learner, checkpoint_dir=tmp_path).fit(X, y)
        assert digests(far) == digests(local)
        far.forget([1, 2, 3, 50]).partial_fit(X, y).forget([130, 131])
        assert far.verify_forgotten()
    local.forget([1, 2, 3, 50]).partial_fit(X, y).forget([130, 131])
    assert digests(far) == digests(local)
    reopened = SISAClassifier.load(tmp_path)
    np.testing.assert_array_equal(reopened.transform(X), local.transform(X))


def test_a_dask_cluster_reads_what_was_written_of_a_memory_map(cluster, tmp_path):
    np.save(tmp_path / "X.npy", X)
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    with joblib.parallel_config(backend="dask"):
        far = make_sisa(SGDClassifier(), checkpoint_dir=tmp_path / "d").fit(rows, y)
        far.forget([1, 50]).partial_fit(rows, y)
    local = make_sisa(SGDClassifier()).fit(X, y).forget([1, 50]).partial_fit(X, y)
    assert digests(far) == digests(local)


# Workers import everything anew.
@pytest.mark.timeout(900)
def test_ray_workers_give_the_same_bits(tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    local = make_sisa(SGDClassifier()).fit(X, y).forget([1, 2, 3, 50])
    try:
        with joblib.parallel_config(backend="ray", n_jobs=2):
            far = make_sisa(SGDClassifier(), n_jobs=2, checkpoint_dir=tmp_path)
            far.fit(X, y).forget([1, 2, 3, 50])
            assert far.verify_forgotten()
    finally:
        ray.shutdown()
    assert digests(far) == digests(local)


def test_a_killed_worker_is_replaced_and_changes_nothing(cluster, tmp_path):
    marker = tmp_path / "was killed"
    local = make_sisa(KillsItsWorkerOnce()).fit(X, y)
    with joblib.parallel_config(backend="dask"):
        far = make_sisa(KillsItsWorkerOnce(str(marker))).fit(X, y)
    assert marker.exists()
    for one, other in zip(far.estimators_, local.estimators_):
        one.marker = None
        assert digest(one) == digest(other)
