"""Base learners of the ensembles, by the names that the command line takes."""

import sys
from dataclasses import dataclass, replace

from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa.cli._learner import make_learner

LINEAR = "linear"
SMALL = "small-"
"""Before the name of an architecture whose weights are random and few."""


@dataclass(frozen=True)
class Edition:
    """What a run does unless told otherwise.

    Parameters
    ----------
    folder : str
        Of the results.
    models, tasks : tuple of str
    shards : tuple of int
    repeats, deletion_repeats : int
        Splits of the rows into folds, and how many of them are used for deletions.
    frozen : bool
        Whether heads learn on frozen vectors, or transformers are fine-tuned.
    max_rows : int or None
    min_group_rows : int
    folds, slices : int
    deletions_at : tuple of int
        Numbers of shards at which rows are forgotten.
    epochs, small_epochs : int or None
        Passes of models with pretrained and with random weights.
    lr, small_lr : float
        Learning rates of the same. Random weights must move further.
    batch_size, max_length : int
    """

    folder: str
    models: tuple
    shards: tuple
    repeats: int
    frozen: bool
    tasks: tuple = ("hatexplain", "tabular")
    max_rows: int | None = None
    min_group_rows: int = 40
    folds: int = 5
    slices: int = 4
    deletion_repeats: int = 2
    deletions_at: tuple = ()
    epochs: int | None = None
    small_epochs: int | None = None
    lr: float = 5e-5
    small_lr: float = 1e-3
    batch_size: int = 32
    max_length: int = 128

    def quick(self):
        """The same at toy size."""
        toy = replace(
            self,
            shards=(1, 3),
            repeats=1,
            deletions_at=(3,) if self.deletions_at else (),
        )
        if self.frozen:
            return replace(toy, max_rows=4000, min_group_rows=15)
        return replace(
            toy,
            models=("small-bert", LINEAR),
            max_rows=400,
            min_group_rows=20,
            folds=2,
            small_epochs=1,
        )

    def fill_in(self, options):
        """Options with what was left open."""
        for name in (
            *("models", "tasks", "shards", "repeats", "max_rows", "min_group_rows"),
            *("folds", "slices", "deletions_at"),
        ):
            if getattr(options, name) is None:
                setattr(options, name, getattr(self, name))
        options.frozen = self.frozen
        # Transformers would have to be fine-tuned twice more.
        options.every_row = self.frozen
        options.deletions_at = [s for s in options.deletions_at if s in options.shards]
        options.deletion_repeats = min(options.repeats, self.deletion_repeats)
        return options


EDITIONS = {
    "frozen": Edition(
        folder="paper",
        models=("minilm", LINEAR),
        shards=(1, 5, 20),
        repeats=1,
        frozen=True,
        deletions_at=(5,),
    ),
    "fine-tuned": Edition(
        folder="paper_fine_tuned",
        models=("minilm", "bert-base-uncased", "distilgpt2", "gpt2", LINEAR),
        shards=(1, 2, 5, 10, 20),
        repeats=2,
        frozen=False,
        deletion_repeats=1,
        deletions_at=(5,),
        small_epochs=5,
    ),
    "fine-tuned-small": Edition(
        folder="paper_fine_tuned_small",
        models=("minilm", "small-bert", "small-distilgpt2", "small-gpt2"),
        tasks=("hatexplain",),
        shards=(1, 2, 5, 10, 20),
        repeats=2,
        frozen=False,
        deletion_repeats=1,
        max_rows=2000,
        min_group_rows=70,
        folds=2,
        slices=1,
        epochs=2,
        small_epochs=4,
        lr=2e-4,
        batch_size=16,
        max_length=64,
    ),
}


@dataclass(frozen=True)
class Learner:
    """A classifier that each shard trains, and what is said of it.

    Parameters
    ----------
    name : str
    takes_texts : bool
    estimator : classifier
    encoder : transformer or None
        Turns texts into the vectors of a frozen model.
    epochs : int
    note : str
        What a reader must know, such as that weights are random.
    """

    name: str
    takes_texts: bool
    estimator: object
    encoder: object
    epochs: int
    note: str

    def features(self, task):
        """What the classifier takes."""
        if self.encoder is None:
            return task.X
        return self.encoder.fit_transform(task.X)


def find_learner(name, edition, options):
    """Return the learner of a name."""
    if name == LINEAR:
        estimator = SGDClassifier(loss="log_loss", alpha=1e-4)
        return Learner(name, False, estimator, None, 10, "linear in the columns")
    name = _loadable(name, edition)
    small = name in _CONFIGS
    if small and edition.frozen:
        sys.exit(
            f"The weights of {name} are random, so its frozen vectors say nothing."
        )
    estimator, encoder, epochs = make_learner(
        _CONFIGS[name]() if small else name,
        frozen=edition.frozen,
        epochs=edition.small_epochs if small else edition.epochs,
        batch_size=edition.batch_size,
        max_length=edition.max_length,
        cache=options.cache,
    )
    if edition.frozen:
        note = "heads over frozen vectors"
    else:
        estimator.set_params(lr=edition.small_lr if small else edition.lr)
        note = (
            f"fine-tuned, {epochs} passes, batches of {edition.batch_size}, at most "
            f"{edition.max_length} tokens"
        )
    if small:
        config = estimator.model
        note = (
            f"random weights, {config.num_hidden_layers} layers of width "
            f"{config.hidden_size}, words hashed to {config.vocab_size} ids; "
            f"{note.replace('fine-tuned', 'trained')}"
        )
    shown = name.rstrip("/").rsplit("/", 1)[-1]
    return Learner(shown, True, estimator, encoder, epochs, note)


def _loadable(name, edition):
    """The name, or that of the same architecture, small, with random weights."""
    small = SMALL + name.removesuffix("-base-uncased")
    if edition.frozen or small not in _CONFIGS:
        return name
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(name)
    except OSError:
        print(f"The weights of {name} could not be had; {small} takes its place.")
        return small
    return name


def _small_bert():
    from transformers import BertConfig

    return BertConfig(
        vocab_size=16384,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=768,
    )


def _small_gpt2(n_layer):
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=16384,
        n_embd=192,
        n_layer=n_layer,
        n_head=3,
        n_positions=256,
        bos_token_id=0,
        eos_token_id=0,
    )


_CONFIGS = {
    "small-bert": _small_bert,
    "small-distilgpt2": lambda: _small_gpt2(3),
    "small-gpt2": lambda: _small_gpt2(6),
}
