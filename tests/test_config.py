"""The configuration: strict, and plain about what is wrong."""

import json

import pytest

from rsadapt.config import assign, dump, load_yaml, parse, recipe
from rsadapt.errors import ConfigError, MissingFileError


def changed(values, assignment):
    return parse(assign(values, [assignment]), where="run.yaml")


def test_what_is_written_out_reads_back_the_same(values, tmp_path):
    settings = parse(values, where="run.yaml")
    (tmp_path / "run.yaml").write_text(dump(settings))
    again = parse(load_yaml(tmp_path / "run.yaml"), where="run.yaml")
    assert again == settings
    assert dump(again) == dump(settings)


def test_label_ids_read_back_from_json(values):
    settings = changed(values, "source.label_ids={4: 1, -2: 0}")
    assert settings.source.label_ids == {4: 1, -2: 0}
    again = json.loads(json.dumps(settings.model_dump()))
    assert parse(again, where="checkpoint") == settings


def test_shipped_recipe_is_whole():
    settings = parse(load_yaml(recipe("demo")), where="demo")
    assert settings.method.name == "output_space"


def test_unknown_recipe_lists_the_known():
    with pytest.raises(MissingFileError, match=r"'nothing'; there are .*demo"):
        recipe("nothing")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.step=5", r"unknown key 'training\.step'; did you mean 'steps'\?"),
        ("metod=5", r"unknown key 'metod'; did you mean 'method'\?"),
        ("source.validation.sides=east", r"'source\.validation\.sides'; did you mean 'side'\?"),
        ("method.adversary=[0, 0]", r"'method\.adversary'; did you mean 'adversarial'\?"),
        ("qqqqqqq=1", "unknown key 'qqqqqqq'$"),
        ("method.name=cyclegan", r"method.*cyclegan"),
        ("method={name: [x]}", r"'method\.name': expected source_only, .*found \['x'\]"),
        ("source.border=[1, a]", r"'source\.border': .*white, black, null or a list of numbers"),
        ("source.border=blue", r"'source\.border': .*a list of numbers, one a band, found 'blue'$"),
        ("source.border_tolerance=-1", r"'source\.border_tolerance': .*greater than or equal to 0"),
        ("source.label_ids={a: 1}", r"'source\.label_ids\.a.*valid integer, found 'a'"),
        ("target.pixel=0", r"'target\.pixel': .*greater than 0, found 0"),
        ("target.resampling=linear", r"'target\.resampling': .*'bilinear'.*found 'linear'"),
        ("target.pixels=0.3", r"'target\.pixels'; did you mean 'pixel'\?"),
        ("training.steps=many", r"'training\.steps': .*integer, found 'many'"),
        ("training.steps=2.5", r"'training\.steps': .*integer, found 2\.5"),
        ("training.steps=true", r"'training\.steps': .*integer, found True"),
        ("network.encoder=vit", r"'network\.encoder': .*small.*found 'vit'"),
        ("source.validation.share=1.0", r"'source\.validation\.share': .*less than 1"),
        (
            "source.validation.blocks=8",
            r"'source\.validation\.blocks': .*greater than or equal to 16",
        ),
        ("source.validation={blocks: 32, buffer: 32}", r"buffer must be smaller than validation"),
        ("training.augment=[colour]", r"'training\.augment\.0': .*'band_scale'.*found 'colour'"),
        (
            "training.augment_strength.scale=0.5",
            r"'training\.augment_strength\.scale': .*equal to 1",
        ),
        ("training.augment_strength.blurr=1", r"augment_strength\.blurr'; did you mean 'blur'\?"),
        ("training.sampling=rarity", r"'training\.sampling': .*'class_rarity'.*found 'rarity'"),
        ("training.rarity_temperature=0", r"'training\.rarity_temperature': .*greater than 0"),
        ("source.scenes=[]", r"'source': name the files .* either by 'scenes' or by 'band_files'"),
        ("network.levels=1", r"method\.segmentation has 2 weights and network\.levels is 1"),
        ("method.adversarial=[0.1]", r"method\.adversarial has 1 weights"),
        ("prediction.overlap=64", r"prediction\.overlap must be smaller"),
        ("training.horizon=2", r"training\.horizon must be at least"),
        ("normalisation.men=[1]", r"'normalisation\.men'; did you mean 'mean'\?"),
        ("target.evaluation_size.heigth=1", r"unknown key 'target\.evaluation_size'"),
        ("output_space.levels=1", r"unknown key 'output_space'"),
        ("method.output_space=1", r"unknown key 'method\.output_space'"),
        ("optimiser.rate=.inf", r"'optimiser\.rate': .*finite number, found inf"),
        ("source.polygons.fields=kind", r"'source\.polygons\.fields'; did you mean 'field'\?"),
        ("source.polygons.field=kind", r"polygons\.field and polygons\.ids need each other"),
        ("source.polygons.inside=-1", r"polygons: label ids are 0 or greater"),
        ("prepared=cache", r"prepared: .*not GeoTIFF regions"),
        ("optimiser={name: adamw, nesterov: true}", r"nesterov needs SGD"),
        ("optimiser={nesterov: true, momentum: 0.0}", r"nesterov needs SGD"),
        ("network={batch_norm: frozen, batch_norm_sync: true}", r"batch_norm_sync: no batch norm"),
    ],
)
def test_mistakes_are_named(values, assignment, message):
    with pytest.raises(ConfigError, match=rf"^run\.yaml: .*{message}"):
        changed(values, assignment)


def test_compiled_networks_recompute_nothing(values):
    values["device"] = {"compile": True}
    with pytest.raises(ConfigError, match=r"recompute and device\.compile do not go together"):
        changed(values, "training.recompute=true")


def test_adapted_batch_norm_needs_statistics_of_its_own(values):
    values["method"] = {"name": "adapted_batch_norm"}
    assert changed(values, "network.batch_norm=per_domain").method.name == "adapted_batch_norm"
    with pytest.raises(ConfigError, match=r"needs network\.batch_norm: per_domain"):
        changed(values, "network.batch_norm=both")
    with pytest.raises(ConfigError, match=r"vgg16 has no batch norm to adapt"):
        changed(values, "network={encoder: vgg16, levels: 1, batch_norm: per_domain}")


def test_unknown_keys_are_named_in_every_group_of_a_driving_recipe():
    values = load_yaml(recipe("gta5-cityscapes"))
    groups = [key for key, value in values.items() if isinstance(value, dict)]
    for group in [*groups, "target.size"]:
        with pytest.raises(ConfigError, match=rf"unknown key '{group}\.qqqq'"):
            changed(values, f"{group}.qqqq=1")
    with pytest.raises(ConfigError, match=r"'target\.evaluation_size\.heigth'; did you mean 'h"):
        changed(values, "target.evaluation_size={height: 32, width: 32, heigth: 3}")


def test_every_mistake_is_named_at_once(values):
    del values["target"]
    values["classes"][1]["colour"] = "green"
    values["classes"][2]["color"] = "#000000"
    with pytest.raises(ConfigError) as caught:
        parse(values, where="run.yaml")
    text = str(caught.value)
    for part in ("'target' is missing", "'classes.1.colour': ", "key 'classes.2.color'; did you"):
        assert part in text


def test_assignments_reach_into_groups_and_leave_the_original(values):
    before = repr(values)
    out = assign(values, ["training.steps=7", "optimiser.rate=0.5", "source.labels=[a, b]"])
    assert (out["training"]["steps"], out["training"]["tile"]) == (7, 64)
    assert out["optimiser"] == {"rate": 0.5}
    assert out["source"]["labels"] == ["a", "b"]
    assert repr(values) == before


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.steps", "expected key=value"),
        ("=5", "expected key=value"),
        ("seed=[1", "not valid YAML"),
        ("training={steps: 1, steps: 2}", r"not valid YAML \(found 'steps' a second time\)"),
        ("root.deeper=1", "'root' is a value"),
    ],
)
def test_assignments_that_cannot_be_meant(values, assignment, message):
    with pytest.raises(ConfigError, match=message):
        assign(values, [assignment])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [1", "not valid YAML"),
        (b"a: {b: 1}\nc: 2\na:\n  b: 3\n", "found 'a' a second time in .*line 3"),
        (b"- a\n- b", "found list"),
        (b"", "found NoneType"),
        (b"\xff\xfe\x00", "not a readable text file"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    (tmp_path / "run.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=rf"run\.yaml: .*{message}"):
        load_yaml(tmp_path / "run.yaml")


def test_missing_file(tmp_path):
    with pytest.raises(MissingFileError, match=r"run\.yaml: no such configuration"):
        load_yaml(tmp_path / "run.yaml")


def test_a_merged_key_may_be_given_anew(tmp_path):
    (tmp_path / "rows.yaml").write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n")
    assert load_yaml(tmp_path / "rows.yaml")["d"] == {"b": 3, "c": 2}
