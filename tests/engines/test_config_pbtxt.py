from __future__ import annotations

import pytest

from engines.config_pbtxt import (
    Accelerator,
    DynamicBatching,
    InstanceGroup,
    ModelConfig,
    TensorSpec,
    VersionPolicy,
    Warmup,
    WarmupInput,
    model_config,
)
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


def config(more: str, batch: int = 8) -> ModelConfig:
    return model_config(
        f"""name: "m" platform: "onnxruntime_onnx" max_batch_size: {batch}
        input {{ name: "x" data_type: TYPE_FP32 dims: [ 3 ] }}
        output {{ name: "y" data_type: TYPE_FP32 dims: [ 1 ] }}
        {more}"""
    )


@pytest.mark.parametrize(
    ("backend", "platform", "file_name"),
    [
        ('backend: "onnxruntime"', "onnxruntime_onnx", "model.onnx"),
        ('backend: "tensorrt"', "tensorrt_plan", "model.plan"),
        ('backend: "pytorch"', "pytorch_libtorch", "model.pt"),
        ('backend: "python"', "python", "model.py"),
        ('platform: "tensorrt_plan"', "tensorrt_plan", "model.plan"),
        ('platform: "onnxruntime_onnx" backend: "onnxruntime"', "onnxruntime_onnx", "model.onnx"),
        ('backend: "onnxruntime" default_model_filename: "net.onnx"', "onnxruntime_onnx", "net.onnx"),
    ],
)
def test_backend_and_platform_are_two_names_of_one_thing(backend: str, platform: str, file_name: str) -> None:
    text = f"""name: "m" {backend} input {{ name: "x" data_type: TYPE_FP32 dims: 1 }}
    output {{ name: "y" data_type: TYPE_FP32 dims: 1 }}"""
    found = model_config(text)
    assert (found.platform, found.file_name) == (platform, file_name)


@pytest.mark.parametrize(
    ("more", "field", "expected"),
    [
        ("", "version_policy", VersionPolicy(latest=1)),
        ("version_policy { latest { num_versions: 2 } }", "version_policy", VersionPolicy(latest=2)),
        ("version_policy { latest { } }", "version_policy", VersionPolicy(latest=1)),
        ("version_policy: { all { } }", "version_policy", VersionPolicy(latest=None)),
        (
            "version_policy { specific { versions: [ 1, 3 ] } }",
            "version_policy",
            VersionPolicy(latest=None, specific=(1, 3)),
        ),
        ("", "instance_groups", ()),
        (
            "instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { kind: KIND_CPU } ]",
            "instance_groups",
            (InstanceGroup(2, "gpu", (0, 1)), InstanceGroup(1, "cpu")),
        ),
        ("", "dynamic_batching", None),
        ("dynamic_batching { }", "dynamic_batching", DynamicBatching()),
        (
            "dynamic_batching { preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 100 }",
            "dynamic_batching",
            DynamicBatching((4, 8), 0.0001),
        ),
        (
            """optimization { graph { level: 1 } execution_accelerators {
            gpu_execution_accelerator : [ { name : "tensorrt"
              parameters { key: "precision_mode" value: "FP16" } } ]
            cpu_execution_accelerator : [ { name : "openvino" } ] } }""",
            "accelerators",
            (Accelerator("tensorrt", "gpu", {"precision_mode": "FP16"}), Accelerator("openvino", "cpu", {})),
        ),
        (
            """parameters { key: "a" value: { string_value: "1" } }
            parameters: { key: "b" value { string_value: "2" } }""",
            "parameters",
            {"a": "1", "b": "2"},
        ),
        (
            """model_warmup [ { name: "one" batch_size: 2 count: 3
            inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 3 ] random_data: true } } } ]""",
            "warmups",
            (Warmup("one", 2, (WarmupInput("x", "float32", (3,), "random"),), 3),),
        ),
        (
            """model_warmup { name: "file" batch_size: 1
            inputs { key: "x" value: { data_type: TYPE_FP32 dims: 3 input_data_file: "raw" } } }""",
            "warmups",
            (Warmup("file", 1, (WarmupInput("x", "float32", (3,), "file", "raw"),)),),
        ),
        ("sequence_batching { } response_cache { enable: true }", "server_only", ("sequence_batching",)),
    ],
)
def test_what_a_configuration_says(more: str, field: str, expected: object) -> None:
    assert getattr(config(more), field) == expected


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (VersionPolicy(), (12,)),
        (VersionPolicy(latest=2), (3, 12)),
        (VersionPolicy(latest=9), (1, 3, 12)),
        (VersionPolicy(latest=None), (1, 3, 12)),
        (VersionPolicy(latest=None, specific=(3, 4)), (3,)),
    ],
)
def test_versions_that_are_served(policy: VersionPolicy, served: tuple[int, ...]) -> None:
    assert policy.serves([12, 1, 3]) == served


def test_dims_with_batch_axis_and_reshape() -> None:
    found = model_config(
        """name: "m" platform: "p" max_batch_size: 2
        input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] } }
        output { name: "y" data_type: TYPE_FP32 dims: [ -1, 6 ] reshape { shape: [ 2, -1, 3 ] } }"""
    )
    assert found.inputs == (TensorSpec("x", "float32", (-1, 1), (-1,)),)
    assert found.outputs == (TensorSpec("y", "float32", (-1, -1, 6), (-1, 2, -1, 3)),)
    assert found.inputs[0].graph_dims == (-1,)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("max_batchsize: 3", "max_batchsize is no field here"),
        ("max_batch_size: 9", "exactly one max_batch_size"),
        ('backend: "tensorrt"', "platform is 'onnxruntime_onnx' and backend is 'tensorrt'"),
        ("instance_group { count: 0 }", "instance_group: count is 0"),
        ("instance_group { kind: KIND_TPU }", "kind is KIND_TPU"),
        ("instance_group { kind: KIND_CPU gpus: 0 }", r"gpus is \[0\] and kind is KIND_CPU"),
        ("instance_group: 3", "instance_group must be a message"),
        ("dynamic_batching { preferred_batch_size: 9 }", r"preferred_batch_size is \[9\] and max_batch_size is 8"),
        ("dynamic_batching { } dynamic_batching { }", "dynamic_batching is there more than once"),
        ("dynamic_batching { max_queue_delay_microseconds: -1 }", "max_queue_delay_microseconds is -1"),
        ("version_policy { }", "one of latest, all, specific"),
        ("version_policy { latest { num_versions: 0 } }", "num_versions is 0"),
        ("version_policy { specific { } }", r"versions is \[\]"),
        ("version_policy { latest { } all { } }", "one of latest, all, specific"),
        ("version_policy { newest { } }", "newest is no field here"),
        ("model_warmup { batch_size: 9 }", "batch_size is 9 and max_batch_size is 8"),
        ('model_warmup { inputs { key: "z" value { } } }', r"key is 'z' and the inputs of the model are \['x'\]"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 1 }', r"input names one tensor twice: \['x', 'x'\]"),
        ('input { name: "z" data_type: TYPE_FP32 }', "dims is empty"),
        ('input { name: "z" data_type: TYPE_FP32 dims: [ 0 ] }', r"dims is \[0\]"),
        ('input { name: "z" data_type: TYPE_FP32 dims: [ "3" ] }', "dims holds '3'"),
        (
            'input { name: "z" data_type: TYPE_FP32 dims: [ 6 ] reshape { shape: [ 2, 2 ] } }',
            r"reshape has shape \[2, 2\] and dims is \[6\]",
        ),
    ],
)
def test_a_field_that_is_none_or_contradicts_another_is_named(more: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        config(more)


def test_a_negative_batch_is_none() -> None:
    with pytest.raises(ConfigurationError, match="max_batch_size is -1"):
        config("", batch=-1)
