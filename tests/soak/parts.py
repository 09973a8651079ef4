"""What the soak is made of: for each figure of reliability, which tests, how many a slice, and how many in all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part.

    Attributes:
        name: of its own, also in the folder of the soak.
        figure: what tests call it when they tell what they reached.
        what: what is counted, in words.
        tests: what pytest is given.
        goal: how many in all; 0: the selection is run once, and is the goal.
        gate: how many the figure asks for at least; 0 likewise.
        a_slice: how many tries a slice has; 0 where the tests are what they are.
        mark: what pytest selects by.
    """

    name: str
    figure: str
    what: str
    tests: tuple[str, ...]
    goal: int = 0
    gate: int = 0
    a_slice: int = 0
    mark: str = "soak or not soak"


PARTS = (
    Part(
        name="R1-kills",
        figure="R1",
        what="SIGKILL at random moments, resumed to equal bits",
        tests=("tests/training/test_kill.py::test_a_run_killed_again_and_again_ends_with_the_bits_of_one_left_alone",),
        gate=50,
        goal=1_000,
        a_slice=50,
    ),
    Part(
        name="R1-variants",
        figure="R1-variants",
        what="variants killed and resumed",
        tests=("tests/training/test_kill.py::test_every_variant_survives_being_killed",),
    ),
    Part(
        name="R1-studies",
        figure="R1-studies",
        what="SIGKILL in a study, resumed to an equal table",
        tests=("tests/study/test_killed.py",),
        gate=2,
        goal=100,
        a_slice=6,
    ),
    Part(
        name="R2-faults",
        figure="R2",
        what="calls of a save that failed, or after which the process died",
        tests=(
            "tests/training/test_checkpoint.py",
            "tests/test_files.py",
            "tests/data/test_download_faults.py",
            "tests/searching/test_journal.py",
        ),
    ),
    Part(
        name="R2-commands",
        figure="R2",
        what="calls of commands and caches that failed, or after which the process died",
        tests=("tests/cli/test_every_call_fails.py", "tests/data/test_cache_faults.py"),
        gate=150,
        goal=2_000,
        a_slice=60,
    ),
    Part(
        name="R3-same",
        figure="R3",
        what="runs three times, of each variant, with 1 and 2 threads",
        tests=("tests/training/test_determinism.py",),
    ),
    Part(
        name="R4-damages",
        figure="R4",
        what="damaged run folders",
        tests=(
            "tests/training/test_checkpoint.py::"
            "test_a_damaged_run_folder_is_refused_in_one_line_or_loads_to_the_same_bits",
        ),
        gate=10_000,
        goal=1_000_000,
        a_slice=20_000,
    ),
    Part(
        name="R5-configs",
        figure="R5",
        what="malformed configs and settings",
        tests=("tests/config/test_fuzz.py",),
        gate=5_000,
        goal=80_000,
        a_slice=4_000,
    ),
    Part(
        name="R5-lines",
        figure="R5",
        what="random command lines",
        tests=("tests/cli/test_fuzz.py",),
        gate=300,
        goal=20_000,
        a_slice=10_000,
    ),
    Part(
        name="R6-hostile",
        figure="R6",
        what="tests of hostile archives, images, configs and names",
        tests=(
            "tests/data/images/test_hostile.py",
            "tests/data/images/test_bombs.py",
            "tests/data/images/test_archive_names.py",
        ),
    ),
    Part(
        name="R6-audited",
        figure="R6",
        what="hostile archives under strace: nothing written elsewhere, nothing run",
        tests=("tests/data/images/test_audited.py",),
    ),
    Part(name="R7-source", figure="R7", what="rules on the source", tests=("tests/test_source.py",)),
    Part(
        name="R8-downloads",
        figure="R8",
        what="tests of servers that fail",
        tests=("tests/data/test_download.py",),
    ),
    Part(
        name="R9-signals",
        figure="R9",
        what="tests of signals",
        tests=("tests/training/test_interrupt.py", "tests/training/test_compiled.py", "tests/cli/test_runs.py"),
    ),
    Part(
        name="R10-not-finite",
        figure="R10",
        what="injections of NaN and infinity",
        tests=("tests/training/test_step.py", "tests/training/test_refusals.py"),
    ),
    Part(
        name="R13-counts",
        figure="R13",
        what="random shapes, counted and multiplied exactly",
        tests=("tests/counting/test_random_shapes.py::test_counts_and_macs_are_exact_at_200_random_shapes",),
        gate=200,
        goal=10_000,
        a_slice=800,
    ),
    Part(
        name="R15-exports",
        figure="R15",
        what="exports of every part, read back by ONNX and torch",
        tests=(
            "tests/exporting/test_all_parts.py",
            "tests/exporting/test_onnx.py",
            "tests/exporting/test_torch_export.py",
        ),
    ),
    Part(
        name="R17-intervals",
        figure="R17",
        what="tests of intervals, 10,000 simulations each",
        tests=("tests/study/test_coverage.py", "tests/study/test_statistics.py"),
    ),
    Part(
        name="growth",
        figure="growth",
        what="long runs whose memory does not grow",
        tests=("tests/training/test_growth.py",),
    ),
    Part(
        name="left-out", figure="", what="tests that the suite leaves out for their time", tests=("tests",), mark="soak"
    ),
)
"""All parts; a new one is a new entry here, whose tests ask `scale.tries` and tell `scale.reached`."""
