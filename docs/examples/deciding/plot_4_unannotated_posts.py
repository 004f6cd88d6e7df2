"""
Posts whose group nobody annotated
==================================

Annotators recorded the group of some thousand posts. New posts have no annotation. How
much accuracy do equal error rates cost then? The cost depends on how well the text
predicts the group.
"""

# %%
# Posts that reveal their club more or less often
# -----------------------------------------------
# The posts are generated, so the share of posts that name their club can be chosen. The
# smaller club uses some opinion words in the opposite sense.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.exceptions import UnsupportedToleranceWarning
from sklearn_fairsisa.metrics import (
    expected_balanced_accuracy_score,
    expected_equalized_odds_difference,
)

warnings.simplefilter("ignore", UnsupportedToleranceWarning)
n_annotated, n_new = 3000, 6000
words = HashingVectorizer(n_features=512, norm=None, alternate_sign=False)
members = SISAClassifier(LogisticRegression(C=0.1), n_shards=3, random_state=0)


def rule(**settings):
    return FairEnsemblePostprocessor(
        members, objective="balanced_accuracy_score", random_state=0, **settings
    )


rows = []
for share in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]:
    texts, y, club = make_biased_posts(
        n_annotated + n_new,
        n_groups=2,
        group_marker=share,
        random_state=0,
        return_X_y_groups=True,
    )
    X = words.transform(texts)
    old, new = slice(n_annotated), slice(n_annotated, None)
    guess = LogisticRegression(C=0.1, max_iter=300).fit(X[old], club[old])
    row = {"posts that name their club": share}
    row["AUC of the club"] = roc_auc_score(
        club[new] == guess.classes_[1], guess.decision_function(X[new])
    )
    rules = {
        "no constraint": rule(tol=1),
        "club known": rule(tol=0.05),
        "club not annotated": rule(tol=0.05, sensitive_at_predict=False),
    }
    for name, fair in rules.items():
        fair.fit(X[old], y[old], sensitive_features=club[old])
        # The rule that infers groups ignores the annotation of the new posts.
        p = fair.selection_probability(X[new], sensitive_features=club[new])
        row[name] = expected_balanced_accuracy_score(y[new], p)
        row[f"gap, {name}"] = expected_equalized_odds_difference(
            y[new], p, sensitive_features=club[new]
        )
    rows.append(row)
table = pd.DataFrame(rows)
table.set_index("posts that name their club").round(3)

# %%
# The cost against how well the text predicts the club
# ----------------------------------------------------
# Both rules have ``tol=0.05``: each rate may differ by .05 between the clubs.

fig, ax = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
colors = {"no constraint": "#777777", "club known": "C1", "club not annotated": "C0"}
for name, color in colors.items():
    ax.plot(table["AUC of the club"], table[name], "o-", color=color)
    ax.annotate(
        name,
        (table["AUC of the club"].iloc[0], table[name].iloc[0]),
        xytext=(4, 7),
        textcoords="offset points",
        color=color,
        fontsize=10,
    )
ax.set(
    xlabel="how well the text predicts the club (AUC; .5 is chance)",
    ylabel="balanced accuracy on new posts",
)
ax.set_title(
    f"smooth_ensemble, 3 shards, tol=.05\nn = {n_annotated:,} annotated posts, "
    f"{n_new:,} new",
    fontsize=9.5,
    loc="left",
)
ax.margins(y=0.15)
plt.show()

# %%
# The results in words:

price = table["no constraint"] - table["club not annotated"]
first, last = table.index[0], table.index[-1]
print(
    f"Without the annotation, equal rates cost {price[first]:.3f} of balanced accuracy "
    f"where the AUC of the club is {table['AUC of the club'][first]:.2f}, and "
    f"{price[last]:.3f} where it is {table['AUC of the club'][last]:.2f}. The gap fell "
    f"from {table['gap, no constraint'].mean():.2f} to "
    f"{table['gap, club not annotated'].mean():.2f} on average; with known clubs to "
    f"{table['gap, club known'].mean():.2f}."
)
assert np.isfinite(table).all(axis=None)

# %%
# Read on: :ref:`decisions without the group <without-groups>`; wages of real people in
# :doc:`plot_3_without_group`; text vectors of a language model in
# :doc:`/auto_examples/texts/plot_1_frozen_vectors`.
