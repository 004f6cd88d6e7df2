"""How Sphinx builds the documentation."""

import csv
import os
import tomllib
from importlib.metadata import version as installed_version
from pathlib import Path

from sklearn_fairsisa.cli._parser import make_parser
from sklearn_fairsisa.sisa import ForgettingReport

project = "sklearn-fairsisa"
author = "sklearn-fairsisa developers"
copyright = "2026, sklearn-fairsisa developers"
release = installed_version("sklearn-fairsisa")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    # Brings MathJax along, so that formulas show without a network too.
    "sphinx-mathjax-offline",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]

# The build must not need a network; with one, names of other projects become links.
if os.environ.get("DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "fairlearn": ("https://fairlearn.org/main", None),
    }

templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
# Markdown pages live elsewhere in the repository, and link to files beside them.
suppress_warnings = ["myst.xref_missing"]
default_role = "code"
add_function_parentheses = False
toc_object_entries_show_parents = "hide"

autosummary_generate = True
autodoc_typehints = "none"
# Metadata routing adds these to estimators, with references to scikit-learn's glossary.
autodoc_default_options = {
    "exclude-members": ", ".join(
        f"set_{method}_request"
        for method in (
            "decision_function",
            "fit",
            "partial_fit",
            "predict",
            "predict_proba",
            "score",
            "transform",
        )
    )
}
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "doc_module": ("sklearn_fairsisa",),
    "backreferences_dir": "generated/backreferences",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    # Sharp on dense screens, which phones have.
    "image_srcset": ["2x"],
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-fairsisa"
html_static_path = ["_static"]
html_css_files = ["fairsisa.css"]
html_js_files = ["tables.js"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sklearn-fairsisa"},
    # Get started, User guide, Examples, API, The study; all others are under "More".
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
# Pages without subpages need no list of sections on the left.
html_sidebars = {
    "comparison": [],
    "benchmarks": [],
    "faq": [],
    "troubleshooting": [],
    "glossary": [],
    "contributing": [],
    "versions": [],
    "changelog": [],
}


def options_of(parser):
    """Yield what ``--help`` prints of the options, in lists that fit any screen."""
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help]
        if actions:
            yield f"**{group.title}**\n"
        for action in actions:
            names = ", ".join(action.option_strings)
            values = formatter._format_args(action, action.metavar or "")
            words = " ".join(filter(None, [names, "" if action.nargs == 0 else values]))
            yield f"``{words}``\n   {formatter._expand_help(action)}\n"
    if parser.epilog:
        yield parser.epilog


# The options of the command line come from its own parser.
generated = Path(__file__).parent / "generated"
generated.mkdir(exist_ok=True)
parser = make_parser()
for name, described in (
    ("command_line", parser),
    ("command_line_forget", parser.commands()["forget"]),
):
    (generated / f"{name}.txt").write_text("\n".join(options_of(described)))

# So do the columns of the report, from the report itself.
with (generated / "forgetting_report.csv").open("w", newline="") as file:
    csv.writer(file).writerows(
        (f"``{name}``", column.title, column.definition)
        for name, column in ForgettingReport.columns()["requests"].items()
    )

# What is required comes from the package's own metadata.
project_facts = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text()
)
requirements = {"": project_facts["project"]["dependencies"]}
requirements |= project_facts["project"]["optional-dependencies"]
for extra in ("", "text", "lora", "plot", "sign"):
    with (generated / f"requires_{extra or 'core'}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            (name, f"{lowest} or later")
            for name, _, lowest in (r.partition(">=") for r in requirements[extra])
        )


def join_continued_lines(app, what, name, obj, options, lines):
    """Join the lines that a backslash continues, which raw docstrings keep."""
    joined = "\n".join(lines).split("\\\n")
    rest = [part.lstrip() for part in joined[1:]]
    lines[:] = "".join([joined[0], *rest]).split("\n")


def setup(app):
    """Register what Sphinx calls."""
    # Before numpydoc, whose priority is 500.
    app.connect("autodoc-process-docstring", join_continued_lines, priority=400)
