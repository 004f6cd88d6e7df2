"""Rows and weights of rows as they reach the last step of a Pipeline."""

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter


def reach_last_step(pipeline, X):
    """Return X as it reaches the last step of a fitted Pipeline."""
    # Before scikit-learn 1.8, pipeline[:-1].transform calls a stateless last step,
    # such as HashingVectorizer, unfitted.
    for _, step in pipeline.steps[:-1]:
        # Samplers of imbalanced-learn are for training alone.
        if not (step in (None, "passthrough") or hasattr(step, "fit_resample")):
            X = step.transform(X)
    return X


def weight_param(estimator):
    """Return the name of the parameter of ``fit`` for weights of rows, if any.

    Parameters
    ----------
    estimator : estimator
        If it passes its fit parameters on to other estimators and is not a Pipeline,
        its method ``_weight_param`` returns the name.

    Returns
    -------
    str or None
        None if ``fit`` has no such parameter, or if with metadata routing no estimator
        requests the weights.
    """
    passes_on = isinstance(estimator, Pipeline) or hasattr(estimator, "_weight_param")
    if passes_on and get_config()["enable_metadata_routing"]:
        routing = get_routing_for_object(estimator)
        return "sample_weight" if routing.consumes("fit", ["sample_weight"]) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_param(last)
        return name and f"{step}__{name}"
    if passes_on:
        return estimator._weight_param()
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None
