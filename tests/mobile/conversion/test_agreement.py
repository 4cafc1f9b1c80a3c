from mobile.conversion.agreement import Agreement, Blame


def test_agreement_goes_to_json_and_prints():
    agreement = Agreement(
        images=8,
        top1_agreement=0.875,
        worst_abs=0.25,
        mean_abs=0.01,
        accuracy={"keras": 1.0, "tflite": 0.875},
        blame=(Blame("conv", 0.1, 0.01, 20.0, "first to part"),),
        pitfalls=("The gate saturates.",),
    )
    assert Agreement.from_json(agreement.to_json()) == agreement
    text = str(agreement)
    assert "87.5%" in text and "first to part" in text and "! The gate saturates." in text
