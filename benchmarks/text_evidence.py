"""Does evidence that knows the group help over fine-tuned tails?

    SKLEARN_FAIRSISA_DATA=<folder> python benchmarks/text_evidence.py --rows 1600

HateXplain posts on Islam or Judaism: MiniLM's last layer is trained in five shards
(``trainable_layers=1``), and a fair rule over them decides on other posts, from the
members' scores alone and with the default's heads, which know the group. Then one post
is forgotten and the ensemble verified. Gaps are those of equalized odds.
"""

import argparse
import os
from dataclasses import replace

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _common import add_output_argument, print_table, write_result
from _judging import OBJECTIVE
from evidence import TEXTS, judge
from text_throughput import model_params
from trunk_tail import EPOCHS, seconds

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.datasets import fetch_hatexplain
from sklearn_fairsisa.postprocessing._rule import learn_rule
from sklearn_fairsisa.text import TransformerClassifier


def main():
    args = parse_arguments()
    torch.set_num_threads(1)
    posts = fetch_hatexplain()
    group = np.array(posts.groups["religion"], dtype=object)
    rows = np.random.default_rng(0).permutation(len(group))
    rows = rows[np.isin(group[rows], TEXTS["religion"])]
    train, test = rows[: args.rows], rows[args.rows : args.rows + args.tested]
    texts = np.array([str(text) for text in posts.data], dtype=object)
    learner = TransformerClassifier(
        **model_params("minilm", None), trainable_layers=1, max_length=64, lr=3e-4,
        device="cpu",
    )  # fmt: skip
    fair = FairEnsemblePostprocessor(
        SISAClassifier(learner, n_shards=5, epochs=EPOCHS, random_state=0),
        objective=OBJECTIVE,
        random_state=0,
    )
    fit = seconds(
        lambda: fair.fit(
            texts[train], posts.target[train], sensitive_features=group[train]
        )
    )
    print(f"fit: {fit:.0f} s", flush=True)
    serving = fair._serving()
    rows, problem = serving.calibrated.rows, serving.calibrated.problem
    code = np.searchsorted(problem.groups.astype(str), group[test].astype(str))
    scores = serving.evidence(texts[test], code)
    bare = learn_rule(rows.of_members, replace(problem, accepts_unknown=False))(0.0)
    decided = {
        "members": bare.selection_probability(scores[:, :5], code),
        "heads": fair.selection_probability(
            texts[test], sensitive_features=group[test]
        ),
    }
    lines = list(judge(decided, posts.target[test], group[test]))
    forget = seconds(lambda: fair.forget([3]))
    facts = {
        "lines": lines,
        "fit_seconds": fit,
        "forget_seconds": forget,
        "verified": bool(fair.estimator_.verify_forgotten()),
    }
    print_table(
        lines,
        dict.fromkeys(lines[0], ".3f") | {"rule": ""},
    )
    print({name: facts[name] for name in ("forget_seconds", "verified")})
    write_result(args.output, args, facts, ("transformers", "torch"))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--tested", type=int, default=1000)
    add_output_argument(parser, "text_evidence")
    return parser.parse_args()


if __name__ == "__main__":
    main()
