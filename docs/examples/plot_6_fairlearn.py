"""
Comparison with fairlearn
=========================

``FairlearnAdapter`` lets fairlearn's mitigators read the sensitive feature from X, as
our estimators do, so that both run in the same cross-validation over the same ensemble.
"""

# %%
# Candidates
# ----------
# All candidates except the last use the same SISA ensemble. fairlearn's
# ``ThresholdOptimizer`` uses one score, the mean of the members.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
from sklearn.linear_model import LogisticRegression, SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import FairlearnAdapter, pooled_cross_validate
from sklearn_fairsisa.plotting import FairnessTradeoffDisplay

rng = np.random.default_rng(0)
n = 4000
group = rng.choice([0, 1, 2], n, p=[0.5, 0.3, 0.2])
y = rng.integers(0, 2, n)
X = rng.normal(size=(n, 8))
X[:, 0] += (2 * y - 1) * np.array([1.1, 0.8, 0.5])[group]
X[:, 1] += (2 * y - 1) * np.array([0.6, 0.1, -0.3])[group]
X = pd.DataFrame(X, columns=list("abcdefgh")).assign(group=group)

linear = SGDClassifier(loss="log_loss", alpha=0.01)
sisa = SISAClassifier(linear, aggregation="mean", random_state=0)
common = {"sensitive_feature": "group", "random_state": 0}


def ours(**settings):
    return FairEnsemblePostprocessor(sisa, method="soft_ensemble", **settings, **common)


candidates = {
    "no constraint": ours(tol=1.0),
    "ours, hold-out": ours(),
    "ours, cross-shard": ours(calibration="cross_shard"),
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
        candidate, X, y, cv=4, response_method="predict", random_state=0
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
    results, score="accuracy_score", noise_floor=results["floor_95"].max()
)
plt.show()

# %%
# Points inside the band are indistinguishable from a perfectly fair rule, so they
# cannot be ranked by their gap. ``ThresholdOptimizer`` calibrates on the rows that
# trained its base estimator; linear members hardly overfit, so this does little harm
# here. ``ExponentiatedGradient`` trains a single model, not an ensemble that can
# forget, and needs no group when it predicts.
