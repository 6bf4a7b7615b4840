"""What a version is made of: every file that its graph reads is in the digest that results carry."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper

from engines import onnx_files
from engines.digest import check_digest, digest_of, model_files
from engines.metadata import read
from engines.model_info import ModelInfo
from engines.onnx import OnnxEngine
from engines.onnx_files import external_files
from engines.package import install
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.unpack import copy_folder
from schemas.errors import ConfigurationError, InvalidInput
from tests.engines import tiny
from tests.engines.runtimes.graphs import beside


def constant(name: str = "factor", values: int = 1) -> TensorProto:
    tensor: TensorProto = helper.make_tensor(name, TensorProto.FLOAT, [values], [0.5] * values)
    return tensor


def weights_beside(own: Path, *, factor: float = 0.5, location: str = "model.onnx.data") -> None:
    """The version as it was, but for its factor, which lies in a file of its own now."""
    graph = onnx.load(own / "model.onnx")
    beside(graph.graph.initializer[0], location)
    onnx.save(graph, own / "model.onnx")
    (own / location).parent.mkdir(exist_ok=True)
    (own / location).write_bytes(np.float32(factor).tobytes())
    record(own)


def record(own: Path) -> None:
    info = json.loads((own / "model_info.json").read_text())
    (own / "model_info.json").write_text(json.dumps(info | {"sha256": digest_of(own / "model.onnx")}))


@pytest.mark.parametrize("name", ["mri-brain-segmentation", "ct-hyperdensity"])
def test_the_digest_of_one_file_is_its_own(name: str) -> None:
    path = RELEASED / name / "1" / "model.onnx"
    info = read(RELEASED / name / "model_info.json", ModelInfo)
    assert digest_of(path) == hashlib.sha256(path.read_bytes()).hexdigest() == info.sha256


def test_of_several_files_it_is_that_of_the_list_which_sha256sum_prints(tmp_path: Path) -> None:
    own = tiny.add_version(tmp_path, 1)
    weights_beside(own)
    (own / "notes.txt").write_text("no part of the graph")
    listed = subprocess.run(
        "LC_ALL=C sha256sum model.onnx model.onnx.data | sha256sum",
        cwd=own,
        shell=True,
        check=True,
        capture_output=True,
        text=True,
    )
    assert digest_of(own / "model.onnx") == listed.stdout.split()[0]


def test_weights_that_were_exchanged_are_no_longer_this_version(tmp_path: Path) -> None:
    own = tiny.add_version(tmp_path, 1)
    weights_beside(own)
    model = load_version(tmp_path / tiny.NAME, 1, engine_of, Records())
    assert model.identity().sha256 == digest_of(own / "model.onnx")
    (own / "model.onnx.data").write_bytes(
        np.float32(0.5000001).tobytes()
    )  # within the tolerance of its validation
    with pytest.raises(ConfigurationError, match=r"model\.onnx, model\.onnx\.data together .* restore the model"):
        load_version(tmp_path / tiny.NAME, 1, engine_of, Records())
    (own / "model.onnx.data").unlink()
    with pytest.raises(ConfigurationError, match=r"model\.onnx\.data cannot be read \(No such file"):
        load_version(tmp_path / tiny.NAME, 1, engine_of, Records())


@pytest.mark.parametrize("location", ["../weights", "sub/../../weights", "/etc/hostname", "link", "", "."])
def test_what_lies_outside_of_the_folder_is_no_part_of_a_model(tmp_path: Path, location: str) -> None:
    own = tiny.add_version(tmp_path, 1)
    (own / "sub").mkdir()
    (own.parent / "weights").write_bytes(np.float32(0.5).tobytes())
    (own / "link").symlink_to(own.parent / "weights")
    graph = onnx.load(own / "model.onnx")
    beside(graph.graph.initializer[0], location)
    (own / "model.onnx").write_bytes(graph.SerializeToString())
    info = read(own / "model_info.json", ModelInfo)
    with pytest.raises(ConfigurationError, match="is no file in its folder"):
        check_digest(own / "model.onnx", info)


def test_a_model_whose_folder_is_a_link_is_one(tmp_path: Path) -> None:
    own = tiny.add_version(tmp_path / "elsewhere", 1)
    weights_beside(own, location="sub/weights")
    (tmp_path / "models").symlink_to(tmp_path / "elsewhere")
    path = tmp_path / "models" / tiny.NAME / "1" / "model.onnx"
    assert model_files(path) == ("model.onnx", "sub/weights")
    assert digest_of(path) == digest_of(own / "model.onnx")


def test_an_installed_model_keeps_the_files_that_its_graph_reads(tmp_path: Path) -> None:
    own = tiny.add_version(tmp_path / "from", 1)
    weights_beside(own)
    install(tmp_path / "to", lambda folder: copy_folder(tmp_path / "from" / tiny.NAME, folder / tiny.NAME))
    load_version(tmp_path / "to" / tiny.NAME, 1, engine_of, Records())
    (own / "model.onnx.data").write_bytes(np.float32(2).tobytes())
    with pytest.raises(InvalidInput, match=r"model\.onnx, model\.onnx\.data together"):
        install(tmp_path / "to", lambda folder: copy_folder(tmp_path / "from" / tiny.NAME, folder / tiny.NAME))


def everywhere() -> ModelProto:
    """Tensors at every place that may hold one, each in a file named after it."""

    def away(name: str) -> TensorProto:
        return beside(constant(name), name)

    value = helper.make_tensor_value_info
    output = [value("o", TensorProto.FLOAT, [1])]
    branch = helper.make_graph([helper.make_node("Identity", ["deep"], ["o"])], "b", [], output, [away("deep")])
    node = helper.make_node("Constant", [], ["c"], value=away("attribute"))
    several = AttributeProto(name="several", type=AttributeProto.TENSORS, tensors=[away("tensors")])
    graphs = AttributeProto(name="graphs", type=AttributeProto.GRAPHS, graphs=[branch])
    sparse = helper.make_sparse_tensor(away("sparse values"), helper.make_tensor("i", 7, [1], [0]), [1])
    node.attribute.extend([several, graphs, helper.make_attribute("sparse", sparse)])
    inner = helper.make_node("Constant", [], ["c"], value=away("function"))
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "F", [], ["c"], [inner], opsets)
    function.attribute_proto.append(helper.make_attribute("default", away("default")))
    choice = helper.make_node("If", ["x"], ["o"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node, choice], "g", [], output, [away("initializer"), constant("inside")])
    graph.sparse_initializer.append(helper.make_sparse_tensor(constant("v"), away("indices"), [1]))
    made: ModelProto = helper.make_model(graph, functions=[function], opset_imports=opsets)
    return made


def test_tensors_are_found_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(everywhere().SerializeToString())
    assert external_files(path) == (
        "attribute",
        "deep",
        "default",
        "function",
        "indices",
        "initializer",
        "sparse values",
        "tensors",
    )


def test_fields_have_the_numbers_of_the_standard() -> None:
    def leads_to(message: Any) -> dict[int, str]:
        return {
            field.number: field.message_type.name
            for field in message.DESCRIPTOR.fields
            if field.message_type is not None and (field.message_type.name in {*onnx_files.WAYS, "TensorProto"})
        }

    for name, ways in onnx_files.WAYS.items():
        assert leads_to(getattr(onnx, name)) == ways
    tensor, entry = TensorProto.DESCRIPTOR.fields_by_name, onnx.StringStringEntryProto.DESCRIPTOR.fields_by_name
    assert (tensor["external_data"].number, tensor["data_location"].number) == (13, 14)
    assert (onnx_files.EXTERNAL_DATA, onnx_files.DATA_LOCATION) == (13, 14)
    assert (entry["key"].number, entry["value"].number) == (onnx_files.KEY, onnx_files.VALUE)


@given(content=st.binary(max_size=200), at=st.integers(0, 400), cut=st.integers(0, 400))
def test_damaged_files_name_nothing_or_something_but_never_fail(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, cut: int
) -> None:
    whole = everywhere().SerializeToString()
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    for damaged in (content, whole[:cut], whole[:at] + content + whole[at:]):
        path.write_bytes(damaged)
        external_files(path)


def test_what_another_writer_put_in_between_hides_nothing(tmp_path: Path) -> None:
    """Unknown fields, groups among them, are passed over as protobuf does it; a message in two parts is one."""
    own = tiny.add_version(tmp_path, 1)
    weights_beside(own)
    plain = (own / "model.onnx").read_bytes()
    group, number, wide, narrow = (
        b"\xfb\x3f\x08\x01\xfc\x3f",
        b"\xf8\x3f\x01",
        b"\xf9\x3f" + b"\0" * 8,
        b"\xfd\x3f" + b"\0" * 4,
    )
    (own / "model.onnx").write_bytes(group + number + wide + narrow + plain + group)
    assert external_files(own / "model.onnx") == ("model.onnx.data",)
    OnnxEngine(own / "model.onnx")
