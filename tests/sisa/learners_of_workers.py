"""Learners that worker processes import."""

import os
import signal
from pathlib import Path

from sklearn.naive_bayes import GaussianNB


class KillsItsWorkerOnce(GaussianNB):
    """Ends its process, as an outage would, the first time it is trained.

    Parameters
    ----------
    marker : str
        File whose presence tells that this has happened.
    """

    def __init__(self, marker=None):
        super().__init__()
        self.marker = marker

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if self.marker is not None:
            try:
                Path(self.marker).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().partial_fit(X, y, classes, sample_weight)
