"""The fair rule that a command is about."""

from .._utils.words import named
from ._errors import did_you_mean


def add_rule_options(parser, verb):
    """Add the options that choose one of the fair rules in a directory, or none.

    Parameters
    ----------
    parser : ArgumentParser
    verb : str
        What the command does with the rule.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--rule", metavar="NAME", help=f"fair rule to {verb}, if there are several"
    )
    which.add_argument(
        "--no-rule", action="store_true", help=f"{verb} the ensemble without a rule"
    )


def load_with_rule(directory, name, without):
    """Return the ensemble of a directory, and the rule over it, None without one.

    Parameters
    ----------
    directory : Path
    name : str or None
        Name of the rule; None if the directory holds one at most.
    without : bool
        Whether to load no rule.

    Raises
    ------
    ValueError
        If the directory has no rule of this name, or several and none is named.
    """
    from ..postprocessing import FairEnsemblePostprocessor
    from ..sisa import SISAClassifier

    fitted = SISAClassifier.load(directory)
    name = None if without else _chosen(directory, name, fitted._state.companions)
    if name is None:
        return fitted, None
    rule = FairEnsemblePostprocessor.load(directory, name=name)
    return rule.estimator_, rule


def _chosen(directory, name, rules):
    """Return the name of the one rule that is meant, None if there is none."""
    rules = sorted(rules)
    if name is None and len(rules) < 2:
        return rules[0] if rules else None
    if name in rules:
        return name
    if name is None:
        raise ValueError(
            f"{directory} holds the {named('rule', map(repr, rules))}. Name one of "
            "them by --rule, or give --no-rule."
        )
    if not rules:
        raise ValueError(
            f"{directory} has no rule {name!r} (--rule): it holds no fair rule. Leave "
            "--rule out."
        )
    raise ValueError(
        f"{directory} has no rule {name!r} (--rule).{did_you_mean(name, rules)} It "
        f"holds the {named('rule', map(repr, rules))}."
    )
