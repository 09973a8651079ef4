"""Another library's weights as a finished run of ours."""

from __future__ import annotations

from pathlib import Path

from minform_cli.foreign.records import ImportRecord


def import_model(
    source: str,
    out: Path | str,
    *,
    weights: Path | str | None = None,
    pooling: str | None = None,
    seq_len: int | None = None,
) -> ImportRecord:
    """Makes a finished run of a model that another library trained. Nothing is downloaded, no code of a file runs.

    Args:
        source: ``hf:FOLDER`` with config.json, *.safetensors and, for text, tokenizer.json; ``timm:NAME`` or
            ``torchvision:NAME``, with `weights`; ``run:FOLDER``, a run of ours.
        out: the run folder, absent or empty.
        weights: file of a timm or torchvision model: ``.safetensors``, or ``.pth``, which is read with `weights_only`.
        pooling: `mean`, `pooler` or `class-token`: what is read of a text model without a head; None: what its files
            say.
        seq_len: tokens of the longest example; None: what its files say, else all positions.

    Returns:
        Where each number of the file is now, and how far outputs are from the library's own on random inputs.

    Raises:
        InputError, MachineError: see `minform_cli.errors`; nothing is left of `out`.
        MinformError: outputs differ from the library's own, which is a bug of ours; likewise.
    """
    from minform_cli.foreign.adapters.given import Options
    from minform_cli.foreign.importing import import_source

    return import_source(source, Path(out), Options(None if weights is None else Path(weights), pooling, seq_len))
