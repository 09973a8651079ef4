"""Which runs can be stacked: trained, several seeds at once, as one model. Imports no torch.

What stands here was made for stacked seeds and is tested for them. A setting that is added elsewhere is refused until
somebody does the same for it.
"""

from __future__ import annotations

from minform_cli.config.schema import DataConfig, RunConfig
from minform_cli.config.training import TrainConfig
from minform_cli.errors import InputError

OPTIMIZERS = ("adamw", "adam")
"""Those that treat every number by itself."""

TASKS = ("classify-images", "next-tokens", "masked-tokens")
"""Those whose examples are all of one width, so that batches of the seeds stand side by side."""

TRAIN = frozenset(
    {
        "epochs",
        "steps",
        "batch_size",
        "optimizer",
        "learning_rate",
        "weight_decay",
        "beta2",
        "schedule",
        "warmup_epochs",
        "warmup_steps",
        "clip_norm",
        "label_smoothing",
        "eval_batch_size",
        "precision",
        "checkpoint_every_s",
    }
)
"""Settings of section ``train`` that may have any value; the others must be as they are when nobody sets them."""

DATA = frozenset(
    {
        *("name", "path", "val_path", "test_path", "source", "target", "subset", "limit", "validation", "normalize"),
        *("val_source", "val_target", "test_source", "test_target", "bleu_tokenizer"),
        *("image_size", "channels", "exif_orientation", "max_megapixels", "crop_padding", "horizontal_flip"),
        *("auto_augment", "random_erasing"),
        *("vocab_size", "seq_len", "tokenizer", "mask_rate"),
    }
)
"""Likewise of section ``data``."""


def check_stackable(config: RunConfig) -> None:
    """Raises `InputError`, in one line, if seeds of this run cannot be trained as one model."""
    if config.task not in TASKS:
        raise _refused(f"examples of the task {config.task} are of unequal widths", f"tasks {', '.join(TASKS)}")
    if config.teacher is not None or config.continues is not None:
        raise _refused("a run that follows or continues another is trained alone", "runs from chance or --init")
    for section, settings, known in (("train", config.train, TRAIN), ("data", config.data, DATA)):
        for key in _set_beside(settings, known):
            raise _refused(f"{section}.{key} is not there for stacked seeds", f"its default, or no {OPTION}")
    if config.train.optimizer not in OPTIMIZERS:
        raise _refused(
            f"train.optimizer {config.train.optimizer} looks at more than one number at a time", ", ".join(OPTIMIZERS)
        )


OPTION = "--stack-seeds"

ON_CPU = (
    f"{OPTION}: on a CPU it does not pay (0 to 20 % of the time saved, measured); accepted: a GPU by --device, or "
    "--stack-anyway"
)
"""Why it is refused there."""


def _set_beside(settings: TrainConfig | DataConfig, known: frozenset[str]) -> list[str]:
    """Settings beside `known` ones that are not as nobody sets them."""
    fields = type(settings).model_fields
    return [
        key
        for key, field in fields.items()
        if key not in known and getattr(settings, key) != field.get_default(call_default_factory=True)
    ]


def _refused(why: str, accepted: str) -> InputError:
    return InputError(f"{OPTION}: {why}; accepted: {accepted}")


def equal_but_for_the_seed(config: RunConfig) -> str:
    """What the seeds of one run have in common, as text; of weights to start from only whether there are some."""
    fields: dict[str, object] = config.model_dump(mode="json", exclude={"seed", "init"})
    return repr({**fields, "init": config.init is not None})
