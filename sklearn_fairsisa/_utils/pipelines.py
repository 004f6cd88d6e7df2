"""What a Pipeline does to rows and to their weights on the way to its last step."""

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter


def reach_last_step(pipeline, X):
    """Return X as it reaches the last step of a fitted Pipeline."""
    # Not pipeline[:-1].transform: before scikit-learn 1.8 that calls a stateless last
    # step, such as HashingVectorizer, unfitted.
    for _, step in pipeline.steps[:-1]:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X


def weight_param(estimator):
    """Return the name under which ``fit`` takes weights of rows, None if it does not.

    Parameters
    ----------
    estimator : estimator
        It may hand all its fit parameters on to others, as a Pipeline does; another
        than a Pipeline then says by ``_weight_param`` where they arrive.

    Returns
    -------
    str or None
        With metadata routing, None where nobody requests the weights.
    """
    hands_on = isinstance(estimator, Pipeline) or hasattr(estimator, "_weight_param")
    if hands_on and get_config()["enable_metadata_routing"]:
        routing = get_routing_for_object(estimator)
        return "sample_weight" if routing.consumes("fit", ["sample_weight"]) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_param(last)
        return name and f"{step}__{name}"
    if hands_on:
        return estimator._weight_param()
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None
