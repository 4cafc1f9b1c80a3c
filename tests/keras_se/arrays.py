"""A model's weights as a file of weights has them."""


def named(model):
    """Map the path of each weight to its array."""
    return dict(zip((w.path for w in model.weights), model.get_weights(), strict=True))
