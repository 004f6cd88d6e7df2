"""
A tail per member above one trunk
=================================

A language model need not be trained whole in every shard. With ``trainable_layers=k``,
each member trains the last k layers and the head: its tail. All members share the trunk
below, whose states are computed once per text. This example compares tails of different
depths.
"""

# %%
# The models here have four small layers with random weights, so that the example needs
# no network. Give the name or folder of a pretrained model as ``model`` instead: its
# trunk knows the language, and one or two layers are enough.

import time

import matplotlib.pyplot as plt
import pandas as pd
from transformers import GPT2Config

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.text import TransformerClassifier

config = GPT2Config(
    vocab_size=1000, n_embd=32, n_layer=4, n_head=2, n_positions=64,
    bos_token_id=None, eos_token_id=None,
)  # fmt: skip
posts = make_biased_posts(900, random_state=0)
X, y = posts.data[:500], posts.target[:500]
new_X, new_y = posts.data[500:], posts.target[500:]

records = []
for n_layers in (0, 1, 4):
    learner = TransformerClassifier(
        config, trainable_layers=n_layers, lr=5e-3, device="cpu"
    )
    sisa = SISAClassifier(learner, n_shards=3, n_slices=2, epochs=4, random_state=0)
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
            "megabytes of a checkpoint": sisa.checkpoint_bytes_ / 6 / 1e6,
        }
    )
    assert sisa.verify_forgotten()
table = pd.DataFrame(records).set_index("trained layers")
table.round(3)

# %%
# With 0 layers only the head learns. With all four there is no trunk, and the
# embeddings are trained too. Every deletion was verified bit for bit.

axes = table.plot.bar(subplots=True, layout=(2, 2), legend=False, figsize=(7, 5), rot=0)
for ax in axes.flat:
    ax.set_xlabel("")
axes.flat[0].figure.tight_layout()
plt.show()
