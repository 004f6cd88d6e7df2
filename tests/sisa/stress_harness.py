"""Many threads of many processes change one directory while everything fails at random.

Run as a program, ``python stress_harness.py DIRECTORY SECONDS SEED``. Four processes of
eight threads each ask for deletions, add batches, relearn and read. Meanwhile disks are
full, memory runs out and processes are interrupted and killed. Prints a JSON object.
"""

import errno
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.naive_bayes import GaussianNB

from sklearn_fairsisa import SISAClassifier
from sklearn_fairsisa.sisa.store import CheckpointPolicy, disk

N_PROCESSES, N_WRITERS, N_READERS = 4, 3, 5
# More than can be asked for in the time.
N_ROWS = 6_000
rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, 3))
y = (X[:, 0] + rng.normal(size=N_ROWS) > 0).astype(int)
# Batches are equal, so that their order makes no difference.
X_NEW, y_NEW = rng.normal(size=(2, 3)), np.array([0, 1])


class ForgetfulNB(GaussianNB):
    """Naive Bayes that runs out of memory at random, in the processes of workers."""

    failing = 0.0

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit, or fail."""
        if random.random() < ForgetfulNB.failing:
            raise MemoryError("for the test")
        return super().partial_fit(X, y, classes, sample_weight)


class FullDisk:
    """The module os, where disks are full at random."""

    def __init__(self, share):
        self.share = share

    def __getattr__(self, name):
        return getattr(os, name)

    def _fail(self):
        if random.random() < self.share:
            raise OSError(errno.ENOSPC, "No space left on device, for the test")

    def write(self, fd, data):
        """Write half of the data, or none, where the disk is full."""
        if random.random() < self.share:
            os.write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device, for the test")
        return os.write(fd, data)

    def replace(self, source, target):
        """Rename."""
        self._fail()
        os.replace(source, target)

    def fsync(self, fd):
        """Synchronise."""
        self._fail()
        os.fsync(fd)


def make_sisa(directory):
    """Return the ensemble of the test."""
    policy = directory and CheckpointPolicy(directory, timeout=60)
    return SISAClassifier(
        ForgetfulNB(), n_shards=8, n_slices=3, random_state=0, checkpoint_dir=policy
    )


class Worker:
    """A process of writers and readers.

    Parameters
    ----------
    directory : str
    rows : sequence of int
        Rows that this process alone may ask for.
    log : int
        Descriptor of the file that outlives the process.
    """

    def __init__(self, directory, rows, log):
        self.directory, self.rows, self.log = directory, list(rows), log
        # Some writers share an estimator, others have one each.
        self.shared = SISAClassifier.load(directory)

    def tell(self, *facts):
        """Note something where no kill can undo it."""
        os.write(self.log, (json.dumps(facts) + "\n").encode())

    def asked(self, kind, what, call):
        """Call, and note what it was and what it answered."""
        self.tell("asked", kind, what)
        try:
            call()
        except BaseException as error:
            text = " ".join([str(error), *getattr(error, "__notes__", [])])
            self.tell("raised", kind, what, type(error).__name__, text)
            if isinstance(error, KeyboardInterrupt):
                return
            known = isinstance(error, MemoryError) or "for the test" in text
            if not known:
                self.tell("wrong", kind, what, type(error).__name__, text)
        else:
            self.tell("done", kind, what)

    def write(self, number):
        """Change the directory until the process ends."""
        sisa = self.shared if number % 2 else SISAClassifier.load(self.directory)
        while True:
            try:
                self.change(sisa)
            except KeyboardInterrupt:
                self.tell("interrupted")

    def change(self, sisa):
        """Make one change of some kind."""
        chance = random.random()
        if chance < 0.1:
            batch = random.getrandbits(60)
            self.asked("batch", batch, lambda: sisa.partial_fit(X_NEW, y_NEW))
        elif chance < 0.25:
            self.asked("relearn", None, sisa.relearn)
        elif self.rows:
            row, relearn = self.rows.pop(), random.random() < 0.5
            self.asked("row", row, lambda: sisa.forget(row, relearn=relearn))

    def read(self, number):
        """Read the directory until the process ends."""
        while True:
            try:
                sisa = (
                    self.shared if number % 2 else SISAClassifier.load(self.directory)
                )
                if any(member is not None for member in sisa.estimators_):
                    sisa.predict(X[:50])
                sisa.behind_, sisa.forgotten_, sisa.forgetting_report()
                self.tell("read")
                time.sleep(random.uniform(0, 0.1))
            except KeyboardInterrupt:
                self.tell("interrupted")
            except BaseException as error:
                self.tell("wrong", "read", number, type(error).__name__, str(error))

    def run(self):
        """Run all threads; this one, which is interrupted, is a writer too."""
        for number in range(N_READERS):
            threading.Thread(target=self.read, args=(number,), daemon=True).start()
        for number in range(1, N_WRITERS):
            threading.Thread(target=self.write, args=(number,), daemon=True).start()
        self.write(0)


def work(directory, log, rows):
    """Be one of the processes, until it is killed."""
    ForgetfulNB.failing = 0.03
    random.seed(os.getpid())
    disk.os = FullDisk(0.01)
    log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    worker = None
    while True:
        try:
            worker = worker or Worker(directory, rows, log)
            worker.run()
        except KeyboardInterrupt:
            continue


class Process:
    """A worker, which is started again, with other rows, when it was killed."""

    def __init__(self, directory, log, rows):
        self.directory, self.log, self.rows = directory, log, list(rows)
        self.start()

    def start(self):
        """Start it with a share of the rows."""
        share, self.rows = self.rows[:200], self.rows[200:]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(self.directory, self.log, share)
            finally:
                traceback.print_exc()
                os._exit(1)

    def signal(self, number):
        """Send a signal; return whether it was alive."""
        os.kill(self.pid, number)
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def kill(self):
        """Kill it at once, if it is alive."""
        if self.signal(signal.SIGKILL):
            os.waitpid(self.pid, 0)


def torment(directory, log, seconds):
    """Have the processes work, interrupt and kill them; return how often."""
    shares = np.array_split(np.arange(N_ROWS), N_PROCESSES)
    processes = [Process(directory, log, share.tolist()) for share in shares]
    count, deadline = Counter(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(random.uniform(0.1, 0.5))
        process = random.choice(processes)
        if random.random() < 0.1:
            process.kill()
            process.start()
            count["kills"] += 1
        elif process.signal(signal.SIGINT):
            count["interrupts"] += 1
        else:
            count["ended of themselves"] += 1
            process.start()
    for process in processes:
        process.kill()
    return count


def main(directory, seconds, seed):
    """Fit, torment and judge; print what was seen."""
    random.seed(int(seed))
    warnings.simplefilter("ignore")
    log = directory + ".log"
    make_sisa(directory).fit(X, y)
    count = torment(directory, log, float(seconds))
    lines = [json.loads(line) for line in Path(log).read_text().splitlines()]
    sisa = SISAClassifier.load(directory).relearn()
    forgotten = set(sisa.forgotten_.tolist())
    asked = {w[2] for w in lines if w[:2] == ["asked", "row"]}
    done = {w[2] for w in lines if w[:2] == ["done", "row"]}
    untouched = {
        w[2] for w in lines if w[:2] == ["raised", "row"] and "Nothing" in w[4]
    }
    n_batches = (sisa.n_rows_ + len(forgotten) - N_ROWS) / len(y_NEW)
    plain = make_sisa(None).fit(X, y)
    for _ in range(int(n_batches)):
        plain.partial_fit(X_NEW, y_NEW)
    plain.forget(sorted(forgotten))
    files = b"".join(p.read_bytes() for p in Path(directory).iterdir())
    print(
        json.dumps(
            {
                "acknowledged_and_kept": sorted(done - forgotten),
                "forgotten_and_not_asked": sorted(forgotten - asked),
                "denied_and_forgotten": sorted(untouched & forgotten),
                "left_on_disk": [i for i in forgotten if X[i].tobytes() in files],
                "batches": [
                    sum(w[:2] == ["done", "batch"] for w in lines),
                    n_batches,
                    sum(w[:2] == ["asked", "batch"] for w in lines),
                ],
                "same_members": [
                    bool(np.array_equal(a.theta_, b.theta_))
                    for a, b in zip(sisa.estimators_, plain.estimators_)
                ],
                "verified": bool(sisa.verify_forgotten()),
                "wrong": [w[1:] for w in lines if w[0] == "wrong"],
                "count": {
                    **count,
                    **Counter(w[0] for w in lines),
                    **Counter(w[3] for w in lines if w[0] == "raised"),
                    "forgotten": len(forgotten),
                    "denied": len(untouched),
                },
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
