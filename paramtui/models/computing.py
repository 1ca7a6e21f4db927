"""Initialises tensors that lie in a file, without a model: the file is mapped, and changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from paramtui.core.layers import recipe_from
from paramtui.errors import EditError
from paramtui.models.initializers import initialise, module_function
from paramtui.models.new_numbers import keep_numbers
from paramtui.models.shield import stoppable, whole
from paramtui.models.skeleton import build_skeleton, skeleton_lines, with_padding
from paramtui.models.state_guard import kept_random_state, kept_settings, seed_all
from paramtui.models.structure import Structure
from paramtui.models.user_code import user_code

if TYPE_CHECKING:
    from paramtui.core.computing import Work, WorkTensor
    from paramtui.models.initializers import Available


def compute(work: Work, found: Available) -> list[str]:
    """Does what is asked for to the tensors of a file; see `paramtui.core.computing.Computer.compute`.

    Raises:
        UserCodeError: An initialiser failed; what the file then holds is of no use.
        EditError: A function of a module has changed more than numbers.
    """
    end = max([1, *(_end(tensor) for tensor in work.tensors)])
    memory = torch.from_file(work.path, shared=True, size=end, dtype=torch.uint8)
    tensors = {number: _view(memory, tensor) for number, tensor in zip(work.ids, work.tensors, strict=True)}
    return whole(lambda: _computed(work, found, tensors))


def _computed(work: Work, found: Available, tensors: dict[int, torch.Tensor]) -> list[str]:
    with kept_random_state(), kept_settings():
        if work.recipe is None:
            stoppable(lambda: _initialise(work, found, tensors))
            return []
        if work.call is None:
            raise EditError("no function of a module is given")
        call = work.call
        # Told before the function has changed what some of it is told by.
        recipe = with_padding(recipe_from(work.recipe), tensors)
        lines = skeleton_lines(recipe, lambda number: f"TENSOR[{number}]")
        block = build_skeleton(recipe, tensors)
        structure = Structure(block)
        function = module_function(found, call)

        def run() -> None:
            seed_all(work.seed)
            with user_code(call.name):
                block.apply(function)  # type: ignore[arg-type]

        stoppable(run)
        try:
            keep_numbers(structure)
        except EditError as error:
            raise EditError(f"{call.name} does more than give values: {error.what}") from None
        return lines


def _initialise(work: Work, found: Available, tensors: dict[int, torch.Tensor]) -> None:
    seed_all(work.seed)
    for number, call in work.steps:
        initialise(found, tensors[number], call)


def _end(tensor: WorkTensor) -> int:
    size = getattr(torch, tensor.dtype).itemsize
    if 0 in tensor.shape:
        return tensor.begin
    reach = sum((count - 1) * step for count, step in zip(tensor.shape, tensor.stride, strict=True))
    return int(tensor.begin + (reach + 1) * size)


def _view(memory: torch.Tensor, tensor: WorkTensor) -> torch.Tensor:
    dtype = getattr(torch, tensor.dtype)
    if 0 in tensor.shape:
        return torch.empty(tensor.shape, dtype=dtype)
    end = _end(tensor)
    return memory[tensor.begin : end].view(dtype).as_strided(tensor.shape, tensor.stride)
