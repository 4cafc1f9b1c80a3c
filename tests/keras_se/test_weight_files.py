"""Weight files are read without running anything that is in them."""

import json
import pickle

import numpy as np
import pytest

from keras_se import weight_files


def test_a_pickle_inside_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **{"conv_conv/kernel": np.array([{}], object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        weight_files.read(tmp_path / "w.npz")


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"numpy\.savez"):
        weight_files.read(tmp_path / "w.txt")


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    text = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    # 1.0 is 0x3F800000 and -2.5 is 0xC0200000
    data = bytes.fromhex("803f20c0")
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    assert weight_files.read(path)["a"].tolist() == [1.0, -2.5]


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pkl"])
def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path, suffix):
    class Trap:
        def __reduce__(self):
            return (exit, ())

    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"(?s)weights_only=True.*save_file"):
        weight_files.read(path)


def test_safetensors_written_by_their_own_library_are_read(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.ones(4, "float16")}
    library.save_file(arrays, tmp_path / "w.safetensors")
    read = weight_files.read(tmp_path / "w.safetensors")
    assert {name: array.tolist() for name, array in read.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }


def test_a_cut_off_safetensors_is_refused(tmp_path):
    (tmp_path / "w.safetensors").write_bytes((1000).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="Fetch it again"):
        weight_files.read(tmp_path / "w.safetensors")


def test_h5_of_keras_2_is_read_by_layer_name(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:  # as tf.keras laid it out
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        group.create_dataset("conv/kernel:0", data=np.ones((1, 1, 2, 3)))
        group.create_dataset("conv/bias:0", data=np.zeros(3))
        file.attrs["layer_names"] = [b"conv"]
    read = weight_files.read(tmp_path / "w.h5")
    assert {name: array.shape for name, array in read.items()} == {
        "conv/kernel": (1, 1, 2, 3),
        "conv/bias": (3,),
    }


def test_h5_whose_lists_of_names_are_cut_in_pieces_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:  # HDF5 takes 64 kB an attribute
        for name in ("a", "b"):
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}_1/kernel:0".encode()]  # a second graph's
            group.create_dataset(f"{name}_1/kernel:0", data=np.ones((2, 3)))
        file["model_weights"].attrs["layer_names1"] = [b"b"]
        file["model_weights"].attrs["layer_names0"] = [b"a"]
    assert list(weight_files.read(tmp_path / "w.h5")) == ["a/kernel", "b/kernel"]
