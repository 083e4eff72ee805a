"""rsadapt: make a segmentation network that was trained where labels exist work where none do.

The verbs of the command line as functions, and the few types they are about. Each is loaded when it
is first asked for, so that importing the package stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsadapt.classes import ClassScheme
    from rsadapt.errors import RsadaptError
    from rsadapt.verbs.assess import assess
    from rsadapt.verbs.benchmark import benchmark
    from rsadapt.verbs.check import check
    from rsadapt.verbs.compare import compare
    from rsadapt.verbs.demo import demo
    from rsadapt.verbs.draw_sample import draw_sample
    from rsadapt.verbs.evaluate import evaluate, evaluate_maps
    from rsadapt.verbs.export import export
    from rsadapt.verbs.export_weights import export_weights
    from rsadapt.verbs.init import init
    from rsadapt.verbs.inspect import inspect
    from rsadapt.verbs.plan import plan
    from rsadapt.verbs.polygonize import polygonize
    from rsadapt.verbs.predict import predict
    from rsadapt.verbs.prepare import prepare
    from rsadapt.verbs.train import train
    from rsadapt.verbs.translate import translate

__all__ = [
    "ClassScheme",
    "RsadaptError",
    "assess",
    "benchmark",
    "check",
    "compare",
    "demo",
    "draw_sample",
    "evaluate",
    "evaluate_maps",
    "export",
    "export_weights",
    "init",
    "inspect",
    "plan",
    "polygonize",
    "predict",
    "prepare",
    "train",
    "translate",
]

_HOMES = {
    "ClassScheme": "rsadapt.classes",
    "RsadaptError": "rsadapt.errors",
    "assess": "rsadapt.verbs.assess",
    "benchmark": "rsadapt.verbs.benchmark",
    "check": "rsadapt.verbs.check",
    "compare": "rsadapt.verbs.compare",
    "demo": "rsadapt.verbs.demo",
    "draw_sample": "rsadapt.verbs.draw_sample",
    "evaluate": "rsadapt.verbs.evaluate",
    "evaluate_maps": "rsadapt.verbs.evaluate",
    "export": "rsadapt.verbs.export",
    "export_weights": "rsadapt.verbs.export_weights",
    "init": "rsadapt.verbs.init",
    "inspect": "rsadapt.verbs.inspect",
    "plan": "rsadapt.verbs.plan",
    "polygonize": "rsadapt.verbs.polygonize",
    "predict": "rsadapt.verbs.predict",
    "prepare": "rsadapt.verbs.prepare",
    "train": "rsadapt.verbs.train",
    "translate": "rsadapt.verbs.translate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rsadapt' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
