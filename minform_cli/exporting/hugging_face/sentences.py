"""What sentence-transformers asks of a folder whose model makes vectors: which modules, and how tokens are pooled.

A pooler of its own it does not know; there ``pooler_output`` of transformers is the vector.
"""

from __future__ import annotations

from pathlib import Path

from minform_cli.exporting.hugging_face.standard import as_standard
from minform_cli.exporting.source import Exported
from minform_cli.files import write_json
from minform_cli.models.parts.readout import FirstToken, MeanOfTokens

_POOLING = "1_Pooling"
_MODES = {FirstToken: "cls", MeanOfTokens: "mean"}


def write_modules(model: Exported, folder: Path) -> bool:
    """Writes them; whether there was anything to write."""
    mode = _MODES.get(type(as_standard(model).readout))  # type: ignore[arg-type]
    if mode is None or model.graph.output == "logits":
        return False
    modules = [("", "Transformer"), (_POOLING, "Pooling")]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(modules)
    ]
    write_json(folder / "modules.json", listed)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": model.text.seq_len, "do_lower_case": False})
    (folder / _POOLING).mkdir()
    pooling = {
        "word_embedding_dimension": model.config.model.dim,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    write_json(folder / _POOLING / "config.json", pooling)
    return True
