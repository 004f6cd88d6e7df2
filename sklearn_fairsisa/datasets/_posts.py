"""Synthetic posts whose labels are harder to learn for some groups than for others."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_random_state

from .._utils.typing import BunchOrTuple, RandomState


def _words(text):
    return tuple(text.split())


_CLUBS = _words(
    "rowing chess garden cycling pottery sailing baking hiking quilting birding"
)
_THINGS = _words(
    "kettle backpack lamp tent bicycle radio jacket soup pasta coffee museum library "
    "market ferry tram concert lecture picnic weather harbour hotel breakfast printer "
    "keyboard umbrella camera"
)
_PLACES = _words(
    "Oakdale Riverton Lindau Porto Bergen Kyoto Quebec Tallinn Hobart Valdivia Ghent "
    "Aarhus Ljubljana Cusco Galway Dunedin Bruges Malmo Trieste Windhoek"
)
_TIMES = _words(
    "today yesterday lately again on-Monday on-Tuesday on-Friday on-Sunday in-spring "
    "in-summer in-autumn in-winter"
)
_OPENINGS = ("honestly", "so", "well", "for the record", "as promised", "in short", "")

# Words that all clubs use alike: praise (label 0), complaint (label 1).
_COMMON = (
    _words("pleasant reliable lovely tidy generous cheerful excellent handy"),
    _words("broken gloomy overpriced dreadful noisy late disappointing leaky"),
)
# Words that mean one opinion in the first club, and may mean the other elsewhere.
_DIALECT = (
    _words("brisk crisp sturdy mellow spicy airy"),
    _words("plain quiet quirky slow tiny old-fashioned"),
)
_N_OPINIONS = 4
# Probability that a word expresses the author's opinion.
_SINCERITY = 0.84


def make_biased_posts(
    n_samples: int = 2000,
    *,
    n_groups: int = 3,
    group_proportions: ArrayLike | None = None,
    base_rates: ArrayLike | None = None,
    label_noise: ArrayLike | None = None,
    dialect: ArrayLike = 0.4,
    group_marker: float = 1.0,
    random_state: RandomState = None,
    as_frame: bool = False,
    return_X_y_groups: bool = False,
) -> BunchOrTuple:
    """Generate short posts that a classifier learns better for some clubs than others.

    Members of clubs praise or complain about products, places and the weather. All
    clubs share most words, but some opinion words have the opposite meaning in the
    smaller clubs. The clubs also differ in the share of complaints and of wrong labels.
    A classifier fitted to everyone learns the usage of the largest club, so its error
    rates differ between clubs.

    Parameters
    ----------
    n_samples : int, default=2000
        Number of posts.

    n_groups : int, default=3
        Number of clubs, 2 to 10.

    group_proportions : array-like of shape (n_groups,), default=None
        Share of each club, scaled to sum to one. By default each club has two thirds of
        the size of the previous club.

    base_rates : array-like of shape (n_groups,), default=None
        Share of complaints in each club, before label noise. By default evenly spaced
        from .6 down to .4.

    label_noise : float or array-like of shape (n_groups,), default=None
        Probability that a label of the club is flipped. By default evenly spaced from
        .02 up to .08.

    dialect : float or array-like of shape (n_groups,), default=0.4
        Share of the opinion words that are dialect. The usage of the first club is the
        reference. In later clubs, increasingly many dialect words have the opposite
        meaning, and in the last club all of them do.

    group_marker : float, default=1.0
        Probability that a post names its author's club.

    random_state : int, RandomState instance or None, default=None
        Makes the posts repeatable.

    as_frame : bool, default=False
        Whether to return pandas objects. ``data`` is then a data frame with the
        columns ``text`` and ``group``.

    return_X_y_groups : bool, default=False
        Whether to return ``(data, target, groups)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes

        data : ndarray of shape (n_samples,) of str, or DataFrame
            Texts, or texts and groups.
        target : ndarray or Series of shape (n_samples,)
            1 for a complaint, 0 for praise, flipped by the label noise.
        target_names : list of str
            "praise" and "complaint".
        target_clean : ndarray or Series of shape (n_samples,)
            Labels before the noise.
        sensitive_features : ndarray or Series of shape (n_samples,) of str
            Club of each author.
        group_names : list of str
            Clubs, by default the largest first.
        feature_names : list of str
            Columns of `data`.
        frame : DataFrame
            Everything, if `as_frame`.
        DESCR : str
            Description.

    (data, target, groups) : tuple if `return_X_y_groups`
        Texts, labels and clubs.

    Raises
    ------
    ValueError
        If a number is out of range, or the length of a list is not `n_groups`.

    Examples
    --------
    >>> from sklearn_fairsisa.datasets import make_biased_posts
    >>> posts = make_biased_posts(300, random_state=0)
    >>> posts.data[0]
    'the market from Bergen was plain pleasant reliable lovely on-Friday - chess club'
    >>> posts.group_names
    ['rowing', 'chess', 'garden']
    >>> posts.target.mean().round(2)
    np.float64(0.54)
    """
    if not isinstance(n_samples, int | np.integer) or n_samples < 1:
        raise ValueError(
            f"n_samples must be an integer of at least 1, got {n_samples}."
        )
    if not isinstance(n_groups, int | np.integer) or not 2 <= n_groups <= len(_CLUBS):
        raise ValueError(
            f"n_groups must be an integer from 2 to {len(_CLUBS)}, got {n_groups}."
        )
    ranks = np.linspace(0, 1, n_groups)
    if group_proportions is None:
        group_proportions = (2 / 3) ** np.arange(n_groups)
    if base_rates is None:
        base_rates = 0.6 - 0.2 * ranks
    if label_noise is None:
        label_noise = 0.02 + 0.06 * ranks
    proportions = _per_group("group_proportions", group_proportions, n_groups, np.inf)
    if not proportions.sum() > 0:
        raise ValueError("group_proportions sum to 0. Give at least one club a share.")
    complaints = _per_group("base_rates", base_rates, n_groups)
    noise = _per_group("label_noise", label_noise, n_groups)
    dialect_shares = _per_group("dialect", dialect, n_groups)
    marker = _per_group("group_marker", group_marker, n_groups)

    rng = check_random_state(random_state)
    group = rng.choice(n_groups, n_samples, p=proportions / proportions.sum())
    clean = (rng.random_sample(n_samples) < complaints[group]).astype(np.int64)
    target = clean ^ (rng.random_sample(n_samples) < noise[group])
    opinions = _draw_opinions(rng, clean, group, ranks, dialect_shares)
    named = rng.random_sample(n_samples) < marker[group]
    places = [rng.choice(words, n_samples) for words in (_OPENINGS, _THINGS, _PLACES)]
    times = rng.choice(_TIMES, n_samples)

    clubs = np.array(_CLUBS[:n_groups])
    texts = [
        f"{opening} the {thing} from {place} was {' '.join(words)} {time}".strip()
        + (f" - {club} club" if is_named else "")
        for opening, thing, place, words, time, club, is_named in zip(
            *places, opinions, times, clubs[group], named
        )
    ]
    frame = pd.DataFrame(
        {
            "text": np.array(texts, dtype=object),
            "group": clubs[group].astype(object),
            "target": target,
            "target_clean": clean,
        }
    )

    def column(name):
        return frame[name] if as_frame else frame[name].to_numpy()

    data = frame[["text", "group"]] if as_frame else column("text")
    if return_X_y_groups:
        return data, column("target"), column("group")
    return Bunch(
        data=data,
        target=column("target"),
        target_names=["praise", "complaint"],
        target_clean=column("target_clean"),
        sensitive_features=column("group"),
        group_names=list(clubs.tolist()),
        feature_names=["text", "group"] if as_frame else ["text"],
        frame=frame if as_frame else None,
        DESCR=(
            f"{n_samples} synthetic posts by members of {n_groups} clubs, labelled as "
            "praise or complaint. Some opinion words differ in meaning between clubs, "
            "which also differ in base rate and label noise."
        ),
    )


def _per_group(name, given, n_groups, largest=1.0):
    """Return one number of [0, largest] per group."""
    values = np.asarray(given, dtype=float)
    if values.ndim == 0:
        values = np.full(n_groups, values)
    if values.shape != (n_groups,):
        raise ValueError(
            f"{name} has shape {values.shape}, but n_groups={n_groups}. Give one "
            "number per group."
        )
    if not ((values >= 0) & (values <= largest) & np.isfinite(values)).all():
        bound = "non-negative" if np.isinf(largest) else f"within [0, {largest:g}]"
        raise ValueError(f"{name} must be {bound}, got {values.tolist()}.")
    return values


def _draw_opinions(rng, clean, group, ranks, dialect_shares):
    """Return the opinion words of each post, shape (n_samples, _N_OPINIONS)."""
    shape = (len(clean), _N_OPINIONS)
    n_words = len(_DIALECT[0])
    opinion = clean[:, None] ^ (rng.random_sample(shape) >= _SINCERITY)
    is_dialect = rng.random_sample(shape) < dialect_shares[group][:, None]
    common = rng.randint(len(_COMMON[0]), size=shape)
    local = rng.randint(n_words, size=shape)
    # The first words flip first, so later clubs share the flips of earlier clubs.
    n_flipped = np.rint(ranks * n_words)[group][:, None]
    dialect_opinion = opinion ^ (local < n_flipped)
    return np.where(
        is_dialect,
        np.array(_DIALECT)[dialect_opinion.astype(int), local],
        np.array(_COMMON)[opinion.astype(int), common],
    )
