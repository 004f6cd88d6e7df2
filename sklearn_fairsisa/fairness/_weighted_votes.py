"""The outcome of randomised votes that do not weigh alike."""

import numpy as np

# Of the sums of weights that classes may reach together.
MAX_TALLIES = 20_000


def weighted_vote(probability, weights):
    """Distribution of the class with the greatest weight of independent votes.

    Parameters
    ----------
    probability : ndarray of shape (n_samples, n_votes, n_classes)
        Distribution of each vote.
    weights : sequence of float of length n_votes

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Raises
    ------
    ValueError
        If the weights have too many sums to enumerate.

    Notes
    -----
    The joint distribution of the classes' sums of weights is built up vote by vote over
    all sums that can be reached; only positive terms are added, so nothing cancels. Of
    several classes with the greatest sum the first wins. Weights are added in the order
    of the votes, as an ensemble does that counts votes without chance.

    Examples
    --------
    The third vote outweighs the others:

    >>> import numpy as np
    >>> votes = np.array([[[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]]])
    >>> weighted_vote(votes, [1, 1, 3])
    array([[0.5, 0.5]])
    """
    n_samples, _, n_classes = probability.shape
    tallies, chance = np.zeros((1, n_classes)), np.ones((n_samples, 1))
    for vote, weight in enumerate(weights):
        reached = tallies[:, None, :] + weight * np.eye(n_classes)
        reached, index = np.unique(
            reached.reshape(-1, n_classes), axis=0, return_inverse=True
        )
        if len(reached) > MAX_TALLIES:
            raise ValueError(
                f'method="postprocess_then_aggregate" enumerates all sums of the '
                f"weights of {len(weights)} members, which are more than "
                f'{MAX_TALLIES}. Use another method, such as "smooth_ensemble", fewer '
                "members, or fewer different weights."
            )
        index = index.reshape(len(tallies), n_classes)
        after = np.zeros((n_samples, len(reached)))
        for k in range(n_classes):
            # Rounding may make sums equal that were not.
            np.add.at(after.T, index[:, k], (chance * probability[:, vote, [k]]).T)
        tallies, chance = reached, after
    winner = tallies.argmax(axis=1)
    result = np.column_stack(
        [chance[:, winner == k].sum(axis=1) for k in range(n_classes)]
    )
    return result / result.sum(axis=1, keepdims=True)
