import pytest


@pytest.fixture(autouse=True)
def _own_key(monkeypatch):
    """Sign directories with a key of the tests, not with one of the user's."""
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
