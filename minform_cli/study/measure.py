"""What the finished runs of a study do on their validation split: accuracy by class, attention on one example.

All runs of a study share one data set, so it is read once for all of them.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minform_cli.config.schema import RunConfig
from minform_cli.data.batches import make_batches
from minform_cli.data.images.files import ImageFiles
from minform_cli.data.images.pixels import ImageData, ImageSplit
from minform_cli.data.source import Source
from minform_cli.models.stack import ImageEncoder
from minform_cli.report.records import ExampleRecord, MeasuredRecord
from minform_cli.runs.folder import check_data
from minform_cli.runs.measured import data_for
from minform_cli.runs.stored import read_run
from minform_cli.study.attention_maps import attention_record
from minform_cli.tasks import TASKS
from minform_cli.training.evaluate import confusion_matrix, score
from minform_cli.training.interrupt import StopRequest
from minform_cli.training.precision import computing
from minform_cli.training.runtime import runtime
from minform_cli.training.team import Team

EXAMPLE = 0
"""Place in the validation split of the image that attention is shown on: the first, so that nobody picked it."""


class StudyData:
    """The data of a study, as its first run asks for them.

    Args:
        first: folder of any of its runs.
        source: where somebody has opened them.

    Raises:
        InputError: the run or the data cannot be read.
    """

    def __init__(self, first: Path, source: Source | None = None) -> None:
        data = data_for(read_run(first), source=source).data
        assert isinstance(data, ImageData), "classes and attention are shown of images alone"
        self._data = data

    @property
    def class_names(self) -> list[str]:
        """One per class, in the order of the labels."""
        return list(self._data.spec.class_names)

    def example(self) -> ExampleRecord:
        """The image that attention is shown on, as it is before normalisation."""
        label = int(self._data.val.labels[EXAMPLE])
        return ExampleRecord(index=EXAMPLE, label=label, png=png_of(self._data.val, EXAMPLE))

    def measure(self, run: Path, *, attention: bool, device: str) -> MeasuredRecord:
        """What the last weights of a finished run do on the validation split.

        Args:
            run: its folder.
            attention: whether to read off how it attends over the example, too.
            device: as `choose_device` takes it.

        Raises:
            InputError: the run is damaged, or was made with other data than those of the study.
            Interrupted: a signal came.
        """
        stored = read_run(run)
        check_data(stored.folder, stored.meta, self._data.fingerprint)
        config, spec = stored.config, self._data.spec
        with StopRequest("the runs are finished; draw the report again") as stop, runtime(device, None) as used:
            model = stored.model(stored.spec or spec, used.device)
            assert isinstance(model, ImageEncoder), "classes and attention are shown of images alone"
            batches = make_batches(self._data, config, used.device)
            with computing(config.train, used.device):  # as the run measured itself
                scores = score(model, TASKS.get(config.task), spec, batches.evaluation("val"), Team(stop))
            seen = attention_record(model, self._normalised(config, used.device)) if attention else None
        confusion = confusion_matrix(scores.labels, scores.predictions, spec.num_classes)
        return MeasuredRecord(
            per_class_accuracy=[row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)],
            attention=seen,
        )

    def _normalised(self, config: RunConfig, device: torch.device) -> torch.Tensor:
        """The example as the run's model takes it, (1, C, H, W)."""
        only = ImageSplit(_pixels(self._data.val, EXAMPLE)[None], self._data.val.labels[EXAMPLE : EXAMPLE + 1])
        data = ImageData(self._data.spec, only, only, None, self._data.mean, self._data.std, self._data.fingerprint)
        normalised = next(make_batches(data, config, device).evaluation("val")).inputs[0]
        assert normalised is not None, "images are not left out"
        return normalised


def png_of(split: ImageSplit, index: int) -> str:
    """One image as a PNG in base64, as it is before normalisation."""
    pixels = _pixels(split, index)
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    png = io.BytesIO()
    image.save(png, "PNG")
    return base64.b64encode(png.getvalue()).decode()


def _pixels(split: ImageSplit, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(C, H, W) pixels of one image, read from its file where the images are not in memory."""
    images = split.images[np.array([index])]
    return (images.read_all() if isinstance(images, ImageFiles) else images)[0]
