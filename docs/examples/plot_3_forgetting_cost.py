"""
The cost of forgetting
======================

The share of a training that a request replays follows from the number of shards, slices
and forgotten rows. This example compares measured requests with the formula.
"""

# %%
# Expected cost
# -------------
# More shards reduce the cost in proportion, more slices by a factor of at most 1.5.
# Both help less if more rows are forgotten at once.

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.plotting import ForgettingCostDisplay

ForgettingCostDisplay.from_plan(5, [1, 4, 20])
plt.show()

# %%

ForgettingCostDisplay.from_plan(20, [1, 4, 20])
plt.show()

# %%
# Measured cost
# -------------
# The unit is sample visits, which do not depend on the machine. Each request is made on
# a copy of the same fitted ensemble.

X, y = make_classification(2000, random_state=0)
sisa = SISAClassifier(SGDClassifier(), n_shards=5, n_slices=4, epochs=2, random_state=0)
sisa.fit(X, y)
rng = np.random.default_rng(0)
reports = []
for n_rows in np.repeat([1, 2, 5, 10, 20, 50, 100], 6):
    request = rng.choice(len(X), n_rows, replace=False)
    reports += deepcopy(sisa).forget(request).forget_log_
ForgettingCostDisplay.from_reports(reports, n_shards=5, n_slices=4)
plt.show()

# %%
# Single requests scatter around the expectation, because they may affect an early slice
# or a late one. Means over several requests lie near the line.
#
# Read on: :doc:`shards and slices </user_guide/shards_and_slices>`,
# :doc:`the theory of the cost </theory/unlearning>`.
