"""Python in a process of its own, in which our package cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import HANGS_S

ROOT = Path(__file__).parents[2]
_BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"no {{name}} here", name=name)
sys.meta_path.insert(0, Blocked())
"""


def fresh(code: str, folder: Path, *blocked: str, **environment: str) -> str:
    """What `code` prints, run in `folder`, where the packages `blocked` cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", _BLOCK.format(names=set(blocked)) + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)} | environment,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shapes(
    root: Path, *names: str, blocked: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> dict[str, list[int]]:
    """Shapes of the `outputs` that the Python of each model card in the folders `names` gives, run there."""
    snippets = {name: snippet(root / name) for name in names}
    code = f"""
import json, os
found = {{}}
for name, code in {snippets}.items():
    os.chdir(os.path.join({str(root)!r}, name))
    scope = {{}}
    exec(code, scope)
    found[name] = list(scope["outputs"].shape)
print(json.dumps(found))
"""
    return json.loads(fresh(code, root, *blocked, **(environment or {})).splitlines()[-1])


def snippet(folder: Path) -> str:
    """The Python that the model card in `folder` shows."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return card.partition("```python\n")[2].partition("```")[0]
