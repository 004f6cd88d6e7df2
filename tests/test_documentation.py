"""All that is public is named, described and typed."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

API = Path(__file__).parents[1] / "docs" / "api.rst"
MODULES = [
    "",
    ".datasets",
    ".dossier",
    ".linear_model",
    ".metrics",
    ".plotting",
    ".postprocessing",
    ".sisa",
    ".text",
]
# Sections that a short method need not have, the wording of summaries, and a type that
# numpydoc does not know ("boolean mask").
NOT_ASKED_FOR = {"ES01", "EX01", "PR06", "RT02", "RT03", "SA01", "SS05"}


def public_objects():
    for suffix in MODULES:
        module = importlib.import_module("sklearn_fairsisa" + suffix)
        for name in module.__all__:
            yield module.__name__, name


def members(described):
    """What a class has from this package, be it from a base class."""
    found = {}
    for base in reversed(described.__mro__):
        if base.__module__.startswith("sklearn_fairsisa"):
            found |= vars(base)
    return found


def public_names():
    for module, name in public_objects():
        yield f"{module}.{name}"
        described = getattr(importlib.import_module(module), name)
        if inspect.isclass(described):
            for member, value in members(described).items():
                if (
                    not member.startswith("_")
                    and not member.endswith("_request")
                    and inspect.isfunction(inspect.unwrap(value))
                ):
                    yield f"{module}.{name}.{member}"


def test_the_reference_lists_every_public_name():
    listed = API.read_text().split()
    assert {name for _, name in public_objects()} - set(listed) == set()


def test_an_example_is_in_every_public_estimator_and_function():
    for module, name in public_objects():
        described = getattr(importlib.import_module(module), name)
        if inspect.isfunction(described) or hasattr(described, "get_params"):
            assert ">>>" in inspect.getdoc(described), name


@pytest.mark.parametrize("name", list(public_names()))
def test_public_docstrings_are_complete(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    errors = validate(name)["errors"]
    assert [error for error in errors if error[0] not in NOT_ASKED_FOR] == []


def public_signatures():
    for module, name in public_objects():
        described = getattr(importlib.import_module(module), name)
        if inspect.isfunction(described):
            yield f"{module}.{name}", described
        elif inspect.isclass(described):
            for member in members(described):
                if member in {"__init__", "__call__"} or (
                    not member.startswith("_") and not member.endswith("_request")
                ):
                    value = getattr(described, member)
                    function = value.fget if isinstance(value, property) else value
                    if inspect.isroutine(function):
                        yield f"{module}.{name}.{member}", function


@pytest.mark.parametrize(
    "function", [pytest.param(f, id=name) for name, f in public_signatures()]
)
def test_public_signatures_are_typed(function):
    signature = inspect.signature(function)
    # The object itself needs no type.
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    assert [p.name for p in parameters if p.annotation is p.empty] == []
    assert signature.return_annotation is not signature.empty


def test_the_tests_that_the_guide_names_are_there():
    root = API.parents[1]
    page = (root / "docs/user_guide/promises.rst").read_text()
    named = re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", page)
    assert len(named) > 30
    for file, test in named:
        assert f"\ndef {test}(" in (root / file).read_text(), test
