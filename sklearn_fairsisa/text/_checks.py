"""Checks of parameters that the estimators share."""

import numbers
from contextlib import contextmanager

import torch

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_number(name, value, kind, least):
    """Raise unless a parameter is a number of some kind and not too small."""
    if not isinstance(value, kind) or isinstance(value, bool) or not value >= least:
        what = "an integer" if kind is numbers.Integral else "a number"
        raise ValueError(f"{name}={value!r} is not valid: give {what} >= {least}.")


def check_choice(name, value, choices):
    """Raise unless a parameter is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not valid: give one of {choices}.")


@contextmanager
def advice_on_memory(advice):
    """Say what to do when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(f"Out of memory. {advice}") from error


def _is_out_of_memory(error):
    signs = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        sign in str(error) for sign in signs
    )
