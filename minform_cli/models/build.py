"""The only constructor of models that other packages call."""

from __future__ import annotations

from minform_cli.config.schema import RunConfig
from minform_cli.data.spec import DataSpec
from minform_cli.models.parts.base import has_bias
from minform_cli.models.parts.patches import PatchEmbedding
from minform_cli.models.stack import ImageEncoder
from minform_cli.tasks import TASKS


def build_model(config: RunConfig, spec: DataSpec) -> ImageEncoder:
    """The config's model for examples of the given shape.

    Built on the default device (use ``with torch.device(...)``) from torch's global random state, in float32.

    Raises:
        InputError: the task is unknown.
    """
    model = config.model
    task = TASKS.get(config.task, "task")
    embedding = PatchEmbedding(model, spec.channels, spec.height, spec.width)
    return ImageEncoder(model, embedding, task.head(model.dim, spec, has_bias(model)))
