"""Tables of a fitted estimator in a notebook."""

from html import escape

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

_MAX_ROWS = 20


class FindingsMixin:
    """Shows tables of what was fitted below scikit-learn's diagram.

    The method ``_findings`` of the estimator yields titles and data frames.
    """

    def _repr_html_inner(self):
        return super()._repr_html_inner() + findings_html(self)

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += findings_html(self)
        return bundle


def findings_html(estimator):
    """Return the tables of a fitted estimator as HTML; of an unfitted one, nothing."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return ""
    return "".join(
        f"<details{' open' if len(table) <= _MAX_ROWS else ''}>"
        f"<summary>{escape(title)}</summary>"
        + table.to_html(
            index=False, border=0, max_rows=_MAX_ROWS, float_format="{:.3f}".format
        )
        + "</details>"
        for title, table in estimator._findings()
    )
