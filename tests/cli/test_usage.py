"""What a wrong command line gets: one line that says what, where, what is accepted and what is near; exit code 2."""

import pytest

from minform_cli import __version__
from tests.cli.commands import Command

COMMANDS = ["count", "train", "eval", "compare", "power", "runs", "variants", "presets", "datasets", "schema", "doctor"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["cuont"],
            "unknown command 'cuont'; did you mean 'count'?; accepted: compare, count, datasets, doctor, eval, export",
        ),
        (
            [""],
            "unknown command ''; accepted: compare, count, datasets, doctor, eval, export, import, power, presets",
        ),
        (["--verison"], "unknown option '--verison'; did you mean '--version'?; accepted: --help"),
        (["-x"], "unknown option '-x'; did you mean '-h'?; accepted: --help, "),
        (["count", "--presett", "x"], "unknown option '--presett'; did you mean '--preset'?; accepted: --batch-size"),
        (["count", "-z"], "unknown option '-z'; did you mean "),
        (["train", "--plot", "x"], "unknown option '--plot'; "),
        (["count", "--preset"], "option '--preset' requires an argument"),
        (["compare", "--seeds", "zwei"], "--seeds: expected a whole number, not 'zwei'"),
        (["compare", "--seeds", "1.5"], "--seeds: expected a whole number, not '1.5'"),
        (["compare", "--seeds", ""], "--seeds: expected a whole number, not ''"),
        (["compare", "--seeds", "0"], "--seeds: should be greater than or equal to 1, not '0'"),
        (["compare", "--jobs", "0"], "--jobs: should be greater than or equal to 1, not '0'"),
        (["train", "--seed", "-1"], "--seed: should be greater than or equal to 0, not '-1'"),
        (["train", "--seed", str(2**31)], "--seed: should be less than 2147483648, not 2147483648"),
        (["train", "--threads", "0"], "--threads: should be greater than or equal to 1, not '0'"),
        (["count", "--examples", "x"], "--examples: expected a whole number, not 'x'"),
        (["count", "x"], "got unexpected extra argument(s) (x) (see minform count --help)"),
        (["eval"], "missing argument 'run' (see minform eval --help)"),
        (["eval", "a", "b"], "got unexpected extra argument(s) (b) (see minform eval --help)"),
        (["train", "--dry-run=3"], "option '--dry-run' does not take a value"),
        (
            ["count", "--format", "jsn"],
            "--format: unknown format 'jsn'; did you mean 'json'?; accepted: csv, json, latex",
        ),
        (["variants", "--format", "xml"], "--format: unknown format 'xml'"),
        (["eval", "nowhere"], "nowhere is not a run folder: it has no config.yaml"),
        (
            ["eval", "nowhere", "--split", "tset"],
            "--split: unknown split 'tset'; did you mean 'test'?; accepted: test, ",
        ),
        (
            ["eval", "nowhere", "--checkpoint", "lst"],
            "--checkpoint: unknown checkpoint 'lst'; did you mean 'last'?; acc",
        ),
        (["eval", "nowhere", "--plot", "x.bmp"], "--plot"),
        (
            ["train", "--device", "gpu"],
            "--device: unknown device 'gpu'; did you mean 'cpu'?; accepted: auto, cpu, cuda",
        ),
        (["train", "--dry-run", "--device", "cuda:x"], "--device: unknown device 'cuda:x'; did you mean 'cuda"),
        (["compare", "--device", "tpu"], "--device: unknown device 'tpu'"),
        (["count", "--preset", "mnits"], "--preset: unknown preset 'mnits'; did you mean 'mnist'?; accepted: bert-b"),
        (["compare", "--variant", "minimul"], "--variant: unknown variant 'minimul'; did you mean 'minimal'?"),
        (["compare", "--variant", "minimal", "--variant", "minimal"], "--variant minimal: listed twice"),
        (["compare", "--plot", "x.bmp"], "--plot"),
        (["compare", "--init", "."], "--init .: is no run's folder and no study's; accepted: one with finished runs"),
        (["count", "--by", "layr"], "--by: unknown choice 'layr'; did you mean 'layer'?; accepted: layer, variant"),
        (["count", "--preset", "debug", "--budget", "1"], "--budget 1: no combination has 1 parameter or fewer; the"),
        (["train", "--set", "train.epoch=1"], "--set: unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        (
            ["train", "--set", "data.name=mnst"],
            "data.name: unknown data set 'mnst'; did you mean 'mnist'?; accepted: ci",
        ),
        (["count", "--set", "model.patch_size=3"], "model.patch_size 3 does not divide the 8x8 images of digits; acc"),
        (["count", "--variant", "symmetric+collapsed-qk"], "variant 'symmetric+collapsed-qk': 'collapsed-qk' sets"),
        (["train", "--set", "data.limit=9999"], "data.limit: 9999 is more than the 1,257 training examples of digits"),
    ],
)
def test_a_wrong_command_line_gets_one_line(arguments: list[str], line: str, minform: Command) -> None:
    assert minform(*arguments).refusal.startswith(line)


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "a\nb", "\x07", "\x1b]0;title\x07", "\u202egnp", "\udcff", "\x9b31m"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["{}"],
        ["--{}"],
        ["count", "--{}"],
        ["count", "{}"],
        ["count", "--preset", "{}"],
        ["count", "--preset", "{}/x.yaml"],
        ["count", "--variant", "minimal+{}"],
        ["count", "--set", "{}=1"],
        ["count", "--set", "model.norm={}"],
        ["count", "--set", "data.name={}"],
        ["count", "--format", "{}"],
        ["compare", "--seeds", "{}"],
        ["train", "--device", "{}"],
        ["eval", "{}"],
    ],
)
def test_no_name_reaches_the_terminal_raw(arguments: list[str], hostile: str, minform: Command) -> None:
    assert minform(*(part.format(hostile) for part in arguments)).refusal  # checks that the line is printable


def test_a_very_long_name_does_not_flood_the_terminal(minform: Command) -> None:
    line = minform("count", "--variant", "a" * 100_000).refusal
    assert len(line) < 3000
    assert line.startswith("--variant: unknown variant 'aaa")
    assert line.endswith("symmetric-mirrored, symmetric-pairwise, symmetric-start, tensor-chain")


def test_no_arguments_show_the_help_and_exit_with_2(minform: Command) -> None:
    outcome = minform()
    assert outcome.code == 2
    assert "Usage: minform" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, flag: str, minform: Command) -> None:
    outcome = minform(*command.split(), flag)
    assert outcome.code == 0
    assert "Usage: minform" in outcome.out
    assert outcome.err == ""
    assert "\x1b" not in outcome.out


def test_the_help_names_every_command(minform: Command) -> None:
    out = minform("--help").out
    assert all(f" {command} " in out for command in COMMANDS)


def test_the_version(minform: Command) -> None:
    outcome = minform("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"minform {__version__}\n", "")
