"""Base learners of the ensembles, by the names that the command line takes."""

from dataclasses import dataclass, replace

from sklearn.linear_model import SGDClassifier

from sklearn_fairsisa.job._learner import make_learner

LINEAR = "linear"


@dataclass(frozen=True)
class Edition:
    """What a run does unless told otherwise."""

    models: tuple
    shards: tuple
    repeats: int
    frozen: bool
    max_rows: int | None = None
    min_group_rows: int = 40
    deletions_at: tuple = (5, 20)

    def quick(self):
        """The same at toy size."""
        return replace(
            self,
            models=self.models[:2],
            shards=(1, 3),
            repeats=1,
            max_rows=4000,
            min_group_rows=15,
            deletions_at=(3,),
        )

    def fill_in(self, options):
        """Options with what was left open."""
        for name in ("models", "shards", "repeats", "max_rows", "min_group_rows"):
            if getattr(options, name) is None:
                setattr(options, name, getattr(self, name))
        options.frozen = self.frozen
        options.deletions_at = [s for s in self.deletions_at if s in options.shards]
        return options


EDITIONS = {
    "frozen": Edition(
        models=("minilm", LINEAR),
        shards=(1, 2, 5, 10, 20),
        repeats=2,
        frozen=True,
    ),
    "fine-tuned": Edition(
        models=("minilm", "bert-base-uncased", "distilgpt2", "gpt2", LINEAR),
        shards=(1, 5, 10),
        repeats=1,
        frozen=False,
        deletions_at=(5,),
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
    source, note = _source(name)
    estimator, encoder, epochs = make_learner(
        source,
        frozen=edition.frozen,
        epochs=None,
        batch_size=32,
        max_length=128,
        cache=options.cache,
    )
    kind = "heads over frozen vectors" if edition.frozen else "fine-tuned"
    return Learner(name, True, estimator, encoder, epochs, f"{kind}{note}")


def _source(name):
    """A name that can be loaded, or the same architecture with random weights."""
    architectures = {
        "bert-base-uncased": _small_bert,
        "distilgpt2": lambda: _small_gpt2(3),
        "gpt2": lambda: _small_gpt2(6),
    }
    if name not in architectures:
        return name, ""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(name)
    except OSError:
        return architectures[name](), (
            ", random weights and a quarter of the width: the pretrained ones could "
            "not be had"
        )
    return name, ""


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
        vocab_size=16384, n_embd=192, n_layer=n_layer, n_head=3, n_positions=256
    )
