"""The package gives each message that the page on troubleshooting quotes."""

import ast
import re
from pathlib import Path

import pytest

import sklearn_fairsisa
from sklearn_fairsisa import exceptions

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.rst"
QUOTED = re.compile(
    r"\.\. code-block:: none\n   :class: message\n\n((?:   \S.*\n)+)", re.MULTILINE
)


def quoted_messages():
    """Return the class and the text of each quoted message."""
    quoted = [" ".join(lines.split()) for lines in QUOTED.findall(PAGE.read_text())]
    return [tuple(message.split(": ", 1)) for message in quoted]


def texts_of(node):
    """Yield all literal texts, with a null character where a value is inserted."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(
            part.value if isinstance(part, ast.Constant) else "\0"
            for part in node.values
        )
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts_of(child)


@pytest.fixture(scope="module")
def texts():
    found = []
    for path in Path(sklearn_fairsisa.__file__).parent.rglob("*.py"):
        found += texts_of(ast.parse(path.read_text()))
    return found


def as_pattern(message):
    """Return a pattern in which each ... stands for at least one inserted value."""
    parts = [re.escape(part.strip()) for part in message.split("...")]
    return r"\s*\S*\0.*?".join(parts)


def test_the_page_quotes_enough_messages():
    assert len(quoted_messages()) >= 25


@pytest.mark.parametrize(("kind", "message"), quoted_messages())
def test_a_quoted_message_is_in_the_source(kind, message, texts):
    pattern = re.compile(as_pattern(message))
    assert any(pattern.search(text) for text in texts)


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in quoted_messages()}))
def test_a_quoted_class_exists(kind):
    builtin = vars(__import__("builtins"))
    assert hasattr(exceptions, kind) or kind in builtin
