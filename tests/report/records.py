"""Made-up records with known figures, for tests of tables and pictures."""

from __future__ import annotations

from minform_cli.counting.records import CountRecord
from minform_cli.report.records import CompareRecord, OverExamplesRecord
from minform_cli.runs.records import FORMAT, EvaluationRecord, ResultRecord

NAMES = (
    "baseline",
    "no-mlp",
    "no-mlp+collapsed-qk",
    "no-mlp+symmetric",
    "minimal",
    "symmetric",
    "symmetric-mirrored",
    "symmetric-cholesky",
    "symmetric-pairwise",
    "collapsed-qk",
    "collapsed-vo",
    "no-vo",
    "key-value",
    "no-mlp+symmetric-cholesky",
)
_PARAMETERS = (
    302474,
    104330,
    79754,
    79754,
    30602,
    277898,
    277000,
    277000,
    300000,
    277898,
    277898,
    253322,
    277898,
    66000,
)


def count_record(i: int, scale: int = 1) -> CountRecord:
    """The count of variant `i`; `scale` makes the model that many times as large."""
    total = _PARAMETERS[i] * scale
    rest = total - 10 * scale
    return CountRecord(
        preset="digits",
        variant=NAMES[i],
        parameters=total,
        share_of_baseline=_PARAMETERS[i] / _PARAMETERS[0],
        determination_ratio=1078 * 10 / total,
        macs=4_912_345 * scale,
        groups={
            "embedding": rest // 8,
            "query_key": rest // 4,
            "value_output": rest // 4,
            "mlp": rest - rest // 8 - 2 * (rest // 4) - 5 * scale,
            "norm": 5 * scale,
            "head": 10 * scale,
        },
        heads=1 if i in (2, 4) else 4,
        task_head_parameters=0,
        dead_parameters={},
        notes=[],
    )


def compare_record(i: int, num_seeds: int = 3, scale: int = 1) -> CompareRecord:
    """A comparison's row of variant `i`; accuracy falls by half a point per variant."""
    several, other = num_seeds > 1, i > 0
    return CompareRecord(
        **count_record(i, scale),
        metric="accuracy",
        num_seeds=num_seeds,
        val_score_mean=0.975 - 0.005 * i,
        val_score_std=0.0042 if several else None,
        val_score_low=0.955 - 0.005 * i,
        val_score_high=0.985 - 0.005 * i,
        test_score_mean=0.96,
        test_score_std=0.001 if several else None,
        test_score_low=0.935,
        test_score_high=0.976,
        train_loss_mean=0.0123 * (i + 1),
        train_loss_std=0.001 if several else None,
        val_loss_mean=0.1,
        val_loss_std=0.002 if several else None,
        reference="baseline",
        difference_mean=-0.005 * i if other else None,
        difference_low=-0.005 * i - 0.01 if other and several else None,
        difference_high=-0.005 * i + 0.01 if other and several else None,
        bootstrap_low=None,
        bootstrap_high=None,
        seconds_per_epoch_mean=1.234,
        p_value=0.012 if other and several else None,
        p_value_holm=0.048 if other and several else None,
        margin=None,
        not_worse=None,
        seeds_needed=None,
        kind="images",
        steps_to_95=None,
        confidence=0.95,
        over_examples={"val": over_examples_record(i, num_seeds)} if other else {},
    )


def over_examples_record(i: int, num_seeds: int = 3) -> OverExamplesRecord:
    """What row `i` says over seeds and examples."""
    single = num_seeds == 1
    return OverExamplesRecord(
        score="right",
        num_seeds=num_seeds,
        num_examples=270,
        difference_mean=-0.005 * i,
        low=-0.005 * i - 0.012,
        high=-0.005 * i + 0.012,
        not_worse=None,
        only_own=3 if single else None,
        only_reference=5 if single else None,
        p_mcnemar=0.727 if single else None,
    )


def result_record(
    variant: str = "baseline", seed: int = 0, val_accuracy: float = 0.97, validation: str = "holdout"
) -> ResultRecord:
    """A finished run's result."""
    return ResultRecord(
        format=FORMAT,
        minform="0",
        preset="digits",
        variant=variant,
        seed=seed,
        epochs=60,
        steps=1020,
        heads=4,
        count=count_record(NAMES.index(variant) if variant in NAMES else 0),
        trained_parameters=302474,
        data={
            "kind": "images",
            "name": "digits",
            "title": "Digits",
            "num_classes": 10,
            "num_train": 1078,
            "num_val": 359,
            "num_test": 360,
            "own_val": False,
            "validation": validation,
            "fingerprint": "0",
        },
        metric="accuracy",
        metrics={
            "train_loss": 0.1 + seed,
            "train_accuracy": 0.99,
            "val_loss": 0.2,
            "val_accuracy": val_accuracy,
            "best_val_score": 0.98,
            "best_epoch": 41,
            "test_loss": 0.3 if validation == "holdout" else None,
            "test_accuracy": 0.96 if validation == "holdout" else None,
        },
        timing={"train_s": 60.0, "total_s": 65.5, "seconds_per_epoch": 1.0 + seed},
        curve=[[510, 0.9], [1020, val_accuracy]],
        measured_by={},
        weights_sha256="0",
        environment={"device": "cpu", "threads": 1},
    )


def evaluation_record(num_classes: int = 3, names: list[str] | None = None) -> EvaluationRecord:
    """An evaluation with ten examples a class, nine of them right, the tenth taken for the next class."""
    confusion = [
        [9 if j == i else int(j == (i + 1) % num_classes) for j in range(num_classes)] for i in range(num_classes)
    ]
    return EvaluationRecord(
        preset="digits",
        variant="minimal",
        seed=0,
        split="val",
        checkpoint="last",
        data="Digits",
        num_examples=10 * num_classes,
        parameters=30602,
        metric="accuracy",
        measured={"accuracy": 0.9},
        loss=0.1234567,
        class_names=names or [str(i) for i in range(num_classes)],
        per_class_accuracy=[0.9] * num_classes,
        confusion=confusion,
        perplexity=None,
        translations=[],
        notes=["validated on the test set"],
    )
