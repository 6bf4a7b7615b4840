from __future__ import annotations

import pytest

from engines.config_pbtxt import ModelConfig, TensorSpec, model_config
from engines.text_format import parse
from schemas.errors import ConfigurationError


def test_reads_every_form_of_the_text_format() -> None:
    text = """
    # comment with "quotes" and { brackets
    name: "a" 'b'  # adjacent strings are one
    ratio: -1.5e3; flag: true, kind: KIND_CPU
    nested { value: 0x10 } nested: < value: 2 >
    dims: [ 1, -1 ]
    dims: 3
    empty: []
    list [ { value: 1 }, { value: 2 } ]
    escaped: "a\\n\\"b\\""
    """
    assert parse(text) == {
        "name": ["ab"],
        "ratio": [-1500.0],
        "flag": [True],
        "kind": ["KIND_CPU"],
        "nested": [{"value": [16]}, {"value": [2]}],
        "dims": [1, -1, 3],
        "empty": [],
        "list": [{"value": [1]}, {"value": [2]}],
        "escaped": ['a\n"b"'],
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name 3", 1),
        ("a: 1\nb: }", 2),
        ("a {\n b: 1", 2),
        ("a: [1 2]", 1),
        ("\n\n@", 3),
        ('a: "open', 1),
        ("a:", 1),
        ("}", 1),
    ],
)
def test_what_is_not_text_format_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"line {line}:"):
        parse(text)


def test_model_config() -> None:
    text = """
    name: "m" platform: "onnxruntime_onnx" max_batch_size: 8
    input { name: "x" data_type: TYPE_FP32 dims: [ 4, -1 ] }
    output [ { name: "y" data_type: TYPE_INT64 dims: 2 } ]
    """
    assert model_config(text) == ModelConfig(
        "m",
        "onnxruntime_onnx",
        8,
        (TensorSpec("x", "float32", (-1, 4, -1)),),
        (TensorSpec("y", "int64", (-1, 2)),),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('platform: "p"', "exactly one name"),
        ('name: "m" name: "n" platform: "p"', "exactly one name"),
        ('name: "m" platform: "p"', "no input"),
        ('name: "m" platform: "p" max_batch_size: true', "max_batch_size"),
        ('name: "m" platform: "p" input: 3', "must be a message"),
        ('name: "m" platform: "p" input { name: "x" data_type: TYPE_STRING dims: 1 }', "TYPE_STRING"),
    ],
)
def test_a_missing_or_wrong_field_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        model_config(text)
