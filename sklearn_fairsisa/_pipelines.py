"""Rows on their way through a fitted Pipeline."""


def reach_last_step(pipeline, X):
    """Return X as it reaches the last step of a fitted Pipeline."""
    # Not pipeline[:-1].transform: before scikit-learn 1.8 that calls a stateless last
    # step, such as HashingVectorizer, unfitted.
    for _, step in pipeline.steps[:-1]:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X
