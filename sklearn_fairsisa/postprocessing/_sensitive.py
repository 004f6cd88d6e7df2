"""Which group each row belongs to."""

import numpy as np
from sklearn.utils.validation import _num_samples

from .._validation import check_groups, split_sensitive


def split_groups(
    X, sensitive_features, sensitive_feature, *, drop_sensitive, allow_missing
):
    """Take the groups from X, or from what was passed beside it.

    Parameters
    ----------
    X : rows
    sensitive_features : array-like of shape (n_samples,) or (n_samples, k), or None
        Passed to a method.
    sensitive_feature : str, int, list of these, callable or None
        Where X tells the group.
    drop_sensitive : bool
        Whether the members do not see the columns that it names.
    allow_missing : bool
        Whether rows may be of no group.

    Returns
    -------
    seen : rows
        What the members see.
    groups : array of shape (n_samples,)
        Masked where missing, if that is allowed.

    Raises
    ------
    ValueError
        Unless the groups come from one of the two, complete.
    """
    if sensitive_feature is None and sensitive_features is None:
        raise ValueError(
            "No sensitive feature is given. Name a column of X in "
            "sensitive_feature, or pass sensitive_features to this method."
        )
    if sensitive_feature is None:
        return X, check_groups(
            sensitive_features, _num_samples(X), allow_missing=allow_missing
        )
    if sensitive_features is not None:
        raise ValueError(
            f"sensitive_feature={sensitive_feature!r} already tells the group "
            "of each row, and sensitive_features is passed too. Use one of them."
        )
    return split_sensitive(
        X, sensitive_feature, drop_sensitive, allow_missing=allow_missing
    )


def group_codes(groups, known, *, accepts_unknown):
    """Position of each row's group among the known ones, -1 for an unknown one.

    Parameters
    ----------
    groups : array of shape (n_samples,)
        Masked where missing.
    known : ndarray of shape (n_groups,)
        Sorted.
    accepts_unknown : bool

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        If a group is unknown and that is not accepted.
    """
    missing, groups = np.ma.getmaskarray(groups), np.ma.getdata(groups)
    code = np.full(len(groups), -1)
    if (groups.dtype.kind == "U") == (known.dtype.kind == "U"):
        position = np.searchsorted(known, groups).clip(max=len(known) - 1)
        alike = ~missing & (known[position] == groups)
        code[alike] = position[alike]
    if not accepts_unknown and (code < 0).any():
        unknown = np.unique(groups[code < 0]).tolist()
        raise ValueError(
            f"Groups {unknown[:5]} were not seen in fit, which saw "
            f"{known.tolist()[:20]}. Fit with rows of them, or set "
            'unknown_group="unconstrained".'
        )
    return code
