"""
The trade-off between accuracy and fairness
===========================================

``tradeoff`` solves for many tolerances on the same fitted ensemble. It evaluates them
in calibration or on new people.
"""

# %%

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import make_biased_posts
from sklearn_fairsisa.metrics import noise_floor
from sklearn_fairsisa.plotting import FairnessTradeoffDisplay

posts = make_biased_posts(12_000, as_frame=True, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(
    posts.data, posts.target, test_size=0.5, random_state=0
)
words = make_column_transformer((HashingVectorizer(n_features=4096), "text"))
member = make_pipeline(words, SGDClassifier(loss="log_loss", alpha=1e-3))
fair = FairEnsemblePostprocessor(
    SISAClassifier(member, n_shards=5),
    method="soft_ensemble",
    calibration="cross_shard",
    sensitive_feature="group",
    random_state=0,
).fit(X_train, y_train)
calibrated = fair.tradeoff()
gap = "equalized_odds_difference"
calibrated[["tol", "accuracy", gap, "randomised_share"]].round(3)

# %%
# The same rules on new people, compared with the gap that a perfectly fair rule would
# show by chance at these group sizes.

new = fair.tradeoff(calibrated["tol"], X_test, y_test)
floor = noise_floor(
    y_test,
    fair.selection_probability(X_test),
    sensitive_features=X_test["group"],
    random_state=0,
)

results = pd.concat(
    [calibrated.assign(method="calibration rows"), new.assign(method="new people")]
)
FairnessTradeoffDisplay.from_results(
    results, score="accuracy", noise_floor=floor.quantiles[0.95]
)
plt.show()

# %%
# The rule without a constraint is at the right end. Each step to the left reduces the
# gap further and costs accuracy.
