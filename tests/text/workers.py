"""What worker processes run in tests, in a module that they can import."""

import os
import time

from tiny import sentences
from transformers import AutoModelForSequenceClassification

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa._utils import devices
from sklearn_fairsisa.text import TransformerClassifier


def device_of_worker(_):
    """Return this process and the device it takes where there are two GPUs."""
    before, devices.accelerators = devices.accelerators, lambda: ["cuda:0", "cuda:1"]
    try:
        time.sleep(0.2)  # so that no worker does the other's share
        return os.getpid(), devices.pick_device("auto")
    finally:
        devices.accelerators = before


def loads_of_base(folder):
    """Train three shards with adapters, twice; return how often the base was loaded."""
    loads = []
    load = AutoModelForSequenceClassification.from_pretrained

    def counting(*args, **kwargs):
        loads.append(args)
        return load(*args, **kwargs)

    AutoModelForSequenceClassification.from_pretrained = counting
    try:
        learner = TransformerClassifier(
            folder,
            lora={"r": 2},
            model_kwargs={"num_hidden_layers": 1},
            max_length=8,
            device="cpu",
        )
        sisa = SISAClassifier(learner, n_shards=3, n_slices=2, epochs=2, random_state=0)
        sisa.fit(*sentences(24)).forget(3)
    finally:
        AutoModelForSequenceClassification.from_pretrained = load
    return len(loads)
