"""What runs leave behind: the files of a run folder, the records that tables are made of, atomic writing.

A leaf: no torch, so that tables and plots can be drawn from results alone.
"""

from minform_cli.results.costs import CostRecord, CountedRecord, LayerRecord
from minform_cli.results.exports import ExportRecord, ParityRecord
from minform_cli.results.files import (
    FORMAT,
    RunFolder,
    check_folder,
    check_format,
    read_json,
    read_result,
    sync_folder,
    write_atomic,
    write_json,
)
from minform_cli.results.imports import ImportRecord
from minform_cli.results.progress import Listener, Progress
from minform_cli.results.records import (
    GROUPS,
    AttentionRecord,
    CompareRecord,
    CountRecord,
    EvaluationRecord,
    ExampleRecord,
    LearningCurve,
    MeasuredRecord,
    ModelRecord,
    PlanRecord,
    ReductionRecord,
    ResultRecord,
    RunDetails,
    StudyDetails,
    Swept,
    TranslationRecord,
    grid_name,
    grid_value,
    row_label,
)
from minform_cli.results.reduced import (
    ExactRecord,
    LatencyRecord,
    MeasureRecord,
    ReducedLayerRecord,
    ReduceRecord,
    SampleRecord,
)

__all__ = [
    "FORMAT",
    "GROUPS",
    "AttentionRecord",
    "CompareRecord",
    "CostRecord",
    "CountRecord",
    "CountedRecord",
    "EvaluationRecord",
    "ExactRecord",
    "ExampleRecord",
    "ExportRecord",
    "ImportRecord",
    "LatencyRecord",
    "LayerRecord",
    "LearningCurve",
    "Listener",
    "MeasureRecord",
    "MeasuredRecord",
    "ModelRecord",
    "ParityRecord",
    "PlanRecord",
    "Progress",
    "ReduceRecord",
    "ReducedLayerRecord",
    "ReductionRecord",
    "ResultRecord",
    "RunDetails",
    "RunFolder",
    "SampleRecord",
    "StudyDetails",
    "Swept",
    "TranslationRecord",
    "check_folder",
    "check_format",
    "grid_name",
    "grid_value",
    "read_json",
    "read_result",
    "row_label",
    "sync_folder",
    "write_atomic",
    "write_json",
]
