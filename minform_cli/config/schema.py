"""The settings of a run: frozen, typed, unknown keys forbidden.

A key on the command line or in YAML is ``section.field``: ``data.name``, ``model.dim``, ``train.epochs``.
What a field means and its unit stand here, those of a training in `config.training`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from minform_cli.config import blocks
from minform_cli.config.axes import AXES, PartOptions, PerBlock
from minform_cli.config.axes.base import NumberOrShare, columns_of
from minform_cli.config.axes.order import Order, order_schema, parse_order
from minform_cli.config.section import Settings, is_none, is_zero
from minform_cli.config.training import DistillConfig, TrainConfig

PAIR_FILES = tuple(f"{split}{side}" for split in ("", "val_", "test_") for side in ("source", "target"))
"""Settings of a data section that name files of sentences."""

PLACES = ("path", "val_path", "test_path", *PAIR_FILES)
"""Settings of a data section that say where data lie. They are no part of what a run is: its data are, wherever they
lie, and those are known by their fingerprint."""

TOKENIZERS = ("wordpiece", "byte-bpe")
"""What `data.tokenizer` can ask to be trained; anything else is the path of a tokenizer file."""
BleuTokenizer = Literal[
    "auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "flores101", "flores200", "spBLEU-1K", "none"
]


class _Accepted:
    """What an axis takes, as JSON Schema, made when it is asked for: the options of every part take their time."""

    def __init__(self, schema: Callable[[], dict[str, Any]]) -> None:
        self._schema = schema

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> dict[str, Any]:
        return self._schema()


def _axis(name: str) -> object:
    accepted = Annotated[Any, _Accepted(AXES[name].json_schema)]
    return BeforeValidator(AXES[name].parse, json_schema_input_type=accepted)


def _no_bool(value: Any) -> Any:
    """`value`, which to a choice of numbers is 1 where it is true."""
    if isinstance(value, bool):
        raise ValueError(f"expected a whole number, not {value}; accepted: 1, 3")
    return value


_Order = Annotated[Any, _Accepted(order_schema)]


class DataConfig(Settings):
    """Which examples.

    Attributes:
        name: a registered data set (``minform datasets``).
        path: folder, archive or text file for data sets that are read from the user's own files.
        val_path, test_path: text files or folders to validate and test on, beside those of `path`.
        source, target: files of sentence pairs to train on, line n of one translates line n of the other.
        val_source, val_target, test_source, test_target: likewise to validate and to test on.
        subset: which task of a collection of several.
        limit: size of a stratified subset of the training examples; None takes all.
        validation: `holdout` keeps part of the training set for validation and reads the test set once, at the end;
            `test` validates on the test set, as the papers did (every table then says so).
        normalize: `mean-std` by the training set's own channels, or `unit-range` to [-1, 1].
        image_size: height and width in pixels that images of a folder are resized and centre-cropped to; None keeps
            their own.
        channels: 1 reads all images of a folder as grey, 3 as colour; None: grey where every file is.
        exif_orientation: whether images of a folder are turned as their EXIF data say; else their pixels stay as they
            are stored.
        max_megapixels: images of a folder that need more, at the scale they are decoded at, are refused.
        crop_padding: pixels of zero padding for random crops of training images; 0 switches them off.
        horizontal_flip: whether training images are mirrored at random.
        auto_augment: whether operations drawn for each training image change it (contrast, rotation and so on):
            `rand-augment` (two of them), `trivial-augment` (one), as torchvision has them; None: not.
        random_erasing: probability that a rectangle of a training image is set to the mean of all.
        mixup: alpha of Beta(alpha, alpha), from which a weight is drawn for a batch: each of its images is the weighted
            sum of itself and another, and so is its loss; 0 switches it off.
        cutmix: likewise, with a rectangle of each image replaced by the other's, and its share of the area for the
            weight; with `mixup`, a batch takes one of the two at equal odds.
        vocab_size: rows of the token embedding, and the most entries a tokenizer trained on the text may have.
        seq_len: tokens of the longest example, special ones included; longer text is cut there.
        tokenizer: `wordpiece` or `byte-bpe`, trained on the files of the training text, what is held out of them
            included; or a tokenizer file.
        mask_rate: share of the tokens that are hidden to be predicted.
        bleu_tokenizer: how sacrebleu cuts translations into words for BLEU; `auto` goes by the script of the training
            translations: `zh`, `ja-mecab`, `ko-mecab` or `char` where words are not set apart by spaces, else `13a`.
    """

    name: str
    path: str | None = None
    val_path: str | None = None
    test_path: str | None = None
    source: str | None = None
    target: str | None = None
    val_source: str | None = None
    val_target: str | None = None
    test_source: str | None = None
    test_target: str | None = None
    subset: str | None = None
    limit: int | None = Field(default=None, ge=1)
    validation: Literal["holdout", "test"] = "holdout"
    normalize: Literal["mean-std", "unit-range"] = "mean-std"
    image_size: int | None = Field(default=None, ge=1, le=4096)
    channels: Annotated[Literal[1, 3] | None, BeforeValidator(_no_bool)] = None
    exif_orientation: bool = False
    max_megapixels: int = Field(default=40, ge=1, le=10_000)
    crop_padding: int = Field(default=0, ge=0, le=64)
    horizontal_flip: bool = False
    auto_augment: Literal["rand-augment", "trivial-augment"] | None = Field(default=None, exclude_if=is_none)
    random_erasing: float = Field(default=0.0, ge=0, le=1, exclude_if=is_zero)
    mixup: float = Field(default=0.0, ge=0, exclude_if=is_zero)
    cutmix: float = Field(default=0.0, ge=0, exclude_if=is_zero)
    vocab_size: int = Field(default=8192, ge=8, le=2**24)
    seq_len: int = Field(default=128, ge=4, le=2**20)
    tokenizer: str = "wordpiece"
    mask_rate: float = Field(default=0.15, gt=0, lt=1)
    bleu_tokenizer: BleuTokenizer = "auto"

    def notes(self) -> tuple[str, ...]:
        """What somebody who trains on such data should know."""
        mixing = [name for name in ("mixup", "cutmix") if getattr(self, name)]
        if not mixing:
            return ()
        return (
            f"{', '.join(mixing)}: the loss weighs both classes of a mixed image; the training accuracy counts one, "
            "that of the image itself, and so stays below what the model knows",
        )


class ModelConfig(Settings):
    """Sizes of the model, and the part on each axis.

    Attributes:
        dim: width N of a token vector.
        depth: how many blocks run, one after another.
        decoder_depth: blocks of a causal decoder that attends to what the others made of another sequence; 0 for none.
        heads: attention heads H; divides `dim`, unless `head_width` is given.
        head_width: width d of one head, at most `dim`; None for `dim` / `heads`. All heads together are then H d wide,
            more or less than `dim`, which not every part of attention can be.
        patch_size: side of a square patch in pixels, where images are cut in patches; divides their height and width.
        mlp_multiple: hidden width of the MLP over `dim`.
        embedding_width: columns E that are stored of the vector of an entry of the vocabulary, widened to `dim` by one
            map; below 1 a share of `dim`; None for `dim`, and no map. An output that is tied reads as many.
        dropout: probability of a zero on attention weights, sublayer outputs and the MLP's hidden layer.
        similarity, value, mlp, linear, norm, residual, bias: the part on that axis, or a list with one for each block.
        embedding, position, mask, readout, order: the part on that axis.
    """

    dim: int = Field(default=64, ge=1, le=65536)
    depth: int = Field(default=6, ge=1, le=4096)
    decoder_depth: int = Field(default=0, ge=0, le=4096)
    heads: int = Field(default=4, ge=1, le=4096)
    head_width: int | None = Field(default=None, ge=1, le=65536, exclude_if=is_none)
    patch_size: int = Field(default=4, ge=1, le=4096)
    mlp_multiple: float = Field(default=4, gt=0, le=1024)
    embedding_width: NumberOrShare = Field(default=None, exclude_if=is_none)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    similarity: Annotated[SerializeAsAny[PartOptions], _axis("similarity")] = AXES["similarity"].parse("separate")
    value: Annotated[SerializeAsAny[PartOptions], _axis("value")] = AXES["value"].parse("separate")
    mlp: Annotated[SerializeAsAny[PartOptions], _axis("mlp")] = AXES["mlp"].parse("gelu")
    linear: Annotated[SerializeAsAny[PartOptions], _axis("linear")] = AXES["linear"].parse("dense")
    norm: Annotated[SerializeAsAny[PartOptions], _axis("norm")] = AXES["norm"].parse("pre")
    residual: Annotated[SerializeAsAny[PartOptions], _axis("residual")] = AXES["residual"].parse("on")
    bias: Annotated[SerializeAsAny[PartOptions], _axis("bias")] = AXES["bias"].parse("live")
    embedding: Annotated[SerializeAsAny[PartOptions], _axis("embedding")] = AXES["embedding"].parse("patches")
    position: Annotated[SerializeAsAny[PartOptions], _axis("position")] = AXES["position"].parse("learned")
    mask: Annotated[SerializeAsAny[PartOptions], _axis("mask")] = AXES["mask"].parse("none")
    readout: Annotated[SerializeAsAny[PartOptions], _axis("readout")] = AXES["readout"].parse("class-token")
    order: Annotated[SerializeAsAny[Order], BeforeValidator(parse_order, json_schema_input_type=_Order)] = AXES[
        "order"
    ].parse("sequential")  # type: ignore[assignment]

    @model_validator(mode="after")
    def _merge_lists(self) -> ModelConfig:
        """A list of equal parts is that part: one model has one config."""
        for axis, part in blocks.merged(self).items():
            object.__setattr__(self, axis, part)
        return self

    @model_validator(mode="after")
    def _plain_width(self) -> ModelConfig:
        """Likewise a head width that is the usual one."""
        if self.head_width is not None and self.heads * self.head_width == self.dim:
            object.__setattr__(self, "head_width", None)
        return self

    @property
    def has_lists(self) -> bool:
        """Whether blocks differ on any axis."""
        return self.order.splits or any(isinstance(part, PerBlock) or part.by_block for part in self.parts().values())

    def at(self, block: int) -> ModelConfig:
        """The model as that block sees it, with one part on every axis."""
        return blocks.at(self, block)

    @property
    def head_dim(self) -> int:
        """Width d of one head: `head_width`, or N / H."""
        return self.dim // self.heads if self.head_width is None else self.head_width

    @property
    def inner_dim(self) -> int:
        """Width H d of all heads side by side."""
        return self.dim if self.head_width is None else self.heads * self.head_width

    @property
    def has_whole_head(self) -> bool:
        """Whether one head has all columns of a token, so that products of its maps are N x N and lose nothing."""
        return self.heads == 1 and self.head_width is None

    @property
    def mlp_dim(self) -> int:
        """Hidden width of the MLP, `mlp_multiple` times `dim`, rounded to a whole number."""
        return round(self.mlp_multiple * self.dim)

    @property
    def word_dim(self) -> int:
        """Columns E that are stored of a word's vector: `embedding_width`, at least 1."""
        return self.dim if self.embedding_width is None else columns_of(self.embedding_width, self.dim)

    @property
    def block_order(self) -> tuple[int, ...]:
        """Block numbers in the order they run; as long as `depth`, unless the order has several blocks at each."""
        return self.order.blocks(self.depth)

    @property
    def num_blocks(self) -> int:
        """How many blocks of the encoder (of the whole model without a decoder) have weights of their own."""
        return len(set(self.block_order))

    @property
    def runs(self) -> int:
        """How often each block of the encoder runs, where all do as often."""
        return len(self.block_order) // self.num_blocks

    @property
    def num_decoder_blocks(self) -> int:
        """Likewise of the decoder."""
        return len(set(self.order.blocks(self.decoder_depth))) if self.decoder_depth else 0

    def parts(self) -> dict[str, PartOptions]:
        """What stands on each axis: a part, or a list of them."""
        return {axis: getattr(self, axis) for axis in AXES}


NUM_SEEDS = 2**31
"""Seeds are whole numbers from 0 on, below this one."""


class RunConfig(Settings):
    """One run: preset, variant and seed as the user named them, and every setting resolved.

    Attributes:
        preset: the preset's name or path as typed.
        variant: the variant as typed, `baseline` for none.
        task: what is predicted; a registered task.
        seed: of weights, data order, augmentation and dropout.
        init: folder of a finished run whose weights this one starts from, but for readout and head; None: from chance.
        continues: folder of a finished run all of whose weights this one starts from, readout and head included, and
            whose shapes, classes and normalisation it has, whatever its data; None: as `init` says.
        teacher: folder of a finished run whose outputs and hidden states are matched; None: the labels alone count.
        baseline: the model of the same preset and settings with no variant, which shares of parameters refer to;
            None where that is `model` itself.
    """

    preset: str
    variant: str = "baseline"
    task: str = "classify-images"
    seed: int = Field(default=0, ge=0, lt=NUM_SEEDS)
    init: str | None = None
    continues: str | None = Field(default=None, exclude_if=is_none)
    teacher: str | None = Field(default=None, exclude_if=is_none)
    data: DataConfig
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    distill: DistillConfig = Field(default=DistillConfig(), exclude_if=lambda distill: distill == DistillConfig())
    baseline: ModelConfig | None = None

    @property
    def source(self) -> str | None:
        """Folder of the run whose weights this one starts from, all of them or but for readout and head."""
        return self.continues if self.init is None else self.init

    def identity(self) -> dict[str, object]:
        """What decides the result: every setting but the names, baseline and checkpoint interval. Plain JSON.

        Of data, and of weights to start from, it does not say where they lie, nor of a tokenizer file: which they are,
        the fingerprint of the data, which covers the tokenizer, and the digest of the weights in ``run.json`` say.
        """
        names = {"preset", "variant", "baseline"}
        fields = self.model_dump(mode="json", exclude={*names, *RUNS, "distill"})
        fields["init"] = self.init is not None
        if self.teacher is not None:
            fields["distill"] = self.distill.model_dump()
        fields |= {key: True for key in RUNS if key != "init" and getattr(self, key) is not None}
        for key in PLACES:
            del fields["data"][key]
        if any(getattr(self, key) is not None for key in RUNS):
            del fields["data"]["tokenizer"]  # that of the other run, wherever its folder lies
        elif self.data.tokenizer not in TOKENIZERS:
            fields["data"]["tokenizer"] = "file"
        if self.data.bleu_tokenizer == "auto":  # nothing is translated, or nothing was begun: `begun_as`
            del fields["data"]["bleu_tokenizer"]
        del fields["train"]["checkpoint_every_s"]
        for instead, key in (("steps", "epochs"), ("warmup_steps", "warmup_epochs")):
            if instead in fields["train"]:
                del fields["train"][key]
        return fields

    def notes(self, steps_per_epoch: int | None = None) -> tuple[str, ...]:
        """What somebody who trains so should know; `steps_per_epoch` as in `TrainConfig.notes`."""
        return *self.data.notes(), *self.train.notes(steps_per_epoch)

    def begun_as(self, stored: RunConfig) -> RunConfig:
        """This config, with what it leaves to be chosen as it was chosen for a run that was begun, `stored`."""
        if self.data.bleu_tokenizer != "auto":
            return self
        return self.with_bleu_tokenizer(stored.data.bleu_tokenizer)

    def with_bleu_tokenizer(self, name: BleuTokenizer) -> RunConfig:
        """This config, with BLEU counted over the words of that tokeniser."""
        return self.model_copy(update={"data": self.data.model_copy(update={"bleu_tokenizer": name})})


SECTIONS: dict[str, type[Settings]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "distill": DistillConfig,
}

RUNS = ("init", "continues", "teacher")
"""Settings of a run that name folders of others."""


def known_keys() -> tuple[str, ...]:
    """Every ``section.field`` that presets and ``--set`` accept."""
    return tuple(f"{section}.{field}" for section, cls in SECTIONS.items() for field in cls.model_fields)
