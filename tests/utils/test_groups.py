import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_fairsisa._utils.groups import (
    distinct,
    encode_groups,
)


@given(
    values=st.sampled_from(["i2", "u1", "f8", "U3", "S3", "?", "M8[D]"]).flatmap(
        lambda kind: arrays(kind, st.integers(0, 30))
    )
)
@settings(max_examples=100, deadline=None)
def test_distinct_values_are_those_of_a_sort(values):
    values = values[values == values]
    names, code = distinct(values)
    expected = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(names, expected[0])
    np.testing.assert_array_equal(code, expected[1])
    assert names.dtype == values.dtype


def test_a_row_without_a_group_has_no_code():
    groups = np.ma.masked_array(["b", "?", "a", "b"], mask=[0, 1, 0, 0])
    names, code = encode_groups(groups)
    np.testing.assert_array_equal(names, ["a", "b"])
    np.testing.assert_array_equal(code, [1, -1, 0, 1])
