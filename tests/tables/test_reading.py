"""Which column is what, how variants and seeds stand, and one line with file and row for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.tables.columns import parse_columns
from minform_cli.tables.records import RunTable
from minform_cli.tables.runs import read_runs
from tests.cli.commands import Command

LONG = "model,seed,accuracy,n_params\nbase,0,0.90,1000\nbase,1,0.92,1000\nsmall,0,0.88,300\nsmall,1,0.91,300\n"


def read(folder: Path, text: str | bytes, columns: str | None = None, name: str = "runs.csv") -> RunTable:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_runs(path, parse_columns(columns))


def scores(table: RunTable) -> dict[tuple[str, str], float]:
    return {(run.variant, run.seed): round(run.score, 10) for run in table.runs}


EXPECTED = {("base", "0"): 0.90, ("base", "1"): 0.92, ("small", "0"): 0.88, ("small", "1"): 0.91}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("long.csv", LONG),
        ("bom.csv", "\ufeff" + LONG),
        ("crlf.csv", LONG.replace("\n", "\r\n")),
        ("blank-lines.csv", LONG.replace("\n", "\n\n")),
        ("percent.csv", LONG.replace("0.9", "9").replace("0.88", "88").replace("91", "91").replace(",90,", ",90,")),
        ("long.tsv", LONG.replace(",", "\t")),
        ("floats.csv", LONG.replace(",0,", ",0.0,").replace(",1,", ",1.0,")),
        (
            "long.jsonl",
            '{"model": "base", "seed": 0, "accuracy": 0.9}\n{"model": "base", "seed": 1, "accuracy": 0.92}\n'
            '{"model": "small", "seed": 0, "accuracy": 0.88}\n{"model": "small", "seed": 1, "accuracy": 0.91}\n',
        ),
        ("seeds-across.csv", "model,seed 0,seed 1\nbase,0.90,0.92\nsmall,0.88,0.91\n"),
        ("numbers-across.csv", "model,0,1\nbase,0.90,0.92\nsmall,0.88,0.91\n"),
        ("variants-across.csv", "seed,base,small\n0,0.90,0.88\n1,0.92,0.91\n"),
    ],
)
def test_the_same_runs_are_read_however_they_stand(name: str, text: str, tmp_path: Path) -> None:
    if name == "percent.csv":
        text = "model,seed,accuracy\nbase,0,90\nbase,1,92\nsmall,0,88\nsmall,1,91\n"
    wide = "across" in name
    table = read(tmp_path, text, "score=accuracy" if wide else None, name)
    assert scores(table) == EXPECTED
    assert (table.score, table.unit, table.better) == ("accuracy", "%", "higher")
    assert ("columns of" in table.form) == wide
    expected = 1000 if "n_params" in text else None
    assert table.runs[0].parameters == expected


def test_columns_are_taken_as_the_user_names_them(tmp_path: Path) -> None:
    text = "a,b,c,d\nbase,0,3.5,10\nbase,1,3.25,10\n"
    table = read(tmp_path, "a,b,c,d\nbase,0,3.5,10\nbase,1,3.25,10\n".replace("c,", "loss,"), "variant=a,seed=b")
    assert (table.score, table.unit, table.better) == ("loss", "", "lower")
    with pytest.raises(InputError, match="whether more of 'c' is better is not known; accepted: --higher-is-better"):
        read(tmp_path, text, "variant=a,seed=b,score=c")
    path = tmp_path / "runs.csv"
    named = parse_columns("variant=a,seed=b,score=c,parameters=d")
    assert [run.parameters for run in read_runs(path, named, "higher").runs] == [10, 10]


def test_a_name_that_says_percent_or_not_decides_the_unit(tmp_path: Path) -> None:
    def unit(name: str, *values: float) -> str:
        rows = "".join(f"base,{i},{value}\n" for i, value in enumerate(values))
        return read(tmp_path, f"model,seed,{name}\n{rows}").unit

    assert [unit("acc", 0.5, 1.0), unit("acc", 50, 1.0), unit("acc", -1, 50), unit("acc", 101, 2)] == ["%", "%", "", ""]
    assert [unit("eval/loss", 0.5, 0.7), unit("BLEU", 30, 31), unit("accLoss", 0.5, 0.4)] == ["", "", ""]
    assert any("taken for percents, 0.9 " in note for note in read(tmp_path, "model,seed,acc\na,0,97\na,1,0.9\n").notes)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            LONG + "base,1,0.7,1000\n",
            None,
            "line 6: 'base' with seed 1 is there twice, first in FILE, line 3; accepted",
        ),
        (LONG + "base,2,,1000\n", None, "line 6: 'accuracy': is empty; a run without its score cannot be compared"),
        (LONG + "base,2,nan,1000\n", None, "line 6: 'accuracy': is nan; a run whose score is no finite number"),
        (LONG + "base,2,-inf,1000\n", None, "line 6: 'accuracy': is -inf; a run whose score is no finite number"),
        (LONG + "base,2,good,1000\n", None, "line 6: 'accuracy': expected a number, not 'good'"),
        (
            LONG + 'base,2,"0,9",1000\n',
            None,
            "line 6: 'accuracy': expected a number, not '0,9'; accepted: a decimal po",
        ),
        (LONG + "base,2,0,9,1000\n", None, "line 6: has 5 fields, the header 4; numbers take a decimal point"),
        (LONG + "base,2,90%,1000\n", None, "line 6: 'accuracy': expected a number, not '90%'; accepted: percents with"),
        (LONG + "base,2,0x1,1000\n", None, "line 6: 'accuracy': expected a number, not '0x1'"),
        (LONG + "base,2,1_0,1000\n", None, "line 6: 'accuracy': expected a number, not '1_0'"),
        (LONG + ",2,0.9,1000\n", None, "line 6: 'model' is empty; accepted: the name of the variant"),
        (LONG + "base,,0.9,1000\n", None, "line 6: 'seed' is empty; accepted: the seed, which pairs runs"),
        (LONG + "base,2,0.9,12M\n", None, "line 6: 'n_params': expected a whole number above 0, not '12M'; --columns"),
        (LONG + "base,2,0.9,999\n", None, "line 6: 'base' has 999 parameters, and 1,000 in FILE, line 2; accepted"),
        (LONG.replace(",", ";"), None, "line 1: fields are separated by ';'; accepted: commas, as the suffix says"),
        ("", None, ": is empty; accepted: a header, and a row a run"),
        ("model,seed,acc\n", None, ": holds no run; accepted: a row a run"),
        ("model,seed,seed\na,0,1\n", None, "line 1: column 'seed' is there twice"),
        (LONG.encode("utf-16"), None, "line 1: is not UTF-8; it looks like UTF-16; accepted: UTF-8"),
        (LONG.encode() + "größe,0,1,1\n".encode("latin-1"), None, "line 6: is not UTF-8; accepted: UTF-8"),
        (
            LONG,
            "variant=modle",
            "--columns variant (FILE): unknown column 'modle'; did you mean 'model'?; accepted: ac",
        ),
        (LONG, "score=acuracy", "--columns score (FILE): unknown column 'acuracy'; did you mean 'accuracy'?; accepted"),
        ("model,seed,acc,loss\na,0,1,2\n", None, ": several columns may say the score: acc, loss; accepted: --columns"),
        (
            "model,seed,speed\na,0,1\n",
            None,
            ": no column says the score; accepted: --columns score=NAME, with one of th",
        ),
        ("name,seed,acc\na,0,1\n", None, ": no column says the variant; accepted: --columns variant=NAME, with one of"),
        ("model,acc\na,1\n", None, ": no column says the seed; accepted: --columns seed=NAME"),
        (
            "model,method,seed,acc\na,b,0,1\nc,d,0,1\n",
            None,
            ": several columns may say the variant: model, method; acc",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_row_and_nothing_is_written(
    text: str | bytes, columns: str | None, message: str, tmp_path: Path, minform: Command
) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    asked = [] if columns is None else ["--columns", columns]
    refusal = minform("compare", "--table", str(path), *asked, "--out", str(tmp_path / "out")).refusal
    assert message.replace("FILE", str(path)) in refusal
    assert "\n" not in refusal and str(path) in refusal
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "nowhere.csv"], "--table nowhere.csv: is neither a file nor a folder"),
        (["--table", "."], "--table .: is no folder that is known; accepted: mlflow's mlruns, TensorBoard's"),
        (["--table", "x.csv", "--columns", "variant"], "--columns 'variant': expected ROLE=COLUMN"),
        (["--table", "x.csv", "--columns", "varaint=a"], "--columns: unknown role 'varaint'; did you mean 'variant'?"),
        (["--table", "x.csv", "--columns", "seed=a,seed=b"], "--columns seed: named twice"),
        (["--table", "x.csv", "--seeds", "3"], "--table: reads what is there, and --seeds has no use beside it"),
        (["--table", "x.csv", "--from", "y"], "--table: reads what is there, and --from has no use beside it"),
        (["--columns", "seed=a"], "--columns: has no meaning without --table"),
        (["--lower-is-better"], "--higher-is-better, --lower-is-better: has no meaning without --table"),
        (["--margin", "101"], "--margin: expected 0 to 100 points, not 101"),
    ],
)
def test_a_wrong_command_line_gets_one_line(
    arguments: list[str], message: str, minform: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert minform("compare", *arguments).refusal.startswith(message)


def test_a_file_of_json_lines_that_is_none_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.jsonl, line 2: is no JSON: "):
        read(tmp_path, '{"model": "a", "seed": 0, "acc": 1}\n{"model": \n', name="x.jsonl")
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: expected a JSON object"):
        read(tmp_path, "[1]\n", name="x.jsonl")


def test_variant_and_seed_are_read_off_names_of_runs_only_where_every_one_says_both(tmp_path: Path) -> None:
    header = "Name,State,Notes,User,Tags,Created,Runtime,Sweep,val_acc\n"
    rows = "".join(f'"{name}","finished","-","me","","2026-01-01","9","",{0.9 - i / 100}\n' for i, name in enumerate(
        ("vit-16-seed0", "vit-16-seed1", "vit-16-small_seed-0", "vit-16-small/run_1")
    ))  # fmt: skip
    crashed = '"vit-16-seed2","crashed","-","me","","2026-01-01","1","",\n'
    table = read(tmp_path, header + rows + crashed)
    assert list(scores(table)) == [("vit-16", "0"), ("vit-16", "1"), ("vit-16-small", "0"), ("vit-16-small", "1")]
    assert table.shape == "wandb's table of runs"
    assert "1 run left out: not finished (State)" in table.notes
    with pytest.raises(InputError, match="no column says the variant"):
        read(tmp_path, header + rows.replace("vit-16-seed0", "vit-16"))
