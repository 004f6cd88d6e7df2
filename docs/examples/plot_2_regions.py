"""
Regions and operating points
============================

Each group can reach a region of false and true positive rates. Equalized odds selects
the best point that lies in all regions; a tolerance lets the points differ.
"""

# %%
# Members of unequal quality for three groups
# -------------------------------------------
# The post-processor only uses the members' scores, so they are drawn directly.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_fairsisa import FairEnsemblePostprocessor
from sklearn_fairsisa.plotting import GroupRocDisplay


def draw(n, seed):
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    y = rng.integers(0, 2, n)
    strength = np.select([group == "a", group == "b"], [1.3, 0.9], 0.6)
    signal = (2 * y - 1) * strength + rng.normal(size=n)
    margin = signal[:, None] + rng.normal(size=(n, 5))
    return 1 / (1 + np.exp(-margin)), y, group


scores, y, group = draw(3000, seed=0)

# %%
# Equal error rates
# -----------------
# Thresholds on a group's score reach the boundary of its region. The best point that
# lies in all regions is on the lowest boundary.

fair = FairEnsemblePostprocessor(method="soft_ensemble", random_state=0)
fair.fit(scores, y, sensitive_features=group)
GroupRocDisplay.from_estimator(fair)
plt.show()

# %%
# All groups are at the best point of the group that is hardest to classify. The other
# groups could do better; randomised decisions bring them to the same point.
#
# A tolerance
# -----------
# If the rates may differ by 0.1, the points differ, and accuracy rises.

tolerant = FairEnsemblePostprocessor(method="soft_ensemble", tol=0.1, random_state=0)
tolerant.fit(scores, y, sensitive_features=group)
GroupRocDisplay.from_estimator(tolerant)
plt.show()
print(f"accuracy {fair.objective_:.3f} with tol=0, {tolerant.objective_:.3f} with 0.1")

# %%
# Votes instead of scores
# -----------------------
# Rules on the majority's label have two cells per group, so the region has one corner.

votes = FairEnsemblePostprocessor(method="aggregate_then_postprocess", random_state=0)
votes.fit(scores, y, sensitive_features=group)
GroupRocDisplay.from_estimator(votes)
plt.show()

# %%
# Share of randomised decisions
# -----------------------------

for name, rule in {"scores": fair, "scores, tol=0.1": tolerant, "votes": votes}.items():
    print(f"{name:16} {rule.randomised_share_:.0%} of people")
