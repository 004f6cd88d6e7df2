import os

# Before torch and transformers are imported: workers that run side by side on few
# cores must not fight for them, and nothing may ask a hub.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


@pytest.fixture
def hatexplain_home():
    """Folder of the HateXplain corpus, where one is given."""
    folder = os.environ.get("SKLEARN_FAIRSISA_DATA")
    if folder is None:
        pytest.skip("SKLEARN_FAIRSISA_DATA names no folder with HateXplain")
    return folder
