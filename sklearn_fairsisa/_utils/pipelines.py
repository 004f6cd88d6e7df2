"""Rows and weights of rows as they reach the last step of a Pipeline."""

from inspect import Parameter, signature

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

_ANY_NAME = Parameter.VAR_KEYWORD


def reach_last_step(pipeline, X):
    """Return X as it reaches the last step of a fitted Pipeline."""
    # Before scikit-learn 1.8, pipeline[:-1].transform calls a stateless last step,
    # such as HashingVectorizer, unfitted.
    for _, step in pipeline.steps[:-1]:
        # Samplers of imbalanced-learn are for training alone.
        if not (step in (None, "passthrough") or hasattr(step, "fit_resample")):
            X = step.transform(X)
    return X


def weight_param(estimator, method="fit", *, or_any=False):
    """Return the name of the parameter of a method for weights of rows, if any.

    Parameters
    ----------
    estimator : estimator
        If it passes weights on to other estimators and is not a Pipeline, its method
        ``_weight_param`` returns the name.
    method : {"fit", "partial_fit"}, default="fit"
    or_any : bool, default=False
        Whether a method with parameters of any name counts too, which may pass the
        weights on, as that of a search does.

    Returns
    -------
    str or None
        None if there is no such method, if it has no such parameter, or if with
        metadata routing no estimator requests the weights.
    """
    passes_on = isinstance(estimator, Pipeline) or hasattr(estimator, "_weight_param")
    if passes_on and get_config()["enable_metadata_routing"]:
        routing = get_routing_for_object(estimator)
        return "sample_weight" if routing.consumes(method, ["sample_weight"]) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_param(last, method, or_any=or_any)
        return name and f"{step}__{name}"
    if passes_on:
        return estimator._weight_param()
    if not hasattr(estimator, method):
        return None
    taken = signature(getattr(estimator, method)).parameters
    any_name = {parameter.kind for parameter in taken.values()} & {_ANY_NAME}
    takes = "sample_weight" in taken or (or_any and any_name)
    return "sample_weight" if takes else None
