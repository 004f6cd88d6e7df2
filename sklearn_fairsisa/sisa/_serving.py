"""Ensembles that predict, and hold nothing that predictions do not need."""

from dataclasses import asdict
from typing import Any, NoReturn

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import InputTags, get_tags

from .._utils.lending import lent, writes_named
from .._utils.pipelines import reach_last_step
from .._utils.typing import Rows
from ._digests import digest
from ._inputs import INPUTS
from ._predicting import PredictingMixin
from ._without_rows import HeldRows, forms_of, without_rows

_SISA = "the SISAClassifier that it was made of"


def absent(name, where):
    """Return an attribute that raises an error which names what has it.

    Parameters
    ----------
    name : str
    where : str
        What has it.
    """

    def refuse(self: Any) -> NoReturn:
        raise AttributeError(
            f"A {type(self).__name__} only predicts, so it has no {name}. Use that of "
            f"{where}."
        )

    return property(refuse)


class ServedClassifier(PredictingMixin, BaseEstimator):
    """Predictions of a `SISAClassifier`, without the state for forgetting.

    :meth:`SISAClassifier.for_serving <sklearn_fairsisa.SISAClassifier.for_serving>`
    returns it. It holds the members, but no row, id, checkpoint, log or path. Its
    predictions have the same bits.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    estimators_ : list of length n_shards
        Fitted members; None where a member abstains.

    n_features_in_ : int
        Number of features, if X has features.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    See Also
    --------
    sklearn_fairsisa.SISAClassifier : The ensemble that forgets.

    Notes
    -----
    Steps of Pipelines that are equal in all members run once.

    Examples
    --------
    >>> import pickle
    >>> from sklearn.datasets import make_classification
    >>> from sklearn_fairsisa import SISAClassifier
    >>> X, y = make_classification(random_state=0)
    >>> sisa = SISAClassifier(random_state=0).fit(X, y)
    >>> served = sisa.for_serving()
    >>> bool((served.predict_proba(X) == sisa.predict_proba(X)).all())
    True
    >>> any(row.tobytes() in pickle.dumps(served) for row in X)
    False
    """

    forget = absent("forget", _SISA)
    partial_fit = absent("partial_fit", _SISA)
    relearn = absent("relearn", _SISA)
    amend = absent("amend", _SISA)
    verify_forgotten = absent("verify_forgotten", _SISA)

    def fit(self, X: Rows, y: ArrayLike) -> NoReturn:
        """Raise an error, since a served estimator cannot be trained.

        Parameters
        ----------
        X : ignored
            Rows.

        y : ignored
            Labels.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            f"A {type(self).__name__} only predicts. Fit {_SISA}, and serve that anew."
        )

    def _outputs_one_by_one(self, function, X):
        reached, n_classes = {}, len(self.classes_)
        for member, group in zip(self.estimators_, self._groups):
            if member is None:
                yield None
            elif group is None:
                yield function(member, X, n_classes)
            else:
                if group not in reached:
                    with writes_named(member):
                        reached[group] = reach_last_step(member, lent(X, member))
                yield function(member[-1], reached[group], n_classes)

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags(**self._input_tags)
        return tags


def served_classifier(sisa):
    """Return the `ServedClassifier` of an ensemble of one instant."""
    members = []
    for shard, member in enumerate(sisa.estimators_):
        if member is not None:
            rows = HeldRows(forms_of(member, sisa._state.rows[shard].block.X))
            member = without_rows(member, rows, f"The member of shard {shard}")
        members.append(member)
    if all(member is None for member in members):
        raise ValueError(sisa._why_none_predicts())
    served = ServedClassifier()
    vars(served).update(
        {name: value for name, value in vars(sisa).items() if name in INPUTS},
        classes_=sisa.classes_,
        estimators_=members,
        aggregation=sisa.aggregation,
        _groups=_equal_steps(members),
        # Skops saves no object with slots, as tags are.
        _input_tags=asdict(get_tags(sisa).input_tags),
    )
    return served


def _equal_steps(members):
    """Return for each member a number that those with equal earlier steps share.

    None stands for members that share no steps with another.
    """
    digests = [
        digest([step for _, step in member.steps[:-1]])
        if isinstance(member, Pipeline) and len(member) > 1
        else None
        for member in members
    ]
    return [
        digests.index(one) if one is not None and digests.count(one) > 1 else None
        for one in digests
    ]
