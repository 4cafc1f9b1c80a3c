def test_lint_is_strict_on_demand(folder, capsys, run):
    target = folder / "lint.tflite"
    assert run("convert", folder / "model.keras", target, "--scheme", "float32") == 0
    assert run("lint", target, "--target", "ethos-u") == 0  # float operators leave an NPU
    assert run("lint", target, "--target", "ethos-u", "--strict") == 1
    assert "leave" in capsys.readouterr().out


def test_unknown_accelerator_names_the_known_ones(folder, fails, run):
    target = folder / "lint2.tflite"
    assert run("convert", folder / "model.keras", target, "--scheme", "float32") == 0
    assert "xnnpack, gpu" in fails("lint", target, "--target", "toaster")
    assert "nowhere" in fails("lint", "nowhere.tflite")
