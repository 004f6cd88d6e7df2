"""The tasks of the comparisons: decisions on people of several groups."""

import numpy as np
from _tabular import load_table

# The default method was chosen on these tasks.
CHOSEN_ON = (
    "synthetic",
    "compas",
    "adult",
    "hatexplain religion",
    "hatexplain race",
)
TABLES = {
    "compas": "race",
    "adult": "race",
    "insurance": "ethnicity",
    "arrests": "colour",
    "mortgages": "race",
    "wages": "ethnicity",
    "crime": "race",
}
# Picked when the default method was what it was then, and not looked at before.
UNSEEN = ("mortgages", "wages", "crime")
TASKS = (*CHOSEN_ON, "insurance", "arrests", *UNSEEN)


def load(name, cache):
    """Features, labels and groups of a task; None where its data are missing."""
    if name == "synthetic":
        rng = np.random.default_rng(0)
        n = 20_000
        group = rng.choice(3, n, p=[0.7, 0.2, 0.1])
        y = rng.random(n) < np.array([0.5, 0.8, 0.35])[group]
        strength = np.array([0.8, 0.5, 0.6])[group] * np.where(y, 1, -1)
        X = rng.normal(size=(n, 10))
        X[:, 0] += strength
        X[:, 1] += strength * (group - 1)
        X[:, 2] += 0.5 * group
        return X, y.astype(int), group.astype(str)
    if name in TABLES:
        table = load_table(name)
        return table.X, table.y, table.groups[TABLES[name]]
    return load_hatexplain(name.split()[1], cache)


def load_hatexplain(attribute, cache):
    from sklearn_fairsisa.cli._learner import make_learner
    from sklearn_fairsisa.cli._task import load_task

    try:
        task = load_task("hatexplain", attribute=attribute, n_samples=None)
        _, encoder, _ = make_learner(
            "minilm", frozen=True, epochs=None, batch_size=32, max_length=128,
            cache=cache,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        print(f"hatexplain is left out: {error}")
        return None
    known = np.flatnonzero([group is not None for group in task.groups])
    X = encoder.fit_transform(task.X[known])
    return X, task.y[known], task.groups[known].astype(str)


def large_groups(X, y, group, share=0.05):
    """Rows of groups that are more than a share of all."""
    names, sizes = np.unique(group, return_counts=True)
    large = np.isin(group, names[sizes > share * len(group)])
    return X[large], y[large], group[large]
