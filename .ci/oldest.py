"""Print the lowest versions that pyproject.toml allows, as pip's constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for requirement in (*project["dependencies"], *extras["text"], *extras["test"]):
    if lowest := re.match(r"[\w-]+>=[\d.]+", requirement):
        print(lowest[0].replace(">=", "=="))
