"""The built wheel holds all that is needed, and works outside the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minform_cli.config.names import preset_names, shipped_folder
from tests.waiting import HANGS_S
from tests.zoo import IMAGE_VARIANTS

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(folder)]
    done = subprocess.run([*command, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    """What a command of the installed copy prints; the checkout is out of its sight."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_modules_presets_templates_and_the_typed_marker_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "minform_cli").rglob("*.py")}
    shipped = [*shipped_folder().rglob("*.yaml"), *shipped_folder().rglob("*.json")]
    presets = {f"minform_cli/presets/{path.relative_to(shipped_folder())}" for path in shipped}
    found = [path for kind in ("*.j2", "*.js") for path in (ROOT / "minform_cli").rglob(kind)]
    templates = {str(path.relative_to(ROOT)) for path in found}
    assert templates and inside == modules | presets | templates | {"minform_cli/py.typed"}
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)


def test_the_installed_copy_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import minform_cli; print(minform_cli.__file__)").strip()
    assert Path(where).is_relative_to(installed)


def test_the_installed_command_counts_every_variant_of_a_shipped_preset(installed: Path, tmp_path: Path) -> None:
    out = run(installed, tmp_path, "-m", "minform_cli", "count", "--preset", "mnist", "--format", "json")
    assert [record["variant"] for record in json.loads(out)] == list(IMAGE_VARIANTS)
    assert list(tmp_path.iterdir()) == []


def test_the_installed_command_knows_every_preset_and_says_where_a_value_came_from(
    installed: Path, tmp_path: Path
) -> None:
    out = run(installed, tmp_path, "-m", "minform_cli", "presets", "--format", "json")
    assert [record["name"] for record in json.loads(out)] == list(preset_names())
    code = "from minform_cli.config.presets import resolve; print(resolve('debug').origins['model.dim'])"
    assert run(installed, tmp_path, "-c", code).startswith("presets/debug.yaml:")


def test_the_entry_point_is_the_same_command(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "minform"
    assert run(installed, tmp_path, str(script), "--version").startswith("minform ")
