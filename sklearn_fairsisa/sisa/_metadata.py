"""How weights of rows, and other metadata, reach the learner of an ensemble."""

from numbers import Number

import numpy as np
from sklearn import get_config
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.validation import _num_samples

from .._utils.accepted import accepted, in_memory
from .._utils.containers import check_container
from .._utils.pipelines import weight_param
from .._utils.validation import check_sample_weight
from ._learners import last_step


def learner_calls(base, whole):
    """Return the object and the method that training calls, by the ensemble's method.

    Parameters
    ----------
    base : estimator
    whole : bool
        Whether a first stage calls the learner's own ``fit``.

    Returns
    -------
    dict of str to tuple
    """
    appended = last_step(base), "partial_fit"
    return {"fit": (base, "fit") if whole else appended, "partial_fit": appended}


def declared_routing(owner, calls):
    """Return the routing of an ensemble that calls its learner as given.

    Parameters
    ----------
    owner : ensemble
    calls : dict
        Result of `learner_calls`.

    Returns
    -------
    MetadataRouter
    """
    router = MetadataRouter(owner=type(owner).__name__).add_self_request(owner)
    for caller, (learner, callee) in calls.items():
        mapping = MethodMapping().add(caller=caller, callee=callee)
        router.add(**{f"estimator_in_{caller}": learner}, method_mapping=mapping)
    return router


def split_metadata(ensemble, method, n_rows, *, subjects, sample_weight, **others):
    """Split metadata of a first batch into values per row and settings.

    Parameters
    ----------
    ensemble : SISAClassifier
    method : {"fit", "partial_fit"}
        Method of the ensemble that was given them.
    n_rows : int
    subjects : list or None
    sample_weight : array-like, float or None
    **others : dict
        Further parameters of the learner.

    Returns
    -------
    params : dict of containers of length `n_rows`
    settings : dict

    Raises
    ------
    ValueError
        If the learner takes no weights, weights are unusable, or another value is
        neither a plain setting nor one per row.
    """
    learner, callee = ensemble._learner_calls()[method]
    given = dict(others)
    if sample_weight is not None:
        name = _weight_name(ensemble._base(), learner, callee)
        if name in given:
            raise ValueError(
                f"Weights are given twice, as sample_weight and as {name}. Give one."
            )
        given[name] = sample_weight
    if get_config()["enable_metadata_routing"]:
        process_routing(ensemble, method, subjects=subjects, **given)
        routing = get_routing_for_object(learner)
        consumed = routing.consumes(callee, given)
        given = {name: value for name, value in given.items() if name in consumed}
    return _split(given, n_rows)


def _weight_name(base, learner, method):
    """Return the name under which a learner, or its Pipeline, takes weights."""
    routed = get_config()["enable_metadata_routing"]
    name = weight_param(learner if routed else base, method, or_any=True)
    if name is None:
        raise ValueError(
            f"{type(last_step(learner)).__name__}.{method} gets no sample_weight: it "
            "has no such parameter, or with metadata routing does not request it. "
            "Leave the weights out, or use a learner that takes them."
        )
    return name


def _split(given, n_rows):
    params, settings = {}, {}
    for name, one in given.items():
        value = in_memory(one)
        if name.endswith("sample_weight") and value is not None:
            params[name] = check_sample_weight(value, n_rows, name)
        elif value is None or isinstance(value, Number | str | bool):
            settings[name] = value
        elif hasattr(value, "__len__") and _num_samples(value) == n_rows:
            params[name] = indexable(accepted(value, name))[0]
            check_container(params[name], name)
        else:
            raise ValueError(
                f"The fit parameter {name} has neither one value per row ({n_rows}) "
                "nor a plain setting, so forget could not remove rows from it. Pass "
                "one value per row, or set it in the learner."
            )
    return params, settings


def appended_metadata(earlier, sample_weight, n_rows):
    """Return the values per row of a batch that follows earlier rows.

    Parameters
    ----------
    earlier : Block
    sample_weight : array-like, float or None
        By default 1, if earlier rows have weights.
    n_rows : int

    Returns
    -------
    dict of ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If earlier rows have values other than weights, or only these rows have weights.
    """
    names = list(earlier.params)
    others = [name for name in names if not name.endswith("sample_weight")]
    if others:
        raise ValueError(
            f"fit was given {sorted(others)} for its rows, which partial_fit does not "
            "take. Fit without them to append rows later."
        )
    if sample_weight is None:
        return {name: np.ones(n_rows) for name in names}
    if not names:
        raise ValueError(
            "Earlier rows were given no sample_weight, so their members were trained "
            "without weights. Leave it out here, or fit with weights, such as 1 for "
            "every row."
        )
    return {name: check_sample_weight(sample_weight, n_rows) for name in names}


def routed_to(learner, method, params):
    """Return the metadata that routing passes to a method of a learner.

    Parameters
    ----------
    learner : estimator
    method : str
    params : dict

    Returns
    -------
    dict
    """
    mapping = MethodMapping().add(caller=method, callee=method)
    router = MetadataRouter(owner="SISAClassifier")
    router.add(learner=learner, method_mapping=mapping)
    return router.route_params(caller=method, params=params)["learner"][method]
