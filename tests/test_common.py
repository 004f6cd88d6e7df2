"""scikit-learn's own contract checks, over several base learners."""

import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_fairsisa import SISAClassifier

SISAS = [
    SISAClassifier(n_shards=2, random_state=0),
    SISAClassifier(LogisticRegression(), n_shards=2, random_state=0),
    SISAClassifier(DecisionTreeClassifier(), n_shards=1, random_state=0),
    SISAClassifier(SGDClassifier(), n_shards=2, n_slices=2, epochs=5, random_state=0),
    SISAClassifier(GaussianNB(), n_shards=2, n_slices=2, random_state=0),
    SISAClassifier(
        make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")),
        n_shards=2,
        aggregation="mean",
        random_state=0,
    ),
    SISAClassifier(
        MLPClassifier((8,), learning_rate_init=0.05), n_slices=2, random_state=0
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn_fairsisa.exceptions.EmptyShardWarning")
@parametrize_with_checks(SISAS)
def test_scikit_learns_contract_holds(estimator, check):
    check(estimator)
