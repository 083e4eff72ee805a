"""The fields of a configuration: typed, strict, one for every choice."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rsadapt.config.encoders import encoder_family, has_batch_norm, known_encoder, least_side
from rsadapt.config.methods import STRICT, Method, method_group, read_method
from rsadapt.errors import ConfigError

Pyramid = Literal["all", "first_two"]

HexColour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
"""As "#rrggbb"."""


def _label_id(value: Any) -> Any:
    """A label id that is a key: in the JSON of a checkpoint it is text."""
    return int(value) if isinstance(value, str) and value.removeprefix("-").isdecimal() else value


def _border(value: Any) -> Any:
    """A border's colour, with one sentence for all that it cannot be."""
    numbers = isinstance(value, list) and all(type(one) in (int, float) for one in value)
    if not numbers and value not in ("white", "black", None):
        raise ValueError("input should be white, black, null or a list of numbers, one a band")
    return value


def _whether_or_file(value: Any) -> Any:
    """Weights to start from, with one sentence for all that they cannot be."""
    if not isinstance(value, (bool, str)) or value == "":
        raise ValueError("input should be true, false or a file")
    return value


class Settings(BaseModel):
    """A group of fields; unknown ones are refused."""

    model_config = STRICT


class ClassSettings(Settings):
    """One class of the class table."""

    name: str
    id: int | list[int]
    """Raw label id, or several; the first is the class's code in maps (0..254)."""
    colour: HexColour


class SplitSettings(Settings):
    """What a region is scored on: one side of a straight line, square blocks, or other scenes."""

    side: Literal["north", "south", "east", "west"] = "east"
    """Where validation lies, seen from the line; of no matter where there are `blocks`."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the region's pixels; 0 keeps none."""
    blocks: Annotated[int, Field(ge=16)] | None = None
    """Side in pixels of square blocks on the ground that are shared out, well spread, instead of
    cutting at a line. A training window lies in blocks of training wholly: choose several times
    `training.tile`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides which blocks; of its own, so that runs of several seeds are scored alike."""
    buffer: Annotated[int, Field(ge=0)] = 0
    """Pixels between the parts that are of neither, taken from training."""
    scenes: list[str] = []
    """Scenes of their own to score on, named as a region's are; all others are trained on."""
    labels: list[str] = []
    """Their labels."""
    listed: list[str] = []
    """As a region's `listed`, for them."""

    @model_validator(mode="after")
    def _narrow_buffer(self) -> SplitSettings:
        if self.blocks is not None and self.buffer >= self.blocks:
            raise ValueError("validation.buffer must be smaller than validation.blocks")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> SplitSettings:
        """Refuse a line, or what else cuts a region, beside scenes of their own."""
        own = {"scenes", "labels", "listed"}
        cuts = [
            name
            for name, field in type(self).model_fields.items()
            if name not in own and getattr(self, name) != field.default
        ]
        if self.scenes and cuts:
            raise ValueError(
                f"validation.scenes and validation.{cuts[0]} exclude each other; give one"
            )
        if not self.scenes and (self.labels or self.listed):
            raise ValueError("validation.labels and validation.listed need validation.scenes")
        return self


class PolygonSettings(Settings):
    """Which label ids features of vector files are drawn with; points and lines count too."""

    field: str | None = None
    """The field that tells a feature's class; all are `inside` unless given."""
    ids: dict[str, int] = {}
    """Label id of each value of `field`; where features overlap, later values lie over earlier."""
    inside: int = 1
    """Label id of features where no field tells their class."""
    outside: int | None = 0
    """Label id where no feature lies; null leaves those pixels unlabelled."""
    radius: Annotated[float, Field(ge=0)] = 0.0
    """Metres on the ground about a point that it labels too; 0 for the pixel that it lies in."""
    layer: str | None = None
    """Of the files, where they have several; their first unless given."""

    @model_validator(mode="after")
    def _consistent(self) -> PolygonSettings:
        if (self.field is None) == bool(self.ids):
            raise ValueError("polygons.field and polygons.ids need each other")
        if min([self.inside, self.outside or 0, *self.ids.values()]) < 0:
            raise ValueError("polygons: label ids are 0 or greater")
        return self


class RegionSettings(Settings):
    """Where the scenes of one region lie."""

    folder: str = "."
    """What the region's files are relative to; itself relative to `root`."""
    scenes: list[str] = []
    """Files, glob patterns or folders, relative to `folder`; addresses (https://, s3://, gs://,
    az://); or an index of these: a CSV table or vector file with a column such as location, or a
    STAC item, whose assets may be files of one band."""
    band_files: dict[str, str] = {}
    """In place of `scenes`, where every band has a file of its own: a pattern for each band, by the
    name that `bands` then chooses it by. The wildcards must stand for the same in all, as in
    {red: "s2/*_B04.jp2", nir: "s2/*_B08.jp2"}. Bands are brought to the grid of the finest."""
    listed: list[str] = []
    """Text files that list the scenes to use among these, a file name a line, with its ending or
    without; all are used unless given."""
    labels: list[str] = []
    """Label rasters, warped onto their scenes where they lie on other grids; none for an unlabelled
    region. `s1.tif` is paired with `s1.tif` or `s1_label.tif`; where names do not tell, labels
    stand in the order of the scenes. Or vector files, drawn on every scene that they lie in."""
    label_colours: dict[HexColour, Annotated[int, Field(ge=0)]] = {}
    """Label id of each colour, as "#rrggbb", of label rasters that hold red, green and blue."""
    polygons: PolygonSettings = PolygonSettings()
    label_ids: dict[Annotated[int, BeforeValidator(_label_id)], int] = {}
    """Ids of the class table for ids of this region's labels; those not listed stay as they are."""
    ignore: list[str] = []
    """Vector files in any CRS: inside their features labels do not count; imagery does."""
    area: list[str] = []
    """Vector files in any CRS: only what lies inside their features is used; all unless given."""
    border: Annotated[Literal["white", "black"] | list[float] | None, BeforeValidator(_border)] = (
        None
    )
    """Colour of borders without data that scenes do not flag, or a number for each band in the
    raster's units: what has it and is connected with a scene's edge is invalid. White is the
    greatest value of an integer type."""
    border_tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far a border may be from its colour, in the raster's units; 12 for 8 bits, since JPEG
    changes it, and 0 for others unless given."""
    bands: Annotated[list[int | str], Field(min_length=1)] | None = None
    """Bands to use, by 1-based number or by name (a band's description, or its colour such as red),
    where regions order theirs differently; the configuration's `bands` unless given."""
    assumed_crs: str | None = None
    """CRS of files that say how large a pixel is and where, but in no CRS (`.tfw` beside them)."""
    assumed_pixel: Annotated[float, Field(gt=0)] | None = None
    """Metres on the ground of a pixel of scenes that say nothing of their place (PNG); they get a
    size by it, so that `pixel` can change it, and no place: maps of them never have one."""
    crs: str | None = None
    """CRS to bring scenes to, as "EPSG:32636"; by default their projection, else UTM; "own" leaves
    each scene in its own, for regions that span the world and need no common grid."""
    pixel: Annotated[float, Field(gt=0)] | None = None
    """Metres on the ground of a pixel to bring scenes to; the coarsest's where they differ."""
    resampling: Literal["nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average"] = (
        "bilinear"
    )
    """How imagery is brought there, where it is: as GDAL names it."""
    damaged: Literal["refuse", "leave_out"] = "refuse"
    """Whether a scene that cannot be read to its end is an error, or left out with a warning that
    counts them; every pixel is read for that."""
    validation: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _consistent(self) -> RegionSettings:
        if self.assumed_pixel is not None and self.crs not in (None, "own"):
            raise ValueError("assumed_pixel gives scenes no place, so crs cannot be brought about")
        self._check_named()
        return self

    def _check_named(self) -> None:
        if bool(self.scenes) == bool(self.band_files):
            raise ValueError("name the files of a region either by 'scenes' or by 'band_files'")


class SizeSettings(Settings):
    """Of an image, in pixels."""

    height: Annotated[int, Field(ge=16)]
    width: Annotated[int, Field(ge=16)]


class FolderSettings(Settings):
    """A driving data set in its official folder layout, one image a frame."""

    dataset: Literal["gta5", "synthia", "cityscapes", "crosscity", "synscapes"]
    folder: str | None = None
    """Where it was unpacked, relative to `root`; its usual name unless given."""
    city: str | None = None
    """Of crosscity: Rome, Rio, Tokyo or Taipei."""
    split: str
    """The split to train on, as the data set names it."""
    validation_split: str | None = None
    """The labelled split to score on; none is scored unless given."""
    size: SizeSettings
    """What images and labels are resized to for training."""
    evaluation_size: SizeSettings | None = None
    """What images are resized to for scoring, against labels of full size; `size` unless given."""


def _kind(region: Any) -> str:
    """Which kind of region values describe: image folders name their data set."""
    named = "dataset" in region if isinstance(region, dict) else hasattr(region, "dataset")
    return "image_folder" if named else "geotiff_region"


DomainSettings = Annotated[
    Annotated[RegionSettings, Tag("geotiff_region")]
    | Annotated[FolderSettings, Tag("image_folder")],
    Discriminator(_kind),
]
DOMAIN_GROUPS: dict[str, type[Settings]] = {
    "geotiff_region": RegionSettings,
    "image_folder": FolderSettings,
}


class NormalisationSettings(Settings):
    """Given numbers to standardise images with, one a band, in the order of `bands`."""

    mean: list[float]
    std: list[Annotated[float, Field(gt=0)]]


class StatisticsSettings(Settings):
    """What the statistics of a domain's bands are taken of."""

    pixels: Annotated[int, Field(ge=1)] | None = None
    """About how many pixels of each domain to look at, in whole blocks or frames spread evenly, the
    same every time; all pixels unless given, and of image folders those of at most 200 frames.
    Reports say what share it was."""


class NetworkSettings(Settings):
    """The segmentation network."""

    encoder: Annotated[str, AfterValidator(known_encoder)] = "resnet18"
    """small, resnet18, resnet34, resnet50, resnet101 or vgg16; with the extra `networks` mit_b0 to
    mit_b5 (SegFormer's, of segmentation-models-pytorch; NVIDIA's licence allows no commercial use)
    and kinds of timm's by "tu-" and its name, such as tu-convnext_tiny, see
    `rsadapt.config.encoders`. A dot and the name of weights may follow: tu-convnext_tiny.in12k."""
    layout: Literal["torchvision", "published"] = "torchvision"
    """Of a ResNet: "published" reduces in a bottleneck's first 1x1 convolution and rounds the
    max-pool's size up, as the weights published for AdaptSegNet expect."""
    levels: Annotated[int, Field(ge=1, le=3)] = 2
    """Classifiers, on the last stages of the encoder; every encoder has three at its stride, or
    brings them there."""
    decoder: Literal["pyramid", "mlp"] = "pyramid"
    """What classifies: DeepLab's atrous pyramids; or SegFormer's decoder, which fuses all stages at
    a stride of 4 (levels before the main one see fewer), for encoders of the extra `networks`; it
    has no use for `rates` and `pyramid`."""
    decoder_width: Annotated[int, Field(ge=1)] = 256
    """Channels that mlp fuses stages into; SegFormer takes 256 for b0 and b1, else 768."""
    rates: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [6, 12, 18, 24]
    """Dilations of the classifiers' branches, in cells."""
    pyramid: Pyramid = "all"
    """Which branches are summed; the published multi-level and VGG networks leave the last two of
    four unused."""
    pretrained: Annotated[bool | str, BeforeValidator(_whether_or_file)] = False
    """Start the encoder from its library's ImageNet weights (downloaded, or from its cache); or, of
    the extra `networks`, from a file of them, relative to the configuration's folder."""
    upsampling: Literal["cells", "corners"] = "cells"
    """Where logits lie: at their cells' true places, or stretched to the corners as published."""
    batch_norm: Literal["both", "source", "per_domain", "frozen"] = "both"
    """Which batches move the running statistics: see `rsadapt.adapt.batch_norm`."""
    batch_norm_affine: Literal["trained", "frozen"] = "trained"
    """Whether the encoder's batch-norm scales and shifts learn; the published ones do not."""
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Weight of a new batch in the running statistics; small windows want a smaller one."""
    batch_norm_sync: bool = False
    """Of several processes: normalise a training batch by those of all, and not by its own."""

    @model_validator(mode="after")
    def _of_a_library(self) -> NetworkSettings:
        if encoder_family(self.encoder) is not None:
            return self
        if isinstance(self.pretrained, str):
            raise ValueError(
                f"network.pretrained: files are for encoders of the extra 'networks'; of "
                f"{self.encoder} choose true or false, or name the file by init_from"
            )
        if self.decoder == "mlp":
            raise ValueError(
                f"network.decoder: mlp fuses the stages of encoders of the extra 'networks', such "
                f"as mit_b0; the last of {self.encoder} are of one stride; choose pyramid"
            )
        return self


def _method(value: Any) -> Method:
    """Read a method's settings; what is wrong with them becomes one fault of the configuration."""
    try:
        return read_method(value)
    except ConfigError as error:
        raise PydanticCustomError("sentence", "{words}", {"words": str(error)}) from error
    except ValidationError as error:
        faults = {"faults": error.errors(), "group": method_group(value["name"])}
        raise PydanticCustomError("settings", "wrong settings", faults) from error


def _given(method: Method) -> dict[str, Any]:
    return method.settings()


Scope = Literal["sample", "domain"]
"""Whether a sample is matched with one sample of the target, drawn for it, so that every sample is
changed otherwise; or one change, which matches all of the source with all of the target (64 samples
of each), is that of all samples."""


Styled = Annotated[float, Field(gt=0, le=1)]
"""The share of the source's samples that are changed, drawn by (seed, number)."""


class HistogramSettings(Settings):
    """Each band gets the target's distribution of values."""

    name: Literal["histogram"]
    scope: Scope = "sample"
    share: Styled = 1.0


class ReinhardSettings(Settings):
    """Bands get the target's moments (Reinhard et al. 2001)."""

    name: Literal["reinhard"]
    scope: Scope = "sample"
    share: Styled = 1.0
    match: Literal["bands", "covariance"] = "bands"
    """The mean and standard deviation of each band, or means and covariances of all together."""


class FdaSettings(Settings):
    """Low frequencies get the target sample's amplitudes (Yang and Soatto 2020)."""

    name: Literal["fda"]
    beta: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Half the width of the window of low frequencies, as a share of an image's shorter side,
    rounded down to whole ones; the mean is always in it. Published are 0.01, 0.05 and 0.09."""
    share: Styled = 1.0


StyleSettings = HistogramSettings | ReinhardSettings | FdaSettings

GROUPS = DOMAIN_GROUPS | {
    "histogram": HistogramSettings,
    "reinhard": ReinhardSettings,
    "fda": FdaSettings,
}
"""What pydantic calls the members of unions, in the places it reports."""
UNIONS = ("source", "target", "style")
"""The fields that are unions."""


class OptimiserSettings(Settings):
    """The segmentation network's optimiser."""

    name: Literal["sgd", "adamw"] = "sgd"
    rate: Annotated[float, Field(ge=0)] = 2.5e-4
    """Learning rate of the encoder."""
    head_factor: Annotated[float, Field(ge=0)] = 10.0
    """The classifiers learn this many times faster."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD."""
    nesterov: bool = False
    updates: Literal["once", "repeated", "repeated_2018"] = "once"
    """How often SGD walks over a ResNet's convolutions in a step: "repeated" as often as modules
    contain them, as the published code does under PyTorch 2 (the stem's once, a bottleneck's three
    times, a downsample's four times); "repeated_2018" as under the PyTorch of its time, which
    treats the very first step otherwise. See `rsadapt.adapt.sgd`."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    power: Annotated[float, Field(ge=0)] = 0.9
    """Of the schedule (1 - step / horizon) ** power; 0 keeps the rate."""
    warm_up: Annotated[int, Field(ge=0)] = 0
    """First steps in which the rate rises linearly, on top of that schedule."""


class StrengthSettings(Settings):
    """How far augmentations go at most; how far each goes is drawn anew for every sample."""

    rotate: Annotated[float, Field(ge=0, le=180)] = 180.0
    """Degrees to either side."""
    scale: Annotated[float, Field(ge=1)] = 1.25
    """Factor by which windows are magnified or shrunk."""
    brightness: Annotated[float, Field(ge=0)] = 0.3
    """Added to all bands, in standard deviations."""
    contrast: Annotated[float, Field(ge=0)] = 0.3
    """0.3 multiplies distances from the window's mean by 1 / 1.3 to 1.3."""
    band_scale: Annotated[float, Field(ge=0)] = 0.2
    """The same for each band by itself, about the region's mean."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation, in those of a band."""
    blur: Annotated[float, Field(ge=0)] = 1.0
    """Standard deviation of the Gaussian, pixels."""


class TrainingSettings(Settings):
    """How long and on what to train."""

    steps: Annotated[int, Field(ge=1)] = 20_000
    horizon: Annotated[int, Field(ge=1)] | None = None
    """Step at which the learning rate would reach zero; `steps` unless given."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Windows of each domain in a step and process: N processes learn from N times as many."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose mean gradient makes one step, as the published code has it: each counts alike,
    however many of its pixels are labelled. It takes the memory of one batch and of the gradients;
    batch norm sees one at a time."""
    tile: Annotated[int, Field(ge=8)] = 256
    """Height and width of a training window, pixels."""
    recompute: bool = False
    """Whether the encoder's blocks run again where gradients are taken instead of keeping what lies
    within them ("activation checkpointing"): less memory, more time, equal results. On the CPU the
    process also gives large freed tensors back to the system, see `rsadapt.build.heap`."""
    sampling: Literal["uniform", "class_rarity", "label_presence"] = "uniform"
    """Where windows of the labelled source lie: anywhere; at pixels of a class that is drawn the
    more often the rarer it is (DAFormer); or at labelled pixels, of which each is as likely. The
    target's lie anywhere."""
    rarity_temperature: Annotated[float, Field(gt=0)] = 0.01
    """Of class_rarity: a class of share f is drawn in proportion to exp((1 - f) / temperature).
    The published 0.01 hardly draws a class that has more than a tenth of the pixels; a greater one
    draws classes more evenly."""
    augment: list[
        Literal[
            "dihedral",
            "flip",
            "rotate",
            "scale",
            "brightness",
            "contrast",
            "band_scale",
            "noise",
            "blur",
        ]
    ] = ["dihedral"]
    """In order, on standardised images: see `rsadapt.data.augment`. Frames of image folders have an
    up and a down and bear no "dihedral" or "rotate"; theirs is [] unless given."""
    augment_strength: StrengthSettings = StrengthSettings()
    least_valid: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of valid pixels a training window should have."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read ahead, for each domain; 0 reads in the training process. auto reads there
    for the first steps, then starts as many as keep a step from waiting, if there is room."""
    scratch: Annotated[float, Field(ge=0)] = 8.0
    """Gigabytes of the run's disk, for each domain and process, in which decoded scenes are kept
    while training runs, so that no window decodes them anew; never more than half of what is free.
    0 for none."""
    log_every: Annotated[int, Field(ge=1)] = 10
    validate_every: Annotated[int, Field(ge=0)] = 0
    """Steps between validations; 0 validates at the end only."""
    validators: Annotated[int, Field(ge=0)] = 16
    """Windows of the target, or frames, that validators without labels look at in every validation,
    each in two passes of the network; 0 for none. See `rsadapt.infer.validators`."""
    save_every: Annotated[int, Field(ge=0)] = 500
    """Steps between checkpoints; 0 saves at the end only."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Checkpoints that a run keeps: the newest, and those before it should that be damaged."""
    keep_every: Annotated[int, Field(ge=0)] = 0
    """Keep the checkpoints of steps that this divides for good, too; a multiple of save_every, 0
    for none."""
    tensorboard: bool = False
    """Write curves, and at every validation example tiles, to the run's folder `tensorboard`."""

    @model_validator(mode="after")
    def _keep_what_is_saved(self) -> TrainingSettings:
        if self.keep_every and (not self.save_every or self.keep_every % self.save_every):
            raise ValueError(
                f"training.keep_every is {self.keep_every} and training.save_every "
                f"{self.save_every}; keep a multiple of what is saved"
            )
        return self


class PredictionSettings(Settings):
    """How scenes are cut up to be predicted and evaluated."""

    tile: Annotated[int, Field(ge=16)] = 1024
    """Height and width of what the network sees at once, pixels; smaller ones need less memory."""
    overlap: Annotated[int, Field(ge=0)] = 192
    """Pixels that neighbouring tiles both see. With 192 a network that was trained as far as it
    sees changes no more pixels along the borders of tiles than elsewhere (128: twice as many;
    `benchmarks/prediction.py seams`)."""
    blending: Literal["hann", "crop"] = "hann"
    """How tiles share their overlap: see `rsadapt.infer.tiling.spans`."""
    turns: Literal["none", "flips", "dihedral"] = "none"
    """Whether the network also sees each tile turned, and its answers are averaged."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Another one than `device.precision`, whose meaning it has, for a run in any of the three:
    such as float32 for one that a GPU trained in float16 and that is used on a CPU."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Tiles at once. Unless given 1 on the CPU, where a ResNet-18 takes 16 % longer in batches of
    4, and 4 elsewhere."""

    def batch_on(self, device: str) -> int:
        """Tiles at once on a type of device, such as "cpu"."""
        return self.batch_size or (1 if device == "cpu" else 4)

    def check_precision(self, device: DeviceSettings) -> None:
        """Refuse another precision of a run whose parameters or process are of a type of its own.

        Raises:
            ConfigError: with the cure.
        """
        if self.precision is not None and device.precision in ("64-true", "tf32"):
            raise ConfigError(
                f"prediction.precision: a run in {device.precision} predicts in that; leave it out"
            )


class DeviceSettings(Settings):
    """Where and how precisely to compute, as Lightning Fabric names it."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["64-true", "32-true", "tf32", "bf16-mixed", "16-mixed"] = "32-true"
    """"32-true" is float32 with TF32 off everywhere, in cuDNN's convolutions too, where PyTorch has
    it on; "tf32" is float32 whose matrix products and convolutions NVIDIA GPUs from Ampere on round
    to 10 bits, and the same as "32-true" elsewhere. The mixed ones run networks and discriminators
    in bfloat16, or in float16 with scaled gradients; parameters, statistics, up-sampling and losses
    stay in float32. Evaluation and prediction do as training did, see `prediction.precision`."""
    deterministic: bool = False
    """Whether a GPU takes only algorithms that give the same numbers every time, where PyTorch has
    them; it warns where not. Slower. Otherwise cuDNN tries which are fastest. The CPU repeats its
    numbers either way."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Of the CPU; PyTorch's choice unless given. Small networks want one: more gain little, change
    the last digits, and wait for one another where the machine is busy."""
    channels_last: bool | None = None
    """Whether networks keep the channels of a cell side by side; rounding differs. Unless given so
    on the CPU in float32, where a ResNet's step may take some per cent less for it, and on GPUs
    where they compute in half precision."""
    compile: bool = False
    """Whether PyTorch compiles networks and discriminators, which takes minutes at the start. It
    needs a C++ compiler; results differ in their last digits."""


class AppearanceSettings(Settings):
    """FCAN's appearance adaptation: see `rsadapt.adapt.appearance`."""

    weights: str | None = None
    """The frozen network: a run or its checkpoint, whose encoder is taken, or a weight file
    (torchvision's, of the encoder that `network` names); relative to the configuration's folder."""
    windows: Annotated[int, Field(ge=1)] = 64
    """Windows of the target whose mean Gram matrices are its style."""
    style: Annotated[float, Field(ge=0)] = 1.0
    content: Annotated[float, Field(ge=0)] = 1.0
    iterations: Annotated[int, Field(ge=0)] = 100
    rate: Annotated[float, Field(gt=0)] = 0.02
    """Learning rate of the image, in standard deviations of a band."""


class TranslationSettings(Settings):
    """How `rsadapt translate` gives the source the target's look.

    What is not here (workers, log, checkpoints, tiles of the written scenes) is that of `training`,
    `prediction` and `device`.
    """

    by: Literal["cyclegan", "fcan"] = "cyclegan"
    steps: Annotated[int, Field(ge=1)] = 20_000
    """Of CycleGAN, as all up to `fcan`."""
    constant: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the steps at the full rate, which then falls to zero along a line."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    tile: Annotated[int, Field(ge=24)] = 256
    """Height and width of a window, pixels; of FCAN's style, too."""
    width: Annotated[int, Field(ge=1)] = 64
    """Channels of a generator's first layer."""
    blocks: Annotated[int, Field(ge=0)] = 9
    """Residual blocks of a generator."""
    discriminator_width: Annotated[int, Field(ge=1)] = 64
    rate: Annotated[float, Field(gt=0)] = 2e-4
    """Of Adam, for all four networks."""
    cycle: Annotated[float, Field(ge=0)] = 10.0
    """Weight of what is lost on the way to the other domain and back."""
    identity: Annotated[float, Field(ge=0)] = 0.5
    """Weight, as a share of `cycle`, of what changes in an image that has the look already."""
    pool: Annotated[int, Field(ge=0)] = 50
    """Translated images that discriminators see again."""
    fcan: AppearanceSettings = AppearanceSettings()


class Configuration(Settings):
    """All that decides a run."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Decides initial weights and the order of samples."""
    root: str = "."
    """Folder that file patterns are relative to; itself relative to the configuration's folder."""
    init_from: str | None = None
    """A run or checkpoint whose network to start from, relative to the configuration's folder."""
    classes: list[ClassSettings] = []
    """The class table."""
    class_table: Literal["cityscapes-19", "cityscapes-16", "cityscapes-13", "streets"] | None = None
    """A ready class table, in place of `classes`."""
    ignored_ids: list[int] = [255]
    """Raw label ids of unlabelled pixels. Data sets of image folders have their own raw ids, and
    all that is no class of the table is unlabelled in them."""
    bands: list[int] | None = None
    """1-based bands to use; all but those flagged as alpha unless given."""
    normalise_by: Literal["region", "source", "given"] = "region"
    """Whose statistics standardise the target: its own, the source's, or for both domains the
    numbers of `normalisation`."""
    normalisation: NormalisationSettings | None = None
    statistics: StatisticsSettings = StatisticsSettings()
    prepared: str | None = None
    """Folder of frames that `rsadapt prepare` resized, relative to `root`; for image folders."""
    source: DomainSettings
    target: DomainSettings
    style: Annotated[StyleSettings, Discriminator("name")] | None = None
    """How samples of the source are given the look of the target, before augmentations and whatever
    the method: see `rsadapt.data.styling`. None leaves them as they are."""
    network: NetworkSettings = NetworkSettings()
    method: Annotated[Method, PlainValidator(_method), PlainSerializer(_given)]
    """A name, and what that method's class declares, see `rsadapt.build.methods`."""
    optimiser: OptimiserSettings = OptimiserSettings()
    training: TrainingSettings = TrainingSettings()
    prediction: PredictionSettings = PredictionSettings()
    translation: TranslationSettings = TranslationSettings()
    device: DeviceSettings = DeviceSettings()

    @model_validator(mode="before")
    @classmethod
    def _leave_frames_upright(cls, values: Any) -> Any:
        """Take no augmentation of image folders by default: they have an up and a down."""
        if not isinstance(values, dict) or _kind(values.get("source")) != "image_folder":
            return values
        training = values.get("training", {})
        if not isinstance(training, dict):
            return values
        return values | {"training": {"augment": []} | training}

    @model_validator(mode="after")
    def _consistent(self) -> Configuration:
        for field in self.method.by_level:
            weights = getattr(self.method, field)
            if len(weights) != self.network.levels:
                raise ValueError(
                    f"method.{field} has {len(weights)} weights and network.levels is "
                    f"{self.network.levels}; give one weight a level, main level last"
                )
        if bool(self.classes) == (self.class_table is not None):
            raise ValueError("give the classes either by 'classes' or by 'class_table'")
        if len(self.classes) == 1 and self.method.tells_apart:
            raise ValueError(
                f"method {self.method.name} learns by how unsure the network is between classes, "
                f"and there is one, {self.classes[0].name}; name what is not of it as a class, too"
            )
        self._check_sizes()
        self._check_augment()
        if (self.normalisation is None) == (self.normalise_by == "given"):
            raise ValueError("normalise_by: given and the numbers of normalisation need each other")
        if _kind(self.source) != _kind(self.target):
            raise ValueError("source and target must both be GeoTIFF regions or both image folders")
        if self.training.sampling != "uniform" and _kind(self.source) == "image_folder":
            raise ValueError(
                "training.sampling: frames of image folders are taken in turn, each once a pass; "
                "choose uniform"
            )
        if self.prepared is not None and _kind(self.source) == "geotiff_region":
            raise ValueError("prepared: frames of image folders are prepared, not GeoTIFF regions")
        self._check_optimiser()
        self._check_batch_norm()
        if self.training.recompute and self.device.compile:
            raise ValueError(
                "training.recompute and device.compile do not go together: a compiled network "
                "keeps what its compiler chose; choose one of them"
            )
        if self.prediction.overlap >= self.prediction.tile:
            raise ValueError("prediction.overlap must be smaller than prediction.tile")
        self.prediction.check_precision(self.device)
        horizon = self.training.horizon
        if horizon is not None and horizon < self.training.steps:
            raise ValueError("training.horizon must be at least training.steps")
        return self

    def _check_optimiser(self) -> None:
        """Refuse what would be passed over in silence."""
        chosen = self.optimiser
        if chosen.updates != "once" and (
            chosen.name != "sgd" or not self.network.encoder.startswith("resnet")
        ):
            raise ValueError("optimiser.updates: repeated updates are those of SGD on a ResNet")
        if chosen.nesterov and (chosen.name != "sgd" or chosen.momentum == 0):
            raise ValueError("optimiser.nesterov needs SGD with a momentum above 0")

    def _check_batch_norm(self) -> None:
        """Refuse what would be passed over in silence."""
        chosen = self.network
        bare = not has_batch_norm(chosen.encoder)
        if chosen.batch_norm_sync and (bare or chosen.batch_norm == "frozen"):
            raise ValueError("network.batch_norm_sync: no batch norm here goes by its batches")
        policy = self.method.needs_policy
        if policy is None:
            return
        if bare:
            raise ValueError(
                f"method {self.method.name}: {chosen.encoder} has no batch norm to adapt"
            )
        if self.network.batch_norm != policy:
            raise ValueError(f"method {self.method.name} needs network.batch_norm: {policy}")

    def _check_sizes(self) -> None:
        """Refuse images that a method cannot learn from, or an encoder not look at."""
        source, target = self.source, self.target
        if (
            self.method.one_size
            and isinstance(source, FolderSettings)
            and isinstance(target, FolderSettings)
            and source.size != target.size
        ):
            raise ValueError(
                f"method {self.method.name} pastes images of one domain on the other's; give "
                f"source.size and target.size one value"
            )
        smallest = least_side(self.network.encoder)
        sides = self.least_sides() | {"prediction.tile": self.prediction.tile}
        for field, pixels in sides.items():
            if pixels < smallest:
                raise ValueError(
                    f"{field} is {pixels}; {self.network.encoder} needs {smallest} or more"
                )
        least = self.method.least_side
        for field, pixels in self.least_sides().items():
            if pixels < least:
                raise ValueError(
                    f"{field} is {pixels}; the networks of {self.method.name} need {least} or more"
                )

    def _check_augment(self) -> None:
        turning = [name for name in ("dihedral", "rotate") if name in self.training.augment]
        if _kind(self.source) == "image_folder" and turning:
            raise ValueError(
                f"training.augment: '{turning[0]}' turns frames of image folders upside down; "
                f"choose [flip], which leaves up and down as they are, or []"
            )

    def least_sides(self) -> dict[str, int]:
        """The shorter side of training images, in pixels, by the field that decides it."""
        if isinstance(self.source, FolderSettings) and isinstance(self.target, FolderSettings):
            return {
                f"{name}.size": min(size.height, size.width)
                for name, size in (("source", self.source.size), ("target", self.target.size))
            }
        return {"training.tile": self.training.tile}
