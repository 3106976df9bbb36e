"""Weights that do not fit a model are named, before torch prints a page about them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..errors import CheckpointError

_EMBEDDING = "encoder.embed_tokens.weight"  # its rows are the symbols of the vocabulary


def check_weights(weights: Mapping[str, Tensor], model: nn.Module, where: object, remedy: str) -> None:
    """Raise CheckpointError, naming the first that differs, unless names and shapes are those of the model."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    there, here = found.get(_EMBEDDING), expected.get(_EMBEDDING)
    if there and here and there[0] != here[0]:
        raise CheckpointError(
            f"{where} was made for a vocabulary of {there[0]} symbols, this one has {here[0]}\n"
            "  use the corpus folder it was trained on, or encode the text anew with its sentencepiece.model and "
            "dict.txt"
        )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{where}: weight {name} has the shape {found.get(name, 'none')}, in the model it has "
                f"{expected.get(name, 'none')}\n  {remedy}"
            )
