"""Axis `norm`: where layer normalisation stands, and what of it is stored."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from minform_cli.config.axes.base import PartOptions, new_axis, of_every_run
from minform_cli.config.axes.bias import has_bias, live_bias
from minform_cli.config.form import Implied, Map, NormForm, Over, Role, SimilarityForm, Weights

if TYPE_CHECKING:
    from minform_cli.config.axes.embedding import Embedding
    from minform_cli.config.axes.linear import Linear
    from minform_cli.config.axes.mlp import Mlp
    from minform_cli.config.axes.residual import Residual
    from minform_cli.config.axes.similarity import Similarity
    from minform_cli.config.axes.value import Value
    from minform_cli.config.schema import ModelConfig


class Norm(PartOptions, frozen=True):
    """Base of the normalisations.

    Class attributes:
        not_bare: why its gain and bias, and the mean of tokens, cannot go.
    """

    not_bare: ClassVar[str] = ""

    @abstractmethod
    def form(self, model: ModelConfig) -> NormForm | None:
        """One norm's, each sublayer having one; None: there is none."""

    def last(self, model: ModelConfig) -> NormForm | None:
        """That of the last block's tokens; None: there is none."""
        form = self.form(model)
        return form if form is not None and form.first else None

    def of_embedding(self, model: ModelConfig) -> NormForm | None:
        """That of an embedding which is normalised."""
        return self.form(model)

    def of_output(self, model: ModelConfig) -> NormForm | None:  # noqa: ARG002
        """That of what a sublayer gives, before it is added to the tokens; None: there is none."""
        return None

    def before(self, model: ModelConfig) -> NormForm | None:  # noqa: ARG002
        """That of the tokens before the first block; None: there is none."""
        return None

    def bare(self, model: ModelConfig, *, across: bool) -> Norm | str:  # noqa: ARG002
        """The same with gain and bias of sublayers' norms in the maps that read them; or why not.

        Args:
            model: sizes, and one part on every axis.
            across: whether there is a decoder, with blocks of these parts that attend to the encoder, too.
        """
        return self.not_bare

    def bare_last(self) -> Norm | None:
        """The same with those of the last norm in what reads it; None where there is no such norm, or it has none."""
        return None

    def without_mean(self, model: ModelConfig) -> Norm | str:  # noqa: ARG002
        """The same over centred tokens; or why not. Arguments as of `bare`."""
        return self.not_bare

    @property
    def centres(self) -> bool:
        """Whether tokens have a mean of zero wherever they are, so that what writes them leaves one column out."""
        return False


NORM = new_axis("norm", "where layer normalisation stands", Norm, per_block=True)


def centred(model: ModelConfig) -> bool:
    """Whether what adds to the tokens of `model` has a mean of zero, its last column being minus the sum of the others.

    Source: SliceGPT, arXiv 2401.15024, section 3.2 (LayerNorm as RMSNorm behind centred maps).
    """
    return cast(Norm, model.norm).centres


def written(model: ModelConfig) -> int:
    """Columns that are stored of whatever is added to the tokens: N, or N - 1."""
    return model.dim - 1 if centred(model) else model.dim


def writer(model: ModelConfig, name: str, dim_in: int, role: Role | None, over: Over = "tokens") -> Map:
    """A map whose outputs are added to the tokens, with a live bias."""
    stored = Implied(dim_in, model.dim) if centred(model) else None
    bias = live_bias(model, written(model))
    return Map(name=name, dim_in=dim_in, dim_out=model.dim, bias=bias, role=role, over=over, stored=stored)


def _norm(model: ModelConfig, *, first: bool, affine: bool = True) -> NormForm:
    """Gain and bias, 2 N numbers: Layer Normalization, arXiv 1607.06450; or a gain, N: arXiv 1910.07467."""
    rms = cast("Alike | Pre", model.norm).rms
    holds = (Weights(name="", numbers=(1 if rms else 2) * model.dim),) if affine else ()
    kind = "RmsNorm" if centred(model) else "GainNorm" if rms else "Norm"
    return NormForm(module=kind, holds=holds, first=first)


class Alike(Norm, frozen=True):
    """Base of the normalisations whose norms are all of one kind.

    Attributes:
        eps: added to the variance (dimensionless).
        rms: whether norms are RMSNorms: of the mean square of the columns, with a gain alone.
    """

    eps: float = Field(default=1e-5, gt=0)
    rms: bool = Field(default=False, exclude_if=lambda rms: not rms)


@NORM.part
class Post(Alike, frozen=True):
    """x = LN(x + sublayer(x)); no final norm."""

    kind: Literal["post"] = "post"
    not_bare = "post-norm: the residual reads it too"
    meaning = "LayerNorm (rms: RMSNorm) after each sublayer; no final norm"
    source = "Attention Is All You Need, arXiv 1706.03762, section 3.1; rms: arXiv 1910.07467"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _norm(model, first=False)


@NORM.part
class Pre(Norm, frozen=True):
    """x = x + sublayer(LN(x)); one final norm after the last block.

    Attributes:
        eps: added to the variance (dimensionless).
        affine: whether norms of sublayers have a gain and a bias; the maps that read them can do without.
        final_affine: likewise of the norm after the last block.
        centred: whether tokens have a mean of zero wherever they are: norms are then RMSNorms, and whatever adds to the
            tokens stores one column less.
        per_run: whether the norms of sublayers have a gain and a bias of their own in every run of a shared block.
        rms: whether norms are RMSNorms of tokens of any mean: of the mean square of the columns, with a gain alone.
    """

    kind: Literal["pre"] = "pre"
    eps: float = Field(default=1e-5, gt=0)
    affine: bool = Field(default=True, exclude_if=lambda affine: affine)
    final_affine: bool = Field(default=True, exclude_if=lambda affine: affine)
    centred: bool = Field(default=False, exclude_if=lambda centred: not centred)
    per_run: bool = Field(default=False, exclude_if=lambda per_run: not per_run)
    rms: bool = Field(default=False, exclude_if=lambda rms: not rms)
    meaning = "LayerNorm (rms: RMSNorm) before each sublayer and one after the last block"
    source = (
        "An Image is Worth 16x16 Words, arXiv 2010.11929, section 3.1; centred: SliceGPT, arXiv 2401.15024; "
        "in every run: Relaxed Recursive Transformers, arXiv 2410.20672; rms: arXiv 1910.07467"
    )

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        if self.per_run:
            return NormForm(module="RunNorm", holds=(Weights(name="", numbers=2 * model.runs * model.dim),), first=True)
        return _norm(model, first=True, affine=self.affine)

    def last(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _norm(model, first=True, affine=self.final_affine)

    def of_embedding(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _norm(model, first=True)

    @property
    def centres(self) -> bool:  # noqa: D102
        return self.centred

    def bare(self, model: ModelConfig, *, across: bool) -> Norm | str:  # noqa: D102
        if not self.affine:
            return "they have gone already"
        if self.per_run:
            return "every run of a block has its own, and its maps are the same in all"
        why = not_read_by_maps(model, across=across, shift=not self.rms)
        return why or self.model_copy(update={"affine": False})

    def bare_last(self) -> Norm | None:  # noqa: D102
        return self.model_copy(update={"final_affine": False}) if self.final_affine else None

    def without_mean(self, model: ModelConfig) -> Norm | str:  # noqa: D102
        if self.centred:
            return "it has gone already"
        if self.rms:
            return "RMSNorm reads the mean of tokens"
        return self._not_centred(model) or self.model_copy(update={"centred": True})

    def _not_centred(self, model: ModelConfig) -> str | None:
        return "norms of every run are none of centred tokens" if self.per_run else not_centred(model)

    def illegal(self, model: ModelConfig) -> str | None:  # noqa: D102
        why = self._not_centred(model) if self.centred else None
        if why is not None:
            return f"model.norm 'pre' cannot be centred: {why}; accepted: centred: false"
        if self.rms and (self.centred or self.per_run):
            other = "centred" if self.centred else "per_run"
            return f"model.norm 'pre' cannot be both rms and {other}; accepted: one of them"
        if not self.per_run:
            return None
        if not self.affine:
            return "model.norm 'pre' has no gain and bias to be of every run; accepted: per_run: false, or affine: true"
        return of_every_run("model.norm 'pre' with per_run", model, "per_run: false", "per_run: false")


def not_read_by_maps(model: ModelConfig, *, across: bool, mlp: bool = True, shift: bool = True) -> str | None:
    """Why a scale and a shift of what sublayers read cannot go into their maps; or None.

    Args:
        model: sizes, and one part on every axis.
        across: whether attention is to other tokens, too, whose norm is another.
        mlp: whether the MLP is asked.
        shift: whether there is a shift.
    """
    similarity, value, linear = (
        cast("Similarity", model.similarity), cast("Value", model.value), cast("Linear", model.linear)
    )  # fmt: skip
    own = cast("Mlp", model.mlp)
    attends, there = similarity.form(model) is not None, own.form(model) is not None
    if attends and not similarity.absorbs:
        return f"similarity {similarity.kind!r} reads tokens as they are"
    if attends and across and similarity.absorbs != "each":
        return f"similarity {similarity.kind!r} has one map for the tokens of two norms"
    if attends and not value.absorbs:
        return f"value {value.kind!r} mixes tokens as they are"
    if there and mlp and own.not_absorbed:
        return own.not_absorbed
    roles: set[Role | None] = {"mlp"} if there and mlp else set()
    for form in (similarity.form(model), value.form(model)):
        # Of a value path, what is for those that ask comes after the mixing.
        read = () if form is None else (each for each in form.holds if isinstance(each, Map))
        roles |= {each.role for each in read if each.over != "queries" or isinstance(form, SimilarityForm)}
    if not linear.absorbs and any(linear.form(role, model.dim, model.dim) is not None for role in roles if role):
        return f"linear {linear.kind!r} takes no scale"
    return None if has_bias(model) or not shift else "bias 'none' leaves no place for a shift"


def not_centred(model: ModelConfig) -> str | None:
    """Why what adds to the tokens of a block, or of the embedding before it, cannot leave one column out; or None.

    Args:
        model: sizes, and one part on every axis.
    """
    value, linear = cast("Value", model.value), cast("Linear", model.linear)
    if model.dim < 2:
        return "model.dim 1 has one column"
    why = cast("Embedding", model.embedding).not_centred()
    if why is not None:
        return why
    attends, mlp = value.form(model) is not None, cast("Mlp", model.mlp).form(model)
    if cast("Residual", model.residual).form(model).scale is not None:
        return f"residual {model.residual.kind!r} scales one column more than another"
    if attends and not value.writes:
        return f"value {value.kind!r} adds mixed tokens as they are"
    if mlp is not None and (why := cast("Mlp", model.mlp).not_centred()) is not None:
        return why
    chained = attends and linear.form("output", model.dim, model.dim) is not None
    if chained or (mlp is not None and linear.form("mlp", model.dim, model.dim) is not None):
        return f"linear {linear.kind!r} stores maps whose columns do not stand alone"
    return None


@NORM.part
class NoNorm(Norm, frozen=True):
    """No normalisation anywhere."""

    kind: Literal["none"] = "none"
    not_bare = "there is no norm"
    meaning = "no normalisation"
    source = "Reducing the Transformer Architecture to a Minimum, arXiv 2410.13732, collapsing over the stack"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: ARG002, D102
        return None


@NORM.part
class Peri(Alike, frozen=True):
    """x = x + LN(sublayer(LN(x))); one norm after the embedding, and a final one."""

    kind: Literal["peri"] = "peri"
    not_bare = "Peri-LN normalises what sublayers give, too"
    meaning = "LayerNorm (rms: RMSNorm) before and behind each sublayer, after the embedding and after the last block"
    source = "Peri-LN, arXiv 2502.02732, section 3; rms: arXiv 1910.07467"

    def form(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _norm(model, first=True)

    def of_output(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return _norm(model, first=True)

    def before(self, model: ModelConfig) -> NormForm | None:  # noqa: D102
        return None if cast("Embedding", model.embedding).normed else _norm(model, first=True)
