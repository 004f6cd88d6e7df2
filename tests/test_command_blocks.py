"""Every command block of README, Get started and the operator's pages is run.

What is not run is named in NOT_RUN, with the reason: nothing is left out silently.
Examples that begin with ``>>>`` are doctests, which CI runs with the documentation.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main

pytest.importorskip("torch")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (
        ROOT / "README.md",
        DOCS / "index.rst",
        *sorted((DOCS / "get_started").glob("*.rst")),
        *(
            DOCS / "user_guide" / f"{name}.rst"
            for name in (
                "command_line",
                "dossier",
                "erasure_requests",
                "production",
                "recipes",
                "serving",
            )
        ),
    )
}
# Languages of blocks that are run, and of those that are not commands.
RUN, QUOTED = {"console", "python"}, {"text", "none"}
# Modules that no extra installs: without them their blocks are skipped, visibly.
OPTIONAL = ("mlflow", "optuna")
# The main job at the size of a test. Later options win over earlier ones.
SMALL = ["--n-samples=200", "--min-group-rows=10", "--n-folds=2", "--n-resamples=20"]
SMALL += ["--output=small"]
OF_TEXTS = ["--epochs=1", "--max-length=16", "--no-cache"]
NETWORK, DATA = "needs a network", "needs HateXplain"
NOT_RUN = {
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": NETWORK,
    "pip install .": NETWORK,
    'pip install ".[lora]"': NETWORK,
    'pip install ".[plot]"': NETWORK,
    'pip install ".[sign]"': NETWORK,
    'pip install ".[text]"': NETWORK,
    'pip install -e ".[test]"': NETWORK,
    "pytest": "runs these very tests, for minutes",
    "fairsisa --data hatexplain --data-home FOLDER --attribute religion": DATA,
}


def blocks_of(path):
    """Yield the language and the text of each block of a page."""
    text = path.read_text()
    if path.suffix == ".md":
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
            yield language or "console", block
        return
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = re.match(r"( *)\.\. code-block:: (\w+)", line)
        if found:
            indent, block = len(found[1]), []
            for following in lines[number + 1 :]:
                if (
                    following.strip()
                    and len(following) - len(following.lstrip()) <= indent
                ):
                    break
                block.append(following)
            block = [x for x in block if not x.strip().startswith(":")]
            yield found[2], textwrap.dedent("\n".join(block)).strip("\n") + "\n"


def commands_of(block):
    """Yield the commands of a block for the shell, without comments."""
    for line in block.splitlines():
        line = re.sub(r"\s+#.*$", "", line.removeprefix("$ ").strip())
        yield from (part for part in line.split(" && ") if part)


def imports_optional(block):
    return next((name for name in OPTIONAL if f"import {name}" in block), None)


def all_commands():
    return [
        command
        for path in PAGES.values()
        for language, block in blocks_of(path)
        if language == "console"
        for command in commands_of(block)
    ]


def optional_blocks():
    return [
        pytest.param(block, id=imports_optional(block))
        for path in PAGES.values()
        for language, block in blocks_of(path)
        if language == "python" and imports_optional(block)
    ]


def make_files():
    """Write into the working folder what the pages' commands work on."""
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    sex = pd.Series(rng.choice(["f", "m"], 400), name="sex")
    hired = np.where(features.a + rng.normal(size=400) > 0, "yes", "no")
    table = features.assign(sex=sex, hired=hired)
    table.to_csv("people.csv", index=False)
    ids = np.arange(400) // 2 + 4600
    sisa = SISAClassifier(
        GaussianNB(), n_shards=4, n_slices=2, checkpoint_dir="ensemble"
    )
    fair = FairEnsemblePostprocessor(
        sisa, method="soft_ensemble", pos_label="yes", random_state=0
    )
    fair.fit(features, hired, sensitive_features=sex, subjects=ids)
    pd.DataFrame({"subject": [4620, 4630]}).to_csv("requests.csv", index=False)
    y = rng.integers(0, 2, 400)
    posts = {"toxic": y, "group": rng.choice(["a", "b"], 400)}
    posts["post"] = [f"word{i % 7} is {'bad' if i else 'good'}" for i in y]
    pd.DataFrame(posts).to_parquet("posts.parquet")
    write_keys()


def write_keys():
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    Path("private.pem").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    Path("public.pem").write_bytes(
        key.public_key().public_bytes(
            pem, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def reduced(argv):
    """Return the options that make a main job small; commands are small as they are."""
    if argv == ["--version"] or (argv and not argv[0].startswith("--")):
        return []
    return SMALL if "people.csv" in argv else SMALL + OF_TEXTS


def exit_status(argv):
    try:
        return main(argv)
    except SystemExit as end:  # of --version
        return end.code or 0


def run_command(command):
    """Run a command as the shell would, this package's own in this process."""
    words = shlex.split(command.replace("python -m sklearn_fairsisa", "fairsisa"))
    assert words[0] != "pip", f"{command} is to be named in NOT_RUN"
    if words[0] == "fairsisa":
        assert exit_status([*words[1:], *reduced(words[1:])]) == 0, command
    else:
        shell = command.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
        subprocess.run(["bash", "-c", shell], check=True, env=os.environ)


@pytest.mark.timeout(1200)  # The main job runs several times.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_in_their_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for the tests")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # This page makes its own.
    if not page.endswith("recipes.rst"):
        make_files()
    for language, block in blocks_of(PAGES[page]):
        if language == "console":
            for command in commands_of(block):
                if command not in NOT_RUN:
                    run_command(command)
        elif language == "python" and not imports_optional(block):
            exec(compile(block, page, "exec"), {})


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("block", optional_blocks())
def test_a_block_for_another_library_runs(block, tmp_path, monkeypatch):
    name = imports_optional(block)
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, name, "exec"), {})


def test_what_is_not_run_is_named_and_still_there():
    assert set(NOT_RUN) <= set(all_commands())
    assert len([c for c in all_commands() if c not in NOT_RUN]) >= 35
    assert len(optional_blocks()) == len(OPTIONAL)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_known_language(page):
    languages = {language for language, _ in blocks_of(PAGES[page])}
    assert languages <= RUN | QUOTED


def test_the_extras_that_pages_install_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"\[(\w+)\]", " ".join(all_commands()))
    assert named
    assert set(named) <= set(project["optional-dependencies"])


def test_examples_with_prompts_are_doctests_of_ci():
    assert 'pytest --doctest-glob="*.rst" docs\n' in (ROOT / ".ci/run").read_text()
    ignored = (DOCS / "conftest.py").read_text()
    for path in PAGES.values():
        if ">>>" in path.read_text():
            assert path.suffix == ".rst"
            assert path.parent.name not in ignored
