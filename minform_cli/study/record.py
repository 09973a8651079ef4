"""What a plan says of itself: `study.json` in the study's folder, and one record a run."""

from __future__ import annotations

import json
from typing import Any

from minform_cli import __version__
from minform_cli.errors import MachineError
from minform_cli.results import FORMAT, PlanRecord, write_atomic
from minform_cli.study.plan import Plan
from minform_cli.study.summary import count_plan

FILE = "study.json"


def write_plan(plan: Plan) -> None:
    """Writes the plan into the study's folder, which is made if need be; the same plan again touches nothing.

    Raises:
        MachineError: the folder cannot be written.
    """
    path = plan.out / FILE
    described = (json.dumps(_described(plan), indent=2, allow_nan=False) + "\n").encode()
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot write to {plan.out}: {error.strerror or error}") from error
    if not path.is_file() or path.read_bytes() != described:
        write_atomic(path, described)


def plan_records(plan: Plan) -> list[PlanRecord]:
    """The plan's runs with their parameters, in its order."""
    parameters = {(count["variant"], str(count.get("grid"))): count["parameters"] for count in count_plan(plan)}
    return [
        PlanRecord(
            preset=plan.preset,
            variant=run.config.variant,
            grid=run.grid,
            seed=run.config.seed,
            parameters=parameters[run.config.variant, str(run.grid)],
            state="finished" if run.finished else "begun" if run.begun else "to do",
            folder=str(run.folder),
        )
        for run in plan.runs
    ]


def _described(plan: Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "minform": __version__,
        "preset": plan.preset,
        "variants": list(plan.variants),
        "seeds": list(plan.seeds),
        "set": plan.settings,
        "grid": plan.grid,
        "skipped": plan.skipped,
        "runs": [
            {
                "variant": run.config.variant,
                "grid": run.grid,
                "seed": run.config.seed,
                "folder": run.folder.relative_to(plan.out).as_posix(),
            }
            for run in plan.runs
        ],
    }
