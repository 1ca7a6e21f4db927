from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paramtui.core.input_spec import TensorSpec, is_function_reference, parse_inputs, spec_text
from paramtui.errors import UsageError

SHAPES = st.lists(st.integers(0, 2000), max_size=3).map(tuple)
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OTHER = ("float64", "float32", "float16", "bfloat16", "bool", "complex64", "complex128")
SPACES = st.sampled_from(["", " ", "  "])


@given(SHAPES, st.sampled_from([None, *OTHER]), st.sampled_from([None, "mask", "größe", "_x1"]), SPACES)
def test_spaces_change_nothing(
    shape: tuple[int, ...], dtype: str | None, name: str | None, space: str
) -> None:
    sizes = f"{space}x{space}".join(map(str, shape)) if shape else "[]"
    text = f"{space}{sizes}{space}"
    text = f"{space}{dtype}{space}:{text}" if dtype else text
    text = f"{space}{name}{space}={text}" if name else text
    assert parse_inputs(text) == [TensorSpec(name, dtype, shape, None)]


@given(SHAPES, st.sampled_from(WHOLE), st.integers(1, 10**18 - 1), SPACES)
def test_whole_numbers_have_a_bound(shape: tuple[int, ...], dtype: str, high: int, space: str) -> None:
    sizes = "x".join(map(str, shape)) if shape else "scalar"
    assert parse_inputs(f"{dtype}:{sizes}{space}<{space}{high}") == [TensorSpec(None, dtype, shape, high)]
    with pytest.raises(UsageError, match="need a bound") as caught:
        parse_inputs(f"{dtype}:{sizes}")
    # What the hint shows is an example that would do.
    example = (caught.value.hint or "").removeprefix("for example ")
    assert parse_inputs(example) == [TensorSpec(None, dtype, shape, 1000)]


@given(st.sampled_from(OTHER), st.integers(1, 9))
def test_other_numbers_have_none(dtype: str, high: int) -> None:
    with pytest.raises(UsageError, match="for whole numbers"):
        parse_inputs(f"{dtype}:2<{high}")


@pytest.mark.parametrize("name", ["half", "float", "double", "short", "int", "long", "cfloat", "cdouble"])
def test_second_names_of_types_are_those_of_torch(name: str) -> None:
    dtype: torch.dtype = getattr(torch, name)
    whole = not (dtype.is_floating_point or dtype.is_complex)
    (spec,) = parse_inputs(f"{name}:2<5" if whole else f"{name}:2")
    assert f"torch.{spec.dtype}" == str(dtype)


@given(st.lists(st.integers(1, 1 << 30), min_size=1, max_size=6))
def test_only_what_could_be_run_is_read(sizes: list[int]) -> None:
    count = 1
    for size in sizes:
        count *= size
    text = "x".join(map(str, sizes))
    if count <= 1 << 40:
        assert parse_inputs(text)[0].shape == tuple(sizes)
    else:
        with pytest.raises(UsageError, match="larger than anything"):
            parse_inputs(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no shape"),
        ("2xx3", "write sizes with x between"),
        ("-1x2", "write sizes with x between"),
        ("1e3", "write sizes with x between"),
        ("２x3", "write sizes with x between"),
        ("2x3;;4", "entry 2 ''"),
        ("2x3;int64:4", "entry 2 'int64:4'"),
        ("float7:3", "float7 is no type"),
        ("quint8:3<2", "quint8 is no type"),
        ("int64:4<0", "no whole number above 0"),
        ("int64:4<-5", "no whole number above 0"),
        ("x=2;3", "by position follows one by name"),
        ("x=2;x=3", "x is given twice"),
        ("x".join(["1"] * 65), "larger than anything"),
    ],
)
def test_a_mistake_is_shown_in_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_inputs(text)
    assert words in str(caught.value)


def test_what_is_quoted_is_short_and_safe_on_a_terminal() -> None:
    with pytest.raises(UsageError) as caught:
        parse_inputs("2x\x1b[31m" + "3" * 5000)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@given(st.text(max_size=30))
def test_any_text_at_all_is_read_or_refused(text: str) -> None:
    try:
        specs = parse_inputs(text)
    except UsageError as error:
        assert str(error).isprintable()
    else:
        assert parse_inputs(spec_text(specs)) == specs


@given(st.text(alphabet="ab /\\:.py", max_size=12), st.sampled_from(["f", "make_inputs", "größe"]))
def test_a_function_of_a_file_is_no_specification(path: str, function: str) -> None:
    path = f"{path.lstrip()}.py"
    assert is_function_reference(f"{path}:{function}") == (path, function)
    with pytest.raises(UsageError):
        parse_inputs(f"{path}:{function}")
