"""Serve decisions from an export, which is swapped while requests come."""

import os
import pickle
from pathlib import Path

import numpy as np
from fastapi import FastAPI

MODEL = Path(os.environ.get("FAIRSISA_EXPORT", "model.pkl"))
app = FastAPI()
app.state.served = None, None


def current():
    """Return the export that the file holds now, which is read once."""
    stat = MODEL.stat()
    version = stat.st_ino, stat.st_mtime_ns
    known, served = app.state.served
    if known != version:
        served = pickle.loads(MODEL.read_bytes())
        app.state.served = version, served
    return served


@app.post("/decide")
def decide(rows: list[list[float]], groups: list[str]) -> list[str]:
    decided = current().predict(np.array(rows), sensitive_features=np.array(groups))
    return decided.tolist()
