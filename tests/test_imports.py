"""Who may import whom: every file's imports against the table of CONTRIBUTING.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rsadapt

ROOT = Path(rsadapt.__file__).parent
HEAVY = {
    "PIL",
    "albumentations",
    "cv2",
    "dask",
    "distributed",
    "geopandas",
    "huggingface_hub",
    "jinja2",
    "lightning_fabric",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "rasterio",
    "rich",
    "safetensors",
    "scipy",
    "segmentation_models_pytorch",
    "shapely",
    "timm",
    "torch",
    "torchvision",
    "typer",
}

BELOW_BUILD = "errors progress processes classes config run geo sample nets data adapt infer report"

PARTS = {
    "errors": ("", ""),
    "progress": ("", ""),
    "whole": ("", ""),
    "processes": ("", ""),
    "classes": ("errors", ""),
    "config": ("errors", ""),
    "config.methods": ("errors adapt.method build.methods", ""),
    "run": ("errors whole", ""),
    "geo": ("errors classes", "rasterio geopandas scipy shapely"),
    "sample": ("errors geo.grid", "torch"),
    "nets": ("errors", "torch torchvision"),
    "nets.library": ("errors", "torch timm segmentation_models_pytorch"),
    "data": ("sample classes geo errors progress", "torch"),
    "data.augment": ("sample classes geo errors progress", "torch albumentations"),
    "data.images": ("sample classes geo errors progress", "PIL"),
    "adapt": ("sample errors processes whole", "torch lightning_fabric"),
    "infer": ("sample classes geo errors progress", "torch"),
    "infer.cluster": ("errors", "distributed"),
    "report": ("classes infer.metrics errors", "matplotlib"),
    "inspection": ("classes errors progress geo data report", ""),
    "inspection.page": ("classes report", "jinja2"),
    "build": (BELOW_BUILD, "torch lightning_fabric"),
    "build.encoder_weights": (f"{BELOW_BUILD} weights", "torch huggingface_hub"),
    "peak": ("", "torch"),
    "published": ("data.driving", ""),
    "tables": ("published", ""),
    "benchmark_rows": ("config errors study", ""),
    "weights": ("errors whole nets adapt.checkpoint", "torch safetensors"),
    "weights.onnx_file": ("errors nets", "torch onnx onnxruntime"),
    "checkpoints": ("errors whole run adapt.checkpoint", ""),
    "model": (f"{BELOW_BUILD} weights build checkpoints", "torch"),
    "mapping": (f"{BELOW_BUILD} build model", "torch"),
    "watching": ("adapt errors progress run", ""),
    "curves": (f"{BELOW_BUILD} model", "torch"),
    "scoring": (f"{BELOW_BUILD} build model", "torch"),
    "session": (
        f"{BELOW_BUILD} whole weights build checkpoints curves model watching peak scoring",
        "",
    ),
    "training": (f"{BELOW_BUILD} build checkpoints curves model session", ""),
    "translator": (f"{BELOW_BUILD} whole weights build checkpoints model watching", "torch"),
    "translated_scenes": (f"{BELOW_BUILD} build model mapping scoring translator", "torch"),
    "verbs.translate": (
        f"{BELOW_BUILD} whole build model translator translated_scenes",
        "",
    ),
    "study": (f"{BELOW_BUILD} build model training", "torch"),
    "verbs": (f"{BELOW_BUILD} weights build model mapping scoring training study", "torch"),
    "verbs.inspect": ("classes errors progress data build config inspection", ""),
    "benchmark_report": ("benchmark_rows published report run study tables", ""),
    "comparison": ("infer.validators run study", ""),
    "comparison_rows": ("build config errors study", ""),
    "comparison_report": (
        "benchmark_report comparison infer.validators report run study tables whole",
        "",
    ),
    "verbs.compare": (
        f"{BELOW_BUILD} build model study comparison_rows comparison_report",
        "torch",
    ),
    "verbs.benchmark": (
        f"{BELOW_BUILD} build model training study benchmark_rows benchmark_report",
        "",
    ),
    "verbs.train": (f"{BELOW_BUILD} build training study benchmark_rows", ""),
    "console": ("errors progress", "rich"),
    "cli": ("verbs console errors processes", "typer"),
    "__init__": ("verbs classes errors", ""),
    "__main__": ("cli", ""),
}
"""What each part, or single file, may import of the package beside itself, and of the heavy."""

FILES = sorted(ROOT.rglob("*.py"))


def name_of(file):
    """The dotted name of a file below the package; a folder's __init__ is the folder."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(file) for file in FILES}


def rule_of(name):
    return PARTS.get(name) or PARTS[name.split(".")[0]]


def imports(file):
    """Every name that a file imports, wherever in it, without the relative dots."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(file):
    """The modules of the package that a file imports, dotted below the package."""
    for name in imports(file):
        top, _, rest = name.partition(".")
        if top == "rsadapt" and rest:
            yield rest if rest in MODULES else rest.rpartition(".")[0] or rest


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_file_imports_what_the_table_allows(file):
    name = name_of(file)
    allowed, heavy = (words.split() for words in rule_of(name))
    allowed.append(name.split(".")[0])
    for other in within(file):
        assert any(f"{other}.".startswith(f"{part}.") for part in allowed), (
            f"{name} may not import {other}"
        )
    found = {imported.split(".")[0] for imported in imports(file)} & HEAVY
    assert found <= set(heavy), f"{name} may not import {found - set(heavy)}"


def test_no_circle():
    below = {name_of(file): set(within(file)) & MODULES for file in FILES}
    below = {name: {part for part in parts if part != name} for name, parts in below.items()}
    while below:
        free = [name for name, parts in below.items() if not parts & below.keys()]
        assert free, f"import circle among {sorted(below)}"
        for name in free:
            del below[name]


def test_every_file_opens_with_its_caption():
    for file in FILES:
        caption = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        assert caption, f"{file} has no caption"
        assert file.read_text(encoding="utf-8").startswith('"""'), file


@pytest.mark.parametrize("module", ["rsadapt", "rsadapt.config", "rsadapt.classes", "rsadapt.cli"])
def test_light_parts_load_nothing_heavy(module):
    heavy = HEAVY - {"typer", "rich"}
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {heavy!r}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
