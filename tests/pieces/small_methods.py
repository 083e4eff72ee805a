"""Every method as small as tests need it, with settings as a configuration gives them."""

from dataclasses import fields

from rsadapt.build.methods import METHODS

SMALL = {"discriminator_width": 4}
"""Of the fields that make a method's own networks large."""


def small(name):
    """The settings of a method."""
    own = {field.name for field in fields(METHODS[name])}
    return {"name": name} | {key: value for key, value in SMALL.items() if key in own}
