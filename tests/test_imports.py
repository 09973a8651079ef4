"""What may be imported when: no torch before a command body needs it, and layers that import only those below."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import minform_cli
from minform_cli.config.names import preset_names
from tests.waiting import HANGS_S

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "PIL", "safetensors")
LIGHT = (
    "errors",
    "registry",
    "files",
    "runs.records",
    "runs.progress",
    "runs.listing",
    "runs.removal",
    "foreign.records",
    "reducing.records",
    "exporting.records",
    "config",
    "tables",
    "data.spec",
    "data.sets",
    "report",
    "cli",
    "api",
    "study.plan",
    "study.listing",
    "study.json_schema",
    "tasks",
    "counting",
)
"""Modules and packages that must be importable without any of `HEAVY`."""
NEEDING_TORCH = ("minform_cli.tasks.", "minform_cli.foreign.")
"""What lies in them and is not: a task itself, and models of other libraries."""

REFUSALS = [
    ["cuont"],
    ["--hepl"],
    ["count", "--presett", "x"],
    ["count", "--preset", "mnits"],
    ["count", "--variant", "simmetric"],
    ["count", "--variant", "symmetric+collapsed-qk"],
    ["count", "--variant", "key-value+collapsed-qk"],
    ["count", "--set", "model.dm=3"],
    ["count", "--set", "model.heads=3"],
    ["count", "--set", "model.patch_size=3"],
    ["count", "--set", "model.norm=per"],
    ["count", "--set", "model.norm=["],
    ["count", "--preset", "nowhere.yaml"],
    ["count", "--format", "jsn"],
    ["train", "--preset", "mnits"],
    ["train", "--set", "model.value=stack-collapsed"],
    ["train", "--set", "data.name=mnst"],
    ["train", "--set", "data.limit=5"],
    ["train", "--device", "gpu"],
    ["train", "--dry-run", "--device", "gpu"],
    ["train", "--seed", "-1"],
    ["compare", "--seeds", "x"],
    ["compare", "--variant", "minimal", "--variant", "minimal"],
    ["compare", "--variant", "no-mlp", "--set", "train.epochs=0"],
    ["compare", "--plot", "x.bmp"],
    ["eval", "nowhere"],
    ["eval"],
    ["eval", "nowhere", "--split", "tset"],
    ["export", "nowhere"],
    ["export", "nowhere", "--out", "x"],
    ["export", "nowhere", "--out", "x", "--format", "onx"],
    ["export", "nowhere", "--out", "x", "--checkpoint", "bset"],
    ["export", "nowhere", "--out", "x", "--table", "xml"],
    ["reduce", "nowhere", "--out", "x"],
    ["reduce", "nowhere", "--out", "x", "--exact", "--budget", "50%"],
    ["reduce", "nowhere", "--out", "x", "--variant", "simmetric"],
    ["reduce", "nowhere", "--out", "x", "--exact"],
    ["reduce", "nowhere", "--out", "x", "--budget", "50%", "--examples", "0"],
    ["reduce", "nowhere", "--out", "x", "--exact", "--format", "xml"],
    ["variants", "--format", "xml"],
    ["variants", "--format", "csv", "--json"],
    ["runs", "nowhere"],
    ["runs", "--prune"],
    ["runs", "--yes"],
    ["power", "--difference", "0.5"],
    ["compare", "--table", "nowhere.csv"],
    ["compare", "--columns", "seed=a"],
    ["power", "--difference", "0.5", "--std", "-1"],
    ["schema", "presett"],
]


def fresh(code: str, **changes: str) -> str:
    """What `code` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | changes,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def light_modules() -> list[str]:
    """Every module of `LIGHT`, found in the package."""
    found = ["minform_cli"]
    for name in LIGHT:
        module = importlib.import_module(f"minform_cli.{name}")
        found.append(module.__name__)
        if hasattr(module, "__path__"):
            subs = [info.name for info in pkgutil.walk_packages(module.__path__, f"{module.__name__}.")]
            found += [sub for sub in subs if not sub.startswith(NEEDING_TORCH)]
    return found


def test_what_is_needed_before_a_command_body_imports_nothing_heavy() -> None:
    modules = light_modules()
    assert len(modules) > 50
    code = "import importlib, json, sys\nfound = {}\n"
    code += f"for name in {modules}:\n    importlib.import_module(name)\n"
    code += f"    for heavy in {HEAVY}:\n        if heavy in sys.modules: found.setdefault(heavy, name)\n"
    assert json.loads(fresh(code + "print(json.dumps(found))")) == {}


def test_help_versions_lists_and_every_refusal_import_nothing_heavy() -> None:
    done = [["--version"], ["--help"], ["variants"], ["presets"], ["datasets"], ["runs", "tests"], ["schema"], []]
    done += [
        [command, "-h"]
        for command in (
            "count",
            "train",
            "eval",
            "reduce",
            "export",
            "compare",
            "runs",
            "power",
            "schema",
            "doctor",
            "variants",
            "presets",
            "datasets",
        )
    ]
    code = f"""
import contextlib, io, json, sys
from minform_cli.cli import main
found = []
for arguments in {done + REFUSALS}:
    sys.argv = ["minform", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
    found.append([arguments, code, err.getvalue(), [name for name in {HEAVY} if name in sys.modules]])
print(json.dumps(found))
"""
    for arguments, code_, err, heavy in json.loads(fresh(code)):
        assert heavy == [], arguments
        if arguments in REFUSALS:
            assert code_ == 2, (arguments, err)
            assert err.startswith("minform: ")
            assert err.count("\n") == 1


def test_completion_imports_nothing_heavy() -> None:
    code = f"""
import sys
from minform_cli.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    asked = {
        "_MINFORM_COMPLETE": "complete_bash",
        "COMP_WORDS": "minform count --variant no-mlp+sym",
        "COMP_CWORD": "3",
    }
    completed, heavy = fresh(code, **asked).rsplit("\n", 2)[:2]
    assert "no-mlp+symmetric" in completed.splitlines()
    assert heavy == "[]"


def test_counting_presets_and_variants_imports_nothing_heavy(tmp_path: Path) -> None:
    counts = [["count", "--preset", preset, "--variant", "baseline"] for preset in preset_names()]
    counts += [["count"], ["count", "--by", "layer"], ["count", "--budget", "20%"], ["count", "--preset", "multi30k"]]
    drawn = ["count", "--variant", "minimal", "--plot", str(tmp_path / "groups.svg")]
    code = f"""
import contextlib, io, json, sys
from minform_cli.cli import main
found = []
for arguments in {[*counts, drawn]}:
    sys.argv = ["minform", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
    heavy = ("torch", "torchvision") if "--plot" in arguments else {HEAVY}
    found.append([arguments, code, [name for name in heavy if name in sys.modules]])
print(json.dumps(found))
"""
    for arguments, code_, heavy in json.loads(fresh(code)):
        assert (code_, heavy) == (0, []), arguments


def test_the_api_is_imported_when_it_is_used() -> None:
    code = "import sys, minform_cli\nbefore = 'minform_cli.api' in sys.modules\nminform_cli.count\n"
    assert (
        fresh(code + "print(before, 'minform_cli.api' in sys.modules, 'torch' in sys.modules)") == "False True False\n"
    )
    assert not hasattr(minform_cli, "nonsense")


def test_layers_import_only_those_below_them() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(command), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
