import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_example_runs_as_written_in_fifteen_lines(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    statements = [line for line in example.splitlines() if line.strip()]
    assert len(statements) <= 15
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.strip().endswith("True")
    assert "false_positive_rate" in printed


def test_ci_runs_the_test_command_word_for_word():
    ci = (README.parent / ".ci" / "run").read_text()
    assert 'pip install -e ".[test]" && pytest\n' in README.read_text()
    lines = {line.strip() for line in ci.splitlines()}
    assert {'pip install -e ".[test]"', "pytest"} <= lines
