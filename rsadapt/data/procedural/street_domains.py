"""The two domains of the procedural street: a sunny game and a car's camera below clouds.

Every strength of the domain gap stands here. Streets of both are built by the same code and differ
moderately in widths, heights and what stands how often; what a network has to be adapted to is
mostly the look: weather, materials, textures and the camera's response.
"""

from __future__ import annotations

from dataclasses import dataclass

from rsadapt.data.procedural.street_look import Facade, Look, Sensor
from rsadapt.data.procedural.street_scene import Layout
from rsadapt.data.procedural.street_shapes import Material
from rsadapt.data.procedural.street_view import Camera


@dataclass(frozen=True)
class Domain:
    """How a domain builds, sees and renders its streets."""

    layout: Layout
    camera: Camera
    look: Look


GAME = Domain(
    layout=Layout(
        road=(9.0, 13.0),
        pavement=(3.0, 5.0),
        house=(8.0, 18.0),
        storeys=(2.0, 6.0),
        setback=(0.0, 1.6),
        gap=0.25,
        crossing=0.4,
        trees=14.0,
        parked=14.0,
        driving=26.0,
        persons=4.5,
        poles=16.0,
        signs=11.0,
    ),
    camera=Camera(
        height=(1.4, 1.8),
        focal=(0.70, 0.85),
        horizon=(0.40, 0.50),
        heading=5.0,
        aside=(0.8, 2.4),
        bonnet=0.0,
    ),
    look=Look(
        palette={
            Material.ASPHALT: ((0.30, 0.30, 0.32),),
            Material.MARKING: ((0.92, 0.92, 0.88),),
            Material.KERB: ((0.66, 0.65, 0.62),),
            Material.PAVING: ((0.62, 0.58, 0.53),),
            Material.LAWN: ((0.30, 0.52, 0.16),),
            Material.WALL: (
                (0.72, 0.36, 0.26),
                (0.86, 0.72, 0.48),
                (0.78, 0.50, 0.34),
                (0.90, 0.86, 0.76),
                (0.62, 0.30, 0.24),
            ),
            Material.ROOF: ((0.55, 0.20, 0.14), (0.35, 0.24, 0.22)),
            Material.LEAVES: ((0.16, 0.46, 0.10), (0.24, 0.54, 0.12), (0.12, 0.38, 0.12)),
            Material.TRUNK: ((0.34, 0.22, 0.13),),
            Material.PAINT: (
                (0.82, 0.08, 0.08),
                (0.10, 0.20, 0.75),
                (0.92, 0.92, 0.92),
                (0.95, 0.78, 0.10),
                (0.08, 0.08, 0.10),
                (0.10, 0.50, 0.30),
            ),
            Material.CAR_GLASS: ((0.10, 0.14, 0.20),),
            Material.TYRE: ((0.05, 0.05, 0.05),),
            Material.LAMP: ((0.85, 0.10, 0.06), (0.95, 0.95, 0.85)),
            Material.SKIN: ((0.85, 0.62, 0.48), (0.45, 0.28, 0.18)),
            Material.SHIRT: (
                (0.85, 0.15, 0.15),
                (0.15, 0.35, 0.80),
                (0.95, 0.85, 0.25),
                (0.90, 0.90, 0.90),
                (0.55, 0.20, 0.60),
            ),
            Material.TROUSERS: ((0.14, 0.18, 0.36), (0.16, 0.14, 0.12), (0.50, 0.42, 0.30)),
            Material.POLE: ((0.42, 0.43, 0.45),),
            Material.SIGN: ((0.10, 0.25, 0.80), (0.95, 0.95, 0.95), (0.95, 0.80, 0.10)),
            Material.SIGN_RIM: ((0.95, 0.95, 0.95), (0.85, 0.08, 0.08), (0.10, 0.10, 0.10)),
            Material.BOX: ((0.15, 0.40, 0.25), (0.45, 0.45, 0.45)),
            Material.BONNET: ((0.05, 0.05, 0.06),),
        },
        facade=Facade(
            pitch=(2.6, 3.0),
            window=(0.45, 0.50),
            glass=((0.10, 0.16, 0.26), (0.45, 0.62, 0.85)),
            frame=1.25,
            courses=0.12,
            course=0.6,
            stains=0.10,
        ),
        sky=((0.20, 0.45, 0.92), (0.62, 0.80, 0.98), (0.97, 0.97, 0.99)),
        clouds=0.25,
        sun=0.62,
        sun_elevation=(40.0, 60.0),
        grain=0.15,
        wear=0.12,
        flags=1.2,
        joints=0.15,
        clumps=0.7,
        foliage=0.9,
        gloss=0.35,
        haze=(0.70, 0.82, 0.95),
        visibility=400.0,
        sensor=Sensor(
            gain=(1.0, 1.0, 1.0),
            exposure=(0.8, 1.15),
            saturation=1.05,
            contrast=1.1,
            gamma=0.9,
            vignette=0.0,
            blur=0.0,
            noise=0.0,
        ),
    ),
)
"""The source: sunny streets in saturated colours, sharp to the last pixel."""

CAMERA = Domain(
    layout=Layout(
        road=(8.5, 12.5),
        pavement=(3.0, 5.2),
        house=(7.0, 16.0),
        storeys=(2.0, 6.0),
        setback=(0.0, 1.0),
        gap=0.20,
        crossing=0.4,
        trees=15.0,
        parked=13.0,
        driving=30.0,
        persons=5.5,
        poles=14.0,
        signs=10.0,
    ),
    camera=Camera(
        height=(1.25, 1.6),
        focal=(0.75, 0.92),
        horizon=(0.41, 0.51),
        heading=4.0,
        aside=(0.6, 1.8),
        bonnet=0.08,
    ),
    look=Look(
        palette={
            Material.ASPHALT: ((0.33, 0.33, 0.34),),
            Material.MARKING: ((0.72, 0.72, 0.70),),
            Material.KERB: ((0.58, 0.57, 0.55),),
            Material.PAVING: ((0.60, 0.56, 0.51),),
            Material.LAWN: ((0.34, 0.38, 0.22),),
            Material.WALL: (
                (0.54, 0.48, 0.40),
                (0.62, 0.56, 0.46),
                (0.48, 0.34, 0.27),
                (0.66, 0.63, 0.57),
                (0.42, 0.38, 0.37),
            ),
            Material.ROOF: ((0.30, 0.28, 0.29), (0.38, 0.30, 0.27)),
            Material.LEAVES: ((0.17, 0.28, 0.12), (0.24, 0.33, 0.13), (0.33, 0.32, 0.15)),
            Material.TRUNK: ((0.24, 0.21, 0.18),),
            Material.PAINT: (
                (0.10, 0.10, 0.11),
                (0.62, 0.63, 0.65),
                (0.28, 0.29, 0.32),
                (0.84, 0.84, 0.84),
                (0.12, 0.20, 0.45),
                (0.55, 0.11, 0.10),
            ),
            Material.CAR_GLASS: ((0.20, 0.22, 0.24),),
            Material.TYRE: ((0.08, 0.08, 0.08),),
            Material.LAMP: ((0.55, 0.12, 0.10), (0.75, 0.74, 0.70)),
            Material.SKIN: ((0.70, 0.55, 0.47), (0.38, 0.27, 0.21)),
            Material.SHIRT: (
                (0.14, 0.14, 0.16),
                (0.55, 0.54, 0.53),
                (0.55, 0.42, 0.18),
                (0.16, 0.24, 0.42),
                (0.58, 0.17, 0.15),
            ),
            Material.TROUSERS: ((0.14, 0.15, 0.20), (0.12, 0.11, 0.11), (0.26, 0.24, 0.22)),
            Material.POLE: ((0.34, 0.35, 0.36),),
            Material.SIGN: ((0.12, 0.25, 0.64), (0.85, 0.85, 0.84), (0.82, 0.68, 0.18)),
            Material.SIGN_RIM: ((0.85, 0.85, 0.85), (0.70, 0.13, 0.12), (0.70, 0.13, 0.12)),
            Material.BOX: ((0.24, 0.27, 0.25), (0.45, 0.45, 0.45)),
            Material.BONNET: ((0.10, 0.10, 0.11),),
        },
        facade=Facade(
            pitch=(2.0, 3.0),
            window=(0.52, 0.62),
            glass=((0.13, 0.15, 0.18), (0.52, 0.57, 0.62)),
            frame=1.1,
            courses=0.06,
            course=0.9,
            stains=0.2,
        ),
        sky=((0.72, 0.75, 0.79), (0.86, 0.87, 0.87), (0.80, 0.81, 0.82)),
        clouds=0.6,
        sun=0.15,
        sun_elevation=(25.0, 45.0),
        grain=0.2,
        wear=0.16,
        flags=0.8,
        joints=0.10,
        clumps=0.5,
        foliage=0.7,
        gloss=0.25,
        haze=(0.80, 0.81, 0.80),
        visibility=220.0,
        sensor=Sensor(
            gain=(0.94, 1.0, 0.98),
            exposure=(0.85, 1.1),
            saturation=0.95,
            contrast=1.0,
            gamma=0.9,
            vignette=0.15,
            blur=0.4,
            noise=0.008,
        ),
    ),
)
"""The target: overcast streets of another town through the lens of a car's camera."""
