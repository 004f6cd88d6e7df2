"""Decisions on people, and the rates of their groups."""

from dataclasses import dataclass, replace

import numpy as np

from .._utils.groups import check_groups, encode_groups
from ..fairness._coins import class_probabilities, is_random
from ..fairness._rates import sum_by
from ..metrics._impact import compared_rates
from ..postprocessing._coins import realised

#: Rates of a decision among all people, those whom it suits, and those whom not.
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
#: What the four-fifths rule asks of the rates of any two groups.
FOUR_FIFTHS = 0.8
#: Of the intervals of impact ratios.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class People:
    """Decisions on people whose groups are known.

    Parameters
    ----------
    source : str
        Who they are, a sentence.
    attributes : dict of str to (ndarray of group names, ndarray of int)
        By attribute, and by the combination of several: names, and the position of
        each person's, -1 where it is missing.
    decisions : ndarray
        All decisions there are, of two classes the positive one last.
    expected : ndarray of shape (n_people, n_decisions)
        Probability of each decision.
    decided : ndarray of shape (n_people, n_decisions), or None
        1 for the decision that ``predict`` makes; NaN where it is not known.
    label : ndarray of int of shape (n_people,), or None
        Position of the true label among the decisions.
    weight : ndarray of shape (n_people,), or None
    """

    source: str
    attributes: dict
    decisions: np.ndarray
    expected: np.ndarray
    decided: np.ndarray | None
    label: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def shown(self):
        """Positions of the decisions whose rates are shown, of two the positive one."""
        return range(len(self.decisions)) if len(self.decisions) > 2 else [1]

    def facts(self):
        """Return who these people are, as a row of a table."""
        known = self._known()
        return {
            "source": self.source,
            "people": len(self.expected),
            "randomised_people": int(is_random(self.expected).sum()),
            "decided_people": int(known.sum()),
            "has_labels": self.label is not None,
            "is_weighted": self.weight is not None,
        }

    def rates(self):
        """Return the rates of each group, a list of dicts."""
        return [
            record
            for attribute, (names, code) in self.attributes.items()
            for decision in self.shown
            for record in self._of_groups(attribute, names, code, decision)
        ]

    def _known(self):
        """Return whose decision is known."""
        if self.decided is None:
            return np.zeros(len(self.expected), dtype=bool)
        return ~np.isnan(self.decided[:, 0])

    def turned(self, decision):
        """Return them with the rates of another one of two decisions shown."""
        labels = list(self.decisions)
        if decision not in labels:
            raise ValueError(
                f"{decision!r} is not among the decisions {labels}. Name one of them."
            )
        if len(labels) > 2 or decision == labels[1]:
            return self
        label = None if self.label is None else 1 - self.label
        decided = None if self.decided is None else self.decided[:, ::-1]
        return replace(
            self,
            decisions=self.decisions[::-1],
            expected=self.expected[:, ::-1],
            decided=decided,
            label=label,
        )

    def _of_groups(self, attribute, names, code, decision):
        """Yield the rates of one decision in each group of an attribute."""
        given, known = code >= 0, self._known()
        expected = self._tally(code, given, self.expected, decision, len(names))
        decided = dict.fromkeys(expected)
        if known.any():
            rows = given & known
            decided = self._tally(code, rows, self.decided, decision, len(names))
        compared = decided if known.any() else expected
        table = compared_rates(
            compared["selection_rate"], compared["size"], FOUR_FIFTHS, CONFIDENCE
        )
        count = np.bincount(code[given], minlength=len(names))
        columns = {
            "people": count,
            "people_share": count / max(1, count.sum()),
            **{name: decided.get(name) for name in RATES},
            **{f"expected_{name}": expected.get(name) for name in RATES},
            **{name: table[name] for name in ("impact_ratio", "low", "high")},
            "judgement": table["judgement"],
            "positives": expected.get("positives"),
            "negatives": expected.get("negatives"),
        }
        for group in np.flatnonzero(count):
            yield {
                "attribute": attribute,
                "group": shown(names[group]),
                "decision": shown(self.decisions[decision]),
                **{name: _at(column, group) for name, column in columns.items()},
            }

    def _tally(self, code, rows, decided, decision, n_groups):
        """Return rates of one decision among some people, by group."""
        code, chosen = code[rows], decided[rows, decision]
        weight = np.ones(len(code)) if self.weight is None else self.weight[rows]

        def rate(among):
            total = sum_by(code, weight * among, n_groups)
            with np.errstate(invalid="ignore", divide="ignore"):
                return sum_by(code, weight * chosen * among, n_groups) / total

        total, squares = (sum_by(code, w, n_groups) for w in (weight, weight**2))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {"size": total**2 / squares}
        everyone = np.ones(len(code), dtype=bool)
        found["selection_rate"] = rate(everyone)
        if self.label is not None:
            is_right = self.label[rows] == decision
            found["true_positive_rate"] = rate(is_right)
            found["false_positive_rate"] = rate(~is_right)
            found["positives"] = np.bincount(code[is_right], minlength=n_groups)
            found["negatives"] = np.bincount(code[~is_right], minlength=n_groups)
        return found


def compared(rates):
    """Return the pairs of attribute and decision among rates, in their order."""
    return list(dict.fromkeys((r["attribute"], r["decision"]) for r in rates))


def of_one(rates, attribute, decision):
    """Return the rates of the groups of one attribute, of one decision."""
    pair = attribute, decision
    return [r for r in rates if (r["attribute"], r["decision"]) == pair]


def gaps(rates):
    """Return the greatest differences and least ratios between groups.

    Parameters
    ----------
    rates : list of dict
        As `People.rates` returns them.

    Returns
    -------
    list of dict
    """
    found = []
    for attribute, decision in compared(rates):
        part = of_one(rates, attribute, decision)
        for name in RATES:
            own = [r[name] for r in part if r[name] is not None]
            mean = [r[f"expected_{name}"] for r in part]
            mean = [value for value in mean if value is not None]
            if not mean:
                continue
            found.append(
                {
                    "attribute": attribute,
                    "decision": decision,
                    "rate": name,
                    "difference": max(own) - min(own) if own else None,
                    "expected_difference": max(mean) - min(mean),
                    "ratio": _ratio(own) if own else None,
                    "expected_ratio": _ratio(mean),
                }
            )
    return found


def _ratio(rates):
    """Least ratio between rates; rates that are all 0 have the ratio 1."""
    return min(rates) / max(rates) if max(rates) > 0 else 1.0


def _at(column, group):
    """Return a value as JSON has it, None where there is none."""
    value = None if column is None else column[group]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value


def shown(label):
    """Return the name of a group or class as text."""
    return ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def of_rule(calibrated, decision=None):
    """Return the people that a rule was calibrated on.

    Each is decided on by the members that have not learnt from them.

    Parameters
    ----------
    calibrated : Calibrated
        With a rule.
    decision : object, default=None
        Of two, the one to show the rates of.
    """
    problem, rows = calibrated.problem, calibrated.rows.weighed
    scores, counted = rows.scores, rows.counted
    probability = calibrated.rule.selection_probability(scores, rows.group, counted)
    expected = class_probabilities(probability)
    names = problem.groups
    present = np.unique(rows.group)
    code = np.searchsorted(present, rows.group)
    features = [str(name) for name in problem.features]
    people = People(
        f"The {len(rows):,} rows on which the rule is calibrated, each decided on by "
        "members that have not learnt from it.",
        by_attribute(names[present], code, features),
        problem.decisions,
        expected,
        _decided(expected, rows.coins),
        rows.label.astype(np.intp),
        rows.weight,
    )
    return people if decision is None else people.turned(decision)


def by_attribute(names, code, features):
    """Return the groups of each attribute, and of all together if there are several.

    Parameters
    ----------
    names : ndarray of shape (n_groups,)
        Groups, tuples if there are several attributes.
    code : ndarray of int of shape (n_people,)
        -1 where the group is missing.
    features : list of str
        Names of the attributes, as far as they have some.

    Returns
    -------
    dict of str to (ndarray, ndarray of int)
    """
    if not (len(names) and isinstance(names[0], tuple)):
        return {features[0] if features else "group": (names, code)}
    found = {}
    n_features = len(names[0])
    if len(features) != n_features:
        features = [f"attribute {k + 1}" for k in range(n_features)]
    for k, feature in enumerate(features):
        level = check_groups([name[k] for name in names])
        own, part = encode_groups(level)
        found[feature] = own, np.append(part, -1)[code]
    return {**found, " and ".join(features): (names, code)}


def _decided(expected, coins):
    """Return the decisions that are known, None if they are not."""
    random = is_random(expected)
    if not random.any():
        return np.eye(expected.shape[1])[expected.argmax(axis=1)]
    if coins is None or np.isnan(coins).all():
        return None
    known = ~np.isnan(coins)
    decided = np.full(expected.shape, np.nan)
    probability = expected[:, 1] if expected.shape[1] == 2 else expected
    decided[known] = realised(probability[known], coins[known])
    return decided
