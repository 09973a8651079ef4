"""What a part is made of, in numbers and without torch: its Form.

A part's options class gives its Form, written from the paper and not from the module's code. All that is counted
follows from Forms (`minform_cli.counting`), and a built model is compared with its Form, so that an error has to be
made twice to stay unseen. Names in a Form are those of the module's attributes, in their order.

Letters: N width (`model.dim`), H heads, d = N / H or `model.head_width`, T tokens of an example, V entries of the
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from minform_cli.config.axes.base import PartOptions

Role = Literal["qkv", "output", "mlp"]
"""What a map is for: queries, keys, values and their gate; what leads out of attention; the MLP."""

Over = Literal["tokens", "queries", "keys", "both", "example"]
"""What goes through: the tokens of a sequence; those that ask; those that are asked; both by one map, once where they
are the same sequence and twice across two; or one vector an example."""


@runtime_checkable
class Stored(Protocol):
    """A matrix that is stored otherwise than as its numbers, row by row."""

    @property
    def title(self) -> str:
        """What several of the kind are called."""
        ...

    @property
    def module(self) -> str:
        """Class of the module that holds it."""
        ...

    @property
    def holds(self) -> tuple[Weights, ...]:
        """Its tensors."""
        ...

    def macs_for(self, tokens: int, planned_for: int) -> int:
        """Multiply-accumulates to send so many tokens through at once, with what was chosen for `planned_for`."""
        ...

    @property
    def planned(self) -> bool:
        """Whether how it is multiplied depends on how many tokens there are."""
        ...

    def note(self, planned_for: int) -> str:
        """What a reader of a count should know of it, after the map's widths."""
        ...


@dataclass(frozen=True, kw_only=True)
class Map:
    """One linear map x W + b.

    Attributes:
        name: of its module, seen from the part's; empty where it is the part's module itself.
        dim_in, dim_out: widths.
        bias: numbers of b.
        role: what the axis `linear` goes by; None: it stays one matrix whatever stands there.
        over: what goes through it.
        often: times for each of these; patches of an image, for example.
        tied: whether W is another part's, so that it costs and is not counted again.
        reads_data: whether the examples themselves go through it, which need no gradient.
        module: class of its module.
        stored: how W is kept, where not as one matrix.
    """

    name: str
    dim_in: int
    dim_out: int
    bias: int = 0
    role: Role | None = None
    over: Over = "tokens"
    often: int = 1
    tied: bool = False
    reads_data: bool = False
    module: str = "Linear"
    stored: Stored | None = None

    @property
    def numbers(self) -> int:
        """Of its matrix, if that is its own, and its bias."""
        if self.stored is not None:
            return self.bias + sum(each.numbers for each in self.stored.holds)
        return self.bias + (0 if self.tied else self.dim_in * self.dim_out)

    def macs_for(self, tokens: int, planned_for: int) -> int:
        """Multiply-accumulates of so many tokens at once."""
        if self.stored is not None:
            return self.stored.macs_for(tokens, planned_for)
        return tokens * self.dim_in * self.dim_out

    def form(self) -> Form:
        """It as a module of its own: its matrix and bias."""
        matrix = 0 if self.tied else self.dim_in * self.dim_out
        holds = (Weights(name="weight", numbers=matrix),) if self.stored is None else self.stored.holds
        module = self.module if self.stored is None else self.stored.module
        return Form(module=module, holds=(*holds, Weights(name="bias", numbers=self.bias)))


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Numbers that are no linear map of the part: a table, a triangle, one matrix a head.

    Attributes:
        name: of the tensor, or of the module that holds it.
        numbers: how many there are.
        macs: multiply-accumulates that they cause for each of what goes through them.
        over: what that is.
        both_sides: whether one serves source and target of an encoder-decoder.
        module: class of the module of that name; None: the tensor is the part's own.
    """

    name: str
    numbers: int
    macs: int = 0
    over: Over = "tokens"
    both_sides: bool = False
    module: str | None = None
    often: ClassVar[int] = 1
    reads_data: ClassVar[bool] = False

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002  (as of a map)
        """Multiply-accumulates of so many tokens at once."""
        return tokens * self.macs


@dataclass(frozen=True)
class Implied:
    """A matrix with rows that add up to zero: its last column is minus the sum of the others, and is not stored.

    Attributes:
        dim_in, dim: widths.
        times: how many such matrices stand side by side.
    """

    dim_in: int
    dim: int
    times: int = 1

    @property
    def title(self) -> str:  # noqa: D102
        return "maps whose last column is implied"

    @property
    def module(self) -> str:  # noqa: D102
        return "CentredMap"

    @property
    def holds(self) -> tuple[Weights, ...]:  # noqa: D102
        return (Weights(name="weight", numbers=self.dim_in * self.times * (self.dim - 1)),)

    def macs_for(self, tokens: int, planned_for: int) -> int:  # noqa: ARG002, D102
        return tokens * self.holds[0].numbers

    @property
    def planned(self) -> bool:  # noqa: D102
        return False

    def note(self, planned_for: int) -> str:  # noqa: ARG002, D102
        return f"with {self.holds[0].numbers:,} numbers"


@dataclass(frozen=True, kw_only=True)
class Form:
    """What one module holds.

    Attributes:
        module: its class, as tables name it.
        group: which parameters it counts among, one of `results.GROUPS`; None: those of what it lies in.
        holds: its maps and other numbers, in the module's order.
        children: Forms of the parts in it, by the names of their modules.
        dead: numbers that no loss can depend on: where they are -> how many.
        part: whose Form it is, with its options; None: no part's, or it is not said. Models with equal Forms, these
            included, are one model.
    """

    module: str
    group: str | None = None
    holds: tuple[Map | Weights, ...] = ()
    children: Mapping[str, Form] = field(default_factory=dict[str, "Form"])
    dead: Mapping[str, int] = field(default_factory=dict[str, int])
    part: PartOptions | None = None

    def walk(self, path: str = "") -> Iterator[tuple[str, Form]]:
        """It and all Forms in it with their paths, in the order of the modules."""
        yield path, self
        for name, child in self.children.items():
            yield from child.walk(f"{path}.{name}" if path else name)


@dataclass(frozen=True, kw_only=True)
class SimilarityForm(Form):
    """A similarity's.

    Attributes:
        compared: width of a head's queries and keys.
        keeps: numbers that generation keeps of a token to compare later ones with it, over all heads, by what they are:
            `tokens` themselves, `keys`, ...; what the value path calls by the same name is kept once.
    """

    compared: int
    keeps: Mapping[str, int]
    group: str | None = "query_key"


@dataclass(frozen=True, kw_only=True)
class ValueForm(Form):
    """A value path's.

    Attributes:
        mixed: width of what a head mixes.
        keeps: as of a similarity: what is kept of a token to be mixed later.
        after_stack: what stands once after the last block, in every block's place.
    """

    mixed: int
    keeps: Mapping[str, int]
    after_stack: Form | None = None
    group: str | None = "value_output"


@dataclass(frozen=True, kw_only=True)
class AttentionForm(Form):
    """One attention's: its similarity and its value path.

    Attributes:
        heads: H.
        similarity, value: which are its children too.
    """

    heads: int
    similarity: SimilarityForm
    value: ValueForm

    @property
    def pair_macs(self) -> int:
        """Multiply-accumulates to compare and mix one pair of tokens, over all heads."""
        return self.heads * (self.similarity.compared + self.value.mixed)

    @property
    def kept(self) -> int:
        """Numbers that generation keeps of a token."""
        return sum({**self.similarity.keeps, **self.value.keeps}.values())


@dataclass(frozen=True, kw_only=True)
class MlpForm(Form):
    """An MLP's."""

    group: str | None = "mlp"


@dataclass(frozen=True, kw_only=True)
class NormForm(Form):
    """One norm's.

    Attributes:
        first: whether it normalises what a sublayer reads; the last block's tokens are then normalised once more.
    """

    first: bool
    group: str | None = "norm"


@dataclass(frozen=True, kw_only=True)
class EmbeddingForm(Form):
    """An embedding's, the class token and the positions included.

    Attributes:
        tokens: of the longest example, as the first block sees it.
        from_data: those of them that the example itself makes.
    """

    tokens: int
    from_data: int
    group: str | None = "embedding"

    def second(self) -> EmbeddingForm:
        """That of the decoder's tokens, less what serves both sides."""
        own = tuple(each for each in self.holds if isinstance(each, Map) or not each.both_sides)
        return replace(self, holds=own)


@dataclass(frozen=True, kw_only=True)
class ReadoutForm(Form):
    """A readout's, without the task's head.

    Attributes:
        tokens: learned ones that it puts before those of an image; text brings its own.
        per_example: whether it gives one vector an example, and not one a token.
    """

    tokens: int = 0
    per_example: bool = True
    group: str | None = "head"


@dataclass(frozen=True)
class BiasForm:
    """Which linear maps have a bias: those whose bias can change the output, and those whose bias cannot."""

    live: bool
    dead: bool


@dataclass(frozen=True)
class MaskForm:
    """Whether a token attends to itself and those before it alone."""

    causal: bool


@dataclass(frozen=True)
class ResidualForm:
    """Whether a sublayer's input is added to its output, and the scale of that before, if it has one."""

    adds: bool
    scale: Form | None = None


@dataclass(frozen=True)
class OrderForm:
    """Block numbers in the order they run.

    Attributes:
        runs: the numbers.
        depths: the depth that each run is at where several blocks make up one depth; None: every run is one.
    """

    runs: tuple[int, ...]
    depths: tuple[int, ...] | None = None
