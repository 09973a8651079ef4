"""``minform schema``: what YAML files may say, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def _complete_kind(incomplete: str) -> list[str]:
    from minform_cli.study.json_schema import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def schema(
    kind: Annotated[
        str, typer.Argument(help="preset, variant or study.", autocompletion=_complete_kind, show_default=True)
    ] = "preset",
) -> None:
    """Print the JSON Schema of presets, variants or study files, for editors.

    A file names it in its first line: # yaml-language-server: $schema=preset.json
    """
    from minform_cli import api

    print(json.dumps(api.schema(kind), indent=2))
