"""Titles and definitions of the quantities of a dossier, and what it does not say."""

from .._utils.documents import Column
from ..sisa._report_columns import TABLES as OF_FORGETTING

_REQUEST = (
    "entry", "time", "n_forgotten", "n_amended", "n_subjects", "share", "behind",
)  # fmt: skip

_ATTRIBUTE = {
    "attribute": Column(
        "Attribute", "The sensitive attribute, or several whose values are combined."
    ),
    "group": Column("Group", "People of one value of the attribute."),
    "decision": Column("Decision", "The decision whose rates are shown: 'selected'."),
}

#: The tables of a dossier. Page and JSON have these columns.
TABLES = {
    "rule": {
        "name": Column("Name", "The rule's name in the directory."),
        "method": Column("Method", "How the rule uses the members' predictions."),
        "constraint": Column("Constraint", "What the rule keeps equal, or bounds."),
        "tolerance": Column(
            "Tolerance",
            "Greatest gap allowed on the calibration rows; empty where constraints "
            "have bounds of their own.",
        ),
        "confidence": Column(
            "Confidence demanded",
            "Probability at which the gap on new people must lie within the tolerance; "
            "empty if none was demanded.",
        ),
        "bound_at_confidence": Column(
            "Bound at this confidence",
            "Upper confidence bound of the gap on new people; of constraints with "
            "bounds of their own, by how much these may be missed.",
        ),
        "confidence_holds": Column(
            "Still supported",
            "Whether that bound lies within the tolerance on the rows left.",
        ),
        "objective": Column("Objective", "What is best under the constraint."),
        "decisions": Column(
            "Decisions", "The decisions there are; of two the last is 'selected'."
        ),
        "groups": Column("Groups", "Groups that have calibration rows."),
        "sensitive_at_predict": Column(
            "Decides by the group", "Whether decisions need the person's group."
        ),
        "calibration_rows": Column(
            "Calibration rows", "Rows left that the rule was solved on."
        ),
        "calibration": Column(
            "Calibration",
            "across shards: each row is judged by members of other shards. rows held "
            "out: no member trained on them.",
        ),
        "randomised_share": Column(
            "Decided at random",
            "Share of the calibration weight whose decision is randomised.",
        ),
        "is_behind": Column(
            "Behind", "Whether the rule has yet to be solved for the rows left."
        ),
    },
    "bounds": {
        "measure": Column(
            "Measure",
            "What is compared. A difference or ratio is the greatest or least over all "
            "pairs of groups.",
        ),
        "estimated": Column(
            "Estimated", "On the calibration rows, by the rule's model of them."
        ),
        "counted": Column(
            "Counted", "On the calibration rows, by their labels, expected decisions."
        ),
        "realised": Column(
            "Realised",
            "On the calibration rows, with randomised decisions drawn as predict draws "
            "them; empty if that is not known.",
        ),
        "expected": Column("Expected", "Mean to be expected on new people."),
        "low": Column("Low", "Lower end of the interval for new people."),
        "high": Column("High", "Upper end of the interval for new people."),
        "bound": Column(
            "Bound", "One-sided confidence bound for new people, at the confidence."
        ),
    },
    "rule_groups": {
        "group": Column("Group", "A group that the rule constrains."),
        "rate": Column("Rate", "A rate that the constraint compares."),
        "estimate": Column("Estimate", "Cross-fitted estimate for new people."),
        "standard_error": Column("Standard error", "That of the estimate."),
        "rows": Column("Rows", "Calibration rows that the rate rests on."),
        "rows_needed": Column(
            "Rows needed",
            "Rows that would support the claim; equal to the rows where these suffice.",
        ),
        "is_enough": Column("Enough", "Whether the rows suffice."),
    },
    "people": {
        "source": Column("People", "Who the rates are computed on."),
        "people": Column("Number", "Number of people, or rows."),
        "randomised_people": Column(
            "Decided at random", "Those whose decision is randomised."
        ),
        "decided_people": Column(
            "Decisions known",
            "Those whose realised decision is known. Realised rates are of these, "
            "expected rates of all.",
        ),
        "has_labels": Column("Labels known", "Whether their true labels are known."),
        "is_weighted": Column("Weighted", "Whether people have weights."),
    },
    "rates": {
        **_ATTRIBUTE,
        "people": Column("People", "Number of people in the group."),
        "people_share": Column("Share", "Their share of all people with a group."),
        "selection_rate": Column(
            "Selected", "Share of the group that predict selects; realised decisions."
        ),
        "expected_selection_rate": Column(
            "Expected",
            "Mean probability of selection. It differs from the realised rate where "
            "decisions are randomised.",
        ),
        "impact_ratio": Column(
            "Impact ratio",
            "Selection rate divided by the greatest of the attribute's groups; from "
            "expected rates if realised ones are not known.",
        ),
        "low": Column("Low", "Lower end of the ratio's 95% interval (score test)."),
        "high": Column("High", "Upper end of the ratio's 95% interval (score test)."),
        "judgement": Column(
            "Judgement",
            "Against four fifths: 'below' if the whole interval lies below 0.8, 'kept' "
            "if none of it does, 'too few people' if the interval has 0.8 inside.",
        ),
        "positives": Column("Positives", "People whom the decision suits by label."),
        "true_positive_rate": Column(
            "True positive rate", "Share of the positives that is selected; realised."
        ),
        "expected_true_positive_rate": Column(
            "Expected TPR", "Mean probability of selection of the positives."
        ),
        "negatives": Column("Negatives", "People whom it does not suit by label."),
        "false_positive_rate": Column(
            "False positive rate", "Share of the negatives that is selected; realised."
        ),
        "expected_false_positive_rate": Column(
            "Expected FPR", "Mean probability of selection of the negatives."
        ),
    },
    "gaps": {
        "attribute": _ATTRIBUTE["attribute"],
        "decision": _ATTRIBUTE["decision"],
        "rate": Column("Rate", "The rate that is compared between groups."),
        "difference": Column(
            "Difference", "Greatest difference between two groups; realised."
        ),
        "expected_difference": Column(
            "Expected difference", "The same of expected rates."
        ),
        "ratio": Column("Ratio", "Least ratio between two groups; realised."),
        "expected_ratio": Column("Expected ratio", "The same of expected rates."),
    },
    "ensemble": OF_FORGETTING["ensemble"],
    "requests": {
        name: (OF_FORGETTING["log"] | OF_FORGETTING["requests"])[name]
        for name in _REQUEST
    },
    "cost": OF_FORGETTING["cost"],
    "behind": OF_FORGETTING["behind"],
    "versions": {
        "library": Column("Library", "Software that the results depend on."),
        "trained": Column("Last change", "Version at the last entry of the log."),
        "computed": Column("This dossier", "Version that computed this document."),
    },
}

#: What nobody should read into a dossier.
LIMITS = (
    "Erasure covers what the ensemble and its directory hold. It does not cover copies "
    "elsewhere, backups, earlier copies of the model, earlier predictions, or data "
    "computed from the rows before they were given for training.",
    "The class labels and the number of rows ever given remain.",
    "Exact deletion is not differential privacy: a model may still reveal something "
    "about the rows that it was trained on and that were not erased.",
    "The rule keeps its constraint on its calibration rows. For new people there are "
    "only the intervals and bounds given here, which assume people like those of the "
    "calibration rows. They do not hold after a change of the population.",
    "Rates compare the groups that were named. Nothing is known about other groups.",
    "An impact ratio compares rates of selection. It does not say whether selection is "
    "wanted, whether people were alike otherwise, or whether a decision was right.",
    "True and false positive rates are as good as the labels. Labels that are biased "
    "make them so.",
    "Intervals treat rows as people who are independent, and each interval stands "
    "alone: among many groups, some ratio lies outside its interval by chance.",
    "This document was computed from the directory by its operator. A signed "
    "certificate proves what its signer stated; repeating the verification proves "
    "the computation.",
    "It is not legal advice, and no judgement on whether a use is lawful.",
)
