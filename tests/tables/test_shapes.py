"""What other tools leave is recognised by its own shape, and holds the runs that were put there."""

from __future__ import annotations

import json
import random
import sqlite3
import struct
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from minform_cli.errors import InputError
from minform_cli.tables.records import RunTable
from minform_cli.tables.runs import read_runs
from minform_cli.tables.wandb_folder import records

RUNS = [
    (variant, seed, 0.9 - 0.02 * i - 0.001 * seed) for i, variant in enumerate(("base", "small")) for seed in (0, 1)
]
SIZES = {"base": 1000, "small": 300}


def holds_the_runs(table: RunTable, *, sized: bool = True, digits: int = 12) -> bool:
    found = {(run.variant, run.seed): (round(run.score, digits), run.parameters) for run in table.runs}
    return found == {
        (variant, str(seed)): (round(score, digits), SIZES[variant] if sized else None) for variant, seed, score in RUNS
    }


def mlflow_run(folder: Path, name: str, status: int, told: dict[str, str]) -> None:
    """A run as mlflow's file store writes it."""
    (folder / "params").mkdir(parents=True)
    (folder / "metrics").mkdir()
    (folder / "meta.yaml").write_text(
        f"artifact_uri: x\nlifecycle_stage: active\nrun_id: {folder.name}\nrun_name: {name}\n"
        f"status: {status}\ntags: []\n"
    )
    for key, value in told.items():
        (folder / "params" / key).write_text(value)


def test_a_folder_of_mlflow(tmp_path: Path) -> None:
    for i, (variant, seed, score) in enumerate(RUNS):
        run = tmp_path / "mlruns" / "123" / f"run{i}"
        mlflow_run(run, f"r{i}", 3, {"variant": variant, "seed": str(seed), "n_params": str(SIZES[variant])})
        (run / "metrics" / "val_acc").write_text(f"1000 0.1 0\n1002 {score} 2\n1001 0.2 1\n")
    mlflow_run(tmp_path / "mlruns" / "123" / "failed", "f", 4, {"variant": "base", "seed": "2"})
    (tmp_path / "mlruns" / "123" / "meta.yaml").write_text("experiment_id: '123'\nname: e\n")
    table = read_runs(tmp_path / "mlruns", {})
    assert holds_the_runs(table)
    assert (table.score, table.unit) == ("val_acc", "%")
    assert "1 run left out: not finished (status)" in table.notes


def test_mlflows_table_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [
        f"r{i},1,FINISHED,{score},{seed},{variant},{SIZES[variant]},n{i}"
        for i, (variant, seed, score) in enumerate(RUNS)
    ]
    header = "run_id,experiment_id,status,metrics.acc,params.seed,params.model,params.n_params,tags.mlflow.runName"
    path.write_text("\n".join([header, *rows, "r9,1,FAILED,,0,base,,n9"]) + "\n")
    table = read_runs(path, {})
    assert holds_the_runs(table) and table.shape == "mlflow's table of runs"


def test_a_project_of_trackio(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE metrics (id INTEGER, run_id TEXT, run_name TEXT, step INTEGER, metrics TEXT)")
        connection.execute("CREATE TABLE configs (id INTEGER, run_id TEXT, run_name TEXT, config TEXT)")
        for i, (variant, seed, score) in enumerate(RUNS):
            config = {"variant": variant, "seed": seed, "n_params": SIZES[variant], "_Username": "me"}
            name = f"run {i}"
            connection.execute("INSERT INTO configs VALUES (?, ?, ?, ?)", (i, str(i), name, json.dumps(config)))
            for step, value in ((1, score), (0, 0.1)):
                told = json.dumps({"val_acc": value})
                connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", (i, str(i), name, step, told))
        connection.commit()
    before = path.read_bytes()
    assert holds_the_runs(read_runs(path, {}))
    assert path.read_bytes() == before


def made_trackio(path: Path, same_name: bool = False) -> None:
    """As trackio 0.43 leaves it: writes are logged beside it, and the log is taken away when its last writer closes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE metrics (id INTEGER, run_id TEXT, run_name TEXT, step INTEGER, metrics TEXT)")
        connection.execute("CREATE TABLE configs (id INTEGER, run_id TEXT, run_name TEXT, config TEXT)")
        for i, (variant, seed, score) in enumerate(RUNS):
            name = "again" if same_name else f"run {i}"
            config = json.dumps({"variant": variant, "seed": seed, "n_params": SIZES[variant]})
            connection.execute("INSERT INTO configs VALUES (?, ?, ?, ?)", (i, f"r{i}", name, config))
            told = json.dumps({"val_acc": score})
            connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", (i, f"r{i}", name, 0, told))
        connection.commit()


def test_runs_of_one_name_are_told_apart_by_their_id(tmp_path: Path) -> None:
    made_trackio(tmp_path / "p.db", same_name=True)
    assert holds_the_runs(read_runs(tmp_path / "p.db", {}))


def test_a_file_with_a_log_of_writes_is_read_with_nothing_left_beside_it(tmp_path: Path) -> None:
    made_trackio(tmp_path / "p.db")
    assert holds_the_runs(read_runs(tmp_path, {}))  # by its folder
    assert [path.name for path in tmp_path.iterdir()] == ["p.db"]
    with closing(sqlite3.connect(tmp_path / "p.db")) as writer:  # what it has logged is read too
        writer.execute("DELETE FROM metrics WHERE id = 0")
        writer.commit()
        assert len(read_runs(tmp_path / "p.db", {}).runs) == len(RUNS) - 1


def test_the_folder_around_what_is_known_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine" / "runs").mkdir(parents=True)
    made_trackio(tmp_path / "mine" / "runs" / "p.db")
    with pytest.raises(InputError, match=r"is no folder that is known; did you mean '.*runs'\?; accepted: mlflow"):
        read_runs(tmp_path / "mine", {})


def test_several_projects_of_trackio_are_not_mixed(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        made_trackio(tmp_path / name)
    with pytest.raises(InputError, match=r"holds 2 projects of trackio; accepted: one of .*a\.db, .*b\.db"):
        read_runs(tmp_path, {})


@pytest.mark.parametrize("form", ["folder", "beside", "csv"])
def test_what_trackio_exports_is_a_run_by_its_last_steps(form: str, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    steps = [
        {"id": 9 * i - step, "run_id": f"r{i}", "timestamp": "2026-01-01", "run_name": "again", "step": step}
        | {"val_acc": score if step else 0.1, "speed": None if step else 3.0}
        for i, (_, _, score) in enumerate(RUNS)
        for step in (1, 0)
    ]
    configs = [
        {"id": i, "run_id": f"r{i}", "run_name": "again", "created_at": "2026-01-01", "_Username": "me"}
        | {"variant": variant, "seed": seed, "n_params": SIZES[variant]}
        for i, (variant, seed, _) in enumerate(RUNS)
    ]
    if form == "csv":
        rows = [{**step, **configs[i // 2], "id": step["id"]} for i, step in enumerate(steps)]
        lines = [",".join("" if row[key] is None else str(row[key]) for key in rows[0]) for row in rows]
        (tmp_path / "metrics.csv").write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
        asked = {"variant": "variant", "seed": "seed", "parameters": "n_params"}
        assert holds_the_runs(read_runs(tmp_path / "metrics.csv", asked))
        return
    names = ("metrics.parquet", "aux/configs.parquet") if form == "folder" else ("p.parquet", "p_configs.parquet")
    (tmp_path / "aux").mkdir()
    for name, told in zip(names, (steps, configs), strict=True):
        parquet.write_table(pyarrow.Table.from_pylist(told), tmp_path / name)
    assert holds_the_runs(read_runs(tmp_path if form == "folder" else tmp_path / "p.parquet", {}))


@pytest.mark.parametrize("kind", ["sqlite", "journal", "csv"])
def test_a_study_of_optuna(kind: str, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = tmp_path / ("study.log" if kind == "journal" else "study.db")
    backend = optuna.storages.journal
    storage = (
        f"sqlite:///{path}"
        if kind != "journal"
        else optuna.storages.JournalStorage(backend.JournalFileBackend(str(path)))
    )
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    known = {(variant, seed): score for variant, seed, score in RUNS}

    def objective(trial: optuna.Trial) -> float:
        variant = trial.suggest_categorical("variant", ["base", "small"])
        seed = trial.suggest_int("seed", 0, 5)
        trial.set_user_attr("n_params", SIZES[variant])
        if (variant, seed) not in known:
            raise optuna.TrialPruned
        return known[variant, seed]

    for variant, seed in [*known, ("base", 5)]:
        study.enqueue_trial({"variant": variant, "seed": seed})
    study.optimize(objective, n_trials=5)
    if kind == "csv":
        path = tmp_path / "trials.csv"
        header = "number,value,params_seed,params_variant,user_attrs_n_params,system_attrs_fixed_params,state"
        lines = [
            f"{t.number},{'' if t.value is None else t.value},{t.params['seed']},{t.params['variant']},"
            f"{t.user_attrs['n_params']},{{}},{t.state.name}"
            for t in study.trials
        ]
        path.write_text("\n".join([header, *lines]) + "\n")
    before = path.read_bytes()
    table = read_runs(path, {}, "higher" if kind == "csv" else None)
    assert holds_the_runs(table)
    assert (table.score, table.unit, table.better) == ("value", "", "higher")
    assert any("left out" in note for note in table.notes)
    assert path.read_bytes() == before


def test_a_folder_of_tensorboard(tmp_path: Path) -> None:
    summary = pytest.importorskip("torch.utils.tensorboard")
    for variant, seed, score in RUNS:
        writer = summary.SummaryWriter(str(tmp_path / variant / f"seed-{seed}"))
        for step, value in enumerate((0.1, 0.2, score)):
            writer.add_scalar("val/acc", value, step)
            writer.add_scalar("lr", 0.1, step)
        writer.close()
    assert holds_the_runs(read_runs(tmp_path, {}), sized=False, digits=6)  # float32 in the files


def test_a_folder_of_trainer_states_takes_the_last_checkpoint_of_each_run(tmp_path: Path) -> None:
    for variant, seed, score in RUNS:
        for step, value in ((500, 0.1), (1000, score)):
            folder = tmp_path / f"{variant}-seed{seed}" / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            log = [
                {"loss": 1.0, "step": step},
                {"eval_accuracy": value, "eval_runtime": 1.5, "epoch": 1.0, "step": step},
            ]
            (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": log}))
    table = read_runs(tmp_path, {})
    assert holds_the_runs(table, sized=False) and table.score == "eval_accuracy"
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 2000, "log_history": []}))
    with pytest.raises(InputError, match="nothing was evaluated in this run"):
        read_runs(tmp_path, {})


def test_a_folder_of_lm_evaluation_harness(tmp_path: Path) -> None:
    for variant, seed, score in RUNS:
        told = {
            "results": {
                "arc": {"alias": "arc", "acc,none": score, "acc_stderr,none": 0.01},
                "gsm8k": {"exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.01},
            },
            "config": {"model": "hf", "model_args": f"pretrained={variant}", "random_seed": seed},
            "model_name": variant,
        }
        folder = tmp_path / variant
        folder.mkdir(exist_ok=True)
        (folder / f"results_{seed}.json").write_text(json.dumps(told))
    assert holds_the_runs(read_runs(tmp_path, {"score": "arc/acc"}), sized=False)
    with pytest.raises(InputError, match=r"several columns may say the score: arc/acc, gsm8k/exact_match/strict-match"):
        read_runs(tmp_path, {})


def test_a_parquet_file_and_what_to_install_where_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"model": v, "seed": s, "acc": score, "params": SIZES[v]} for v, s, score in RUNS]
    path = tmp_path / "runs.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), str(path))
    assert holds_the_runs(read_runs(path, {}))
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(InputError, match=r"runs\.parquet is no Parquet file: "):
        read_runs(path, {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"needs pyarrow, which is not installed; try: pip install 'minform\[tables\]'"
    ):
        read_runs(path, {})


def wandb_record(raw: bytes) -> bytes:
    """A record as wandb's files hold it, behind the seven bytes that they begin with."""
    return struct.pack("<IHB", zlib.crc32(raw, zlib.crc32(b"\x01")), len(raw), 1) + raw


def test_a_folder_of_wandb(tmp_path: Path) -> None:
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="needs wandb: pip install 'minform[wandb]'")
    for i, (variant, seed, score) in enumerate([*RUNS, ("base", 2, 0.1)]):
        config = {"variant": variant, "seed": seed, "n_params": SIZES[variant], "_wandb": {}}
        run = messages.Record(run=messages.RunRecord(run_id=f"r{i}", display_name=f"n{i}"))
        for key, value in config.items():
            run.run.config.update.add(key=key, value_json=json.dumps(value))
        summary = messages.Record(summary=messages.SummaryRecord())
        summary.summary.update.add(nested_key=["val_acc"], value_json=str(score))
        summary.summary.update.add(key="_step", value_json="3")
        end = messages.Record(exit=messages.RunExitRecord(exit_code=int(seed == 2)))
        parts = [[run, summary, end]] if i else [[run], [summary, end]]  # the first one was resumed
        for number, part in enumerate(parts):
            folder = tmp_path / "wandb" / f"offline-run-2026010{number + 1}_000000-r{i}"
            folder.mkdir(parents=True)
            told = b"".join(wandb_record(record.SerializeToString()) for record in part)
            (folder / f"run-r{i}.wandb").write_bytes(b":W&B\xe1\xbe\x00" + told)
    table = read_runs(tmp_path / "wandb", {})
    assert holds_the_runs(table)
    assert (table.score, table.unit, table.shape) == ("val_acc", "%", "a folder of wandb")
    assert any(note.startswith("1 run left out: not finished") for note in table.notes)


def test_a_damaged_file_of_wandb_is_read_to_the_damage(tmp_path: Path) -> None:
    messages = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="needs wandb: pip install 'minform[wandb]'")
    good = wandb_record(messages.Record(exit=messages.RunExitRecord(exit_code=0)).SerializeToString())
    file = tmp_path / "run-x.wandb"
    rng = random.Random(0)
    for _ in range(300):
        told = bytearray(b":W&B\xe1\xbe\x00" + 3 * good + wandb_record(rng.randbytes(9)))
        for _ in range(rng.randrange(3)):
            told[rng.randrange(len(told))] = rng.randrange(256)
        file.write_bytes(told[: rng.randrange(len(told) + 1)])
        assert len(list(records(file))) <= 4


def test_a_store_of_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        connection.execute("CREATE TABLE runs (run_uuid, name, status, lifecycle_stage, start_time INTEGER)")
        connection.execute("CREATE TABLE params (run_uuid, key, value)")
        connection.execute("CREATE TABLE latest_metrics (run_uuid, key, value, is_nan)")
        others = [("p", "FINISHED", "active"), ("f", "FAILED", "active"), ("d", "FINISHED", "deleted")]
        for i, (id, status, stage) in enumerate([*((f"r{i}", "FINISHED", "active") for i in range(4)), *others]):
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", (id, id, status, stage, i))
        for i, (variant, seed, score) in enumerate(RUNS):
            for key, value in {"variant": variant, "seed": seed, "n_params": SIZES[variant]}.items():
                connection.execute("INSERT INTO params VALUES (?, ?, ?)", (f"r{i}", key, str(value)))
            connection.execute("INSERT INTO latest_metrics VALUES (?, 'val_acc', ?, 0)", (f"r{i}", score))
            connection.execute("INSERT INTO latest_metrics VALUES (?, 'speed', 0, 1)", (f"r{i}",))
        connection.commit()
    table = read_runs(path, {})
    assert holds_the_runs(table)
    assert table.shape == "a store of mlflow"
    assert [note for note in table.notes if "left out" in note] == [
        "1 run left out: not finished (status)",
        "1 run left out: without a metric, as parents of others are",
    ]
