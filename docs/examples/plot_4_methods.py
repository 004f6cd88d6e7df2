"""
Which method generalises best to new people?
============================================

Most methods are perfectly fair on their calibration rows. The exceptions are the method
that post-processes members separately and the method that smooths the counts. The
relevant quantity is the gap on new people.
"""

# %%
# One ensemble, five rules, several splits
# ----------------------------------------
# The ensemble is trained once per split and frozen. All rules use it.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.exceptions import DegenerateRuleWarning
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)

warnings.simplefilter("ignore", DegenerateRuleWarning)

words = HashingVectorizer(n_features=2048)
member = SGDClassifier(loss="log_loss", alpha=1e-3)
methods = {
    "aggregate_then_postprocess": "v",
    "postprocess_then_aggregate": "^",
    "ensemble": "s",
    "soft_ensemble": "o",
    "smooth_ensemble": "D",
}

results = []
for seed in range(6):
    texts, y, groups = make_biased_posts(
        9000, random_state=seed, return_X_y_groups=True
    )
    # Each split has people of its own; splits of one sample would share people. Half of
    # the people are new; of the others, 60% train and 40% calibrate.
    X = words.transform(texts)
    train, calibrate, new = slice(0, 2700), slice(2700, 4500), slice(4500, None)
    sisa = SISAClassifier(member, n_shards=10, random_state=seed)
    sisa.fit(X[train], y[train])
    for method in methods:
        fair = FairEnsemblePostprocessor(
            FrozenEstimator(sisa),
            method=method,
            objective="balanced_accuracy_score",
            random_state=seed,
        )
        fair.fit(X[calibrate], y[calibrate], sensitive_features=groups[calibrate])
        p = fair.selection_probability(X[new], sensitive_features=groups[new])
        gap = expected_equalized_odds_difference(
            y[new], p, sensitive_features=groups[new]
        )
        accuracy = expected_balanced_accuracy_score(y[new], p)
        results.append((method, fair.objective_, accuracy, gap))

results = pd.DataFrame(
    results, columns=["method", "in calibration", "held out", "held-out gap"]
)
results.groupby("method", sort=False).mean().round(3)

# %%
# Rules on the vote patterns of ten members are the most accurate in calibration, and
# lose most of the advantage on new people.

fig, ax = plt.subplots(figsize=(4.8, 4.0), layout="constrained")
for (method, marker), colour in zip(methods.items(), ["C7", "C2", "C1", "C0", "C3"]):
    rows = results[results["method"] == method]
    gap, accuracy = rows["held-out gap"], rows["held out"]
    ax.plot(gap, accuracy, marker, color=colour, alpha=0.35)
    ax.errorbar(
        gap.mean(),
        accuracy.mean(),
        xerr=gap.sem(),
        yerr=accuracy.sem(),
        fmt=marker,
        color=colour,
        markersize=10,
        capsize=3,
    )
    ax.annotate(
        method,
        (gap.mean(), accuracy.mean()),
        xytext=(8, 8),
        textcoords="offset points",
        color=colour,
        fontsize=9,
    )
ax.set(xlabel="equalized-odds gap, new people", ylabel="balanced accuracy, new people")
ax.set_xlim(0, 1.8 * results["held-out gap"].max())
ax.set_title("10 shards; n = 4,500 new people in each of 6 splits", fontsize=9.5)
plt.show()

# %%
# Faint marks are splits, strong marks are means with a standard error. Methods in the
# upper left are better.
#
# Read on: :doc:`choosing a method </user_guide/methods>`, :doc:`the study </paper>`.
