"""What goes where: the result alone to stdout, the rest to stderr, in every format, on a terminal and in a pipe."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from minform_cli.config.names import preset_names, study_names, variant_names
from minform_cli.counting.records import GROUPS
from tests.cli.commands import ROOT, Command, environment, on_terminal, plain, process
from tests.zoo import IMAGE_VARIANTS

COUNT_KEYS = {
    "preset", "variant", "parameters", "share_of_baseline", "determination_ratio", "macs", "groups", "heads",
    "task_head_parameters", "dead_parameters", "notes", "cost", "removable",
}  # fmt: skip


def test_count_lists_every_variant_of_the_default_preset(minform: Command) -> None:
    outcome = minform("count", "--format", "json")
    records = json.loads(outcome.out)
    assert [record["variant"] for record in records] == list(IMAGE_VARIANTS)
    assert {record["preset"] for record in records} == {"digits"}
    assert outcome.code == 0
    assert outcome.err == ""


def test_a_count_record_has_the_promised_keys_and_its_groups_add_up(minform: Command) -> None:
    for record in json.loads(minform("count", "--format", "json").out):
        assert set(record) == COUNT_KEYS
        assert tuple(record["groups"]) == GROUPS
        assert sum(record["groups"].values()) == record["parameters"]
        assert record["determination_ratio"] == 1257 * 10 / record["parameters"]
        assert record["share_of_baseline"] == record["parameters"] / 301_770


def test_k_and_m_can_be_given(minform: Command) -> None:
    arguments = ["--variant", "minimal", "--format", "json", "--examples", "1000", "--outputs", "7"]
    (record,) = json.loads(minform("count", *arguments).out)
    assert record["determination_ratio"] == 7000 / record["parameters"]


def test_the_share_refers_to_the_baseline_even_where_it_is_not_listed(minform: Command) -> None:
    baseline, minimal = json.loads(
        minform("count", "--variant", "baseline", "--variant", "minimal", "--format", "json").out
    )
    (alone,) = json.loads(minform("count", "--variant", "minimal", "--format", "json").out)
    assert alone == minimal
    assert alone["share_of_baseline"] == minimal["parameters"] / baseline["parameters"]


def test_a_variant_is_echoed_exactly_as_typed(minform: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {norm: post}\n")
    typed = ["no-mlp+symmetric", "symmetric+no-mlp", str(path), f"baseline+{path}"]
    out = minform("count", *(part for name in typed for part in ("--variant", name)), "--format", "json").out
    assert [record["variant"] for record in json.loads(out)] == typed


def test_csv_has_a_header_and_one_line_a_variant_with_a_column_a_group(minform: Command) -> None:
    outcome = minform("count", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert len(outcome.out.splitlines()) == len(rows) + 1 == len(IMAGE_VARIANTS) + 1
    assert outcome.err == ""
    for row in rows:
        assert sum(int(row[f"groups.{group}"]) for group in GROUPS) == int(row["parameters"])
        more_tokens = row["variant"].startswith("conv-tokenizer")  # whose positions cost more than they save
        assert 0 < float(row["share_of_baseline"]) < (1.1 if more_tokens else 1.01)
    records = json.loads(minform("count", "--format", "json").out)
    assert [float(row["share_of_baseline"]) for row in rows] == [record["share_of_baseline"] for record in records]


@pytest.mark.parametrize("fmt", ["plain", "markdown", "latex", "rich"])
def test_formats_for_people_show_every_exact_number(
    fmt: str, minform: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    outcome = minform("count", "--format", fmt)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out + outcome.err
    for record in json.loads(minform("count", "--format", "json").out):
        lines = [line for line in outcome.out.splitlines() if line.lstrip(" |").startswith(record["variant"])]
        for number in (record["parameters"], record["macs"], *record["groups"].values()):
            assert any(f"{number:,}" in line for line in lines), (record["variant"], number)
    assert "K = 1,257" in outcome.err
    assert "K = 1,257" not in outcome.out


def test_in_a_pipe_the_default_is_plain_text_without_escape_codes(minform: Command) -> None:
    arguments = ("count", "--variant", "minimal", "--variant", "baseline")
    piped = process(*arguments)
    assert piped == minform(*arguments, "--format", "plain")
    assert piped.code == 0
    assert "\x1b" not in piped.out + piped.err
    assert "Preset digits" in piped.err


def test_quiet_leaves_nothing_but_the_result(minform: Command) -> None:
    loud, quiet = minform("count", "--variant", "minimal"), minform("count", "--variant", "minimal", "-q")
    assert quiet.out == loud.out
    assert quiet.err == ""
    assert loud.err != ""


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_no_line_is_too_long_and_no_number_cut(columns: int, minform: Command) -> None:
    shown = on_terminal("count", columns=columns)
    lines = plain(shown.out).splitlines()
    assert shown.code == 0
    assert max(map(len, lines)) <= columns
    text = plain(shown.out)
    assert "…" not in text
    for record in json.loads(minform("count", "--format", "json").out):
        for number in (record["parameters"], record["macs"], *record["groups"].values()):
            assert f"{number:,}" in text, (record["variant"], number)


@pytest.mark.parametrize("command", ["variants", "presets", "studies", "datasets"])
def test_lists_fit_an_80_column_terminal(command: str) -> None:
    shown = on_terminal(command)
    assert shown.code == 0
    assert max(map(len, plain(shown.out).splitlines())) <= 80


def test_no_color_leaves_no_escape_code_on_a_terminal_and_without_it_there_are_some() -> None:
    assert "\x1b" in on_terminal("variants").out
    bare = on_terminal("variants", NO_COLOR="1")
    assert "\x1b" not in bare.out
    assert bare.out == plain(on_terminal("variants").out)


def test_lists_name_everything_with_meaning_and_source(minform: Command) -> None:
    for command, names in (
        ("variants", variant_names()),
        ("presets", preset_names()),
        ("studies", study_names()),
    ):
        records = json.loads(minform(command, "--format", "json").out)
        assert tuple(record["name"] for record in records) == names
        assert all(record["meaning"] and record["source"] for record in records)
    names = [record["name"] for record in json.loads(minform("datasets", "--format", "json").out)]
    assert set(names) >= {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "image-folder", "imagenet-folder"}


def piped(code: str, reader: str) -> tuple[str, str]:
    """What is left of a process that runs `code`, whose output goes to `reader`: its exit code, and its stderr."""
    shell = f'{sys.executable} -c "$CODE" | {reader}; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=environment(CODE=code), check=False
    )
    return done.stdout.splitlines()[-1], done.stderr


RUN = "import sys, time; sys.argv = ['minform', 'presets']\nfrom minform_cli.cli import console, main\n"


@pytest.mark.parametrize("reader", ["head -1", "true"])
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_reader_that_has_seen_enough_is_no_error(reader: str, size: int) -> None:
    """A small output fails at the last flush, a large one within the command."""
    late = f"real = console.show\ndef show(output): time.sleep(0.5); real('line\\n' * {size})\n"
    code = RUN + late + "from minform_cli.cli import lists; lists.show = show\nmain()"
    assert piped(code, reader) == ("0", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_exit_code_4_and_one_line() -> None:
    for buffered in ("", "1"):
        shell = f"{sys.executable} -m minform_cli presets > /dev/full"
        changed = environment(PYTHONUNBUFFERED=buffered)
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=changed, check=False)
        assert (done.returncode, done.stderr) == (4, "minform: input/output: No space left on device\n")


def test_closed_and_odd_streams_are_no_bug_of_ours() -> None:
    run = f"{sys.executable} -m minform_cli"
    for redirect, codes in ((">&-", {0}), ("2>&-", {0}), (">&- 2>&-", {0}), ("2>/dev/full", {0})):
        shell = f"{run} variants {redirect}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode in codes, (redirect, done)
        assert "Traceback" not in done.stderr
    bad = subprocess.run(["bash", "-c", f"{run} cuont 2>/dev/full"], env=environment(), check=False)
    assert bad.returncode == 2


def test_an_output_encoding_without_our_signs_is_no_bug_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "größe±.yaml"
    path.write_text("model: {norm: post}\n", encoding="utf-8")
    outcome = process("count", "--variant", str(path), PYTHONIOENCODING="ascii")
    assert outcome.code == 0
    assert "gr\\xf6\\xdfe\\xb1.yaml" in outcome.out


def test_python_m_is_the_same_command() -> None:
    assert process("--version", cwd=ROOT).out.startswith("minform ")
