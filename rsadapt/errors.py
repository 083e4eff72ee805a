"""What can go wrong: one base class, a few children that are also the built-in they resemble."""

from __future__ import annotations

from pathlib import Path


class RsadaptError(Exception):
    """Base of every error that a user can cause; its text names the cure.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class ConfigError(RsadaptError, ValueError):
    """A configuration that cannot be meant."""


class DataError(RsadaptError, ValueError):
    """A raster, a label or a region that cannot be used as it is."""


class NoValidPixelError(DataError):
    """A region of which all is nodata, masked or outside its area."""


class MissingFileError(RsadaptError, FileNotFoundError):
    """A file or a folder that should be there and is not."""


class OutputExistsError(RsadaptError, FileExistsError):
    """A place to write to that already holds something."""

    @classmethod
    def left(cls, path: Path, *, choose: str) -> OutputExistsError:
        """That of a file which is left as it is where nobody asked to overwrite it.

        Args:
            path: the file.
            choose: what else to choose, such as "another name".
        """
        return cls(
            f"{path} exists already and is left as it is; choose {choose} or overwrite it "
            f"(--overwrite)"
        )


class CheckpointError(RsadaptError, ValueError):
    """A checkpoint or weight file that cannot be read or does not fit."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that was changed or cut short, so that one before it may be used."""


class ShapeError(RsadaptError, ValueError):
    """An array or tensor of a size that cannot be worked with."""


class WorkerError(RsadaptError, RuntimeError):
    """Other processes, here or elsewhere, that cannot be reached or cannot do their work."""


class InterruptedTrainingError(RsadaptError):
    """Training was stopped by the user after its state was saved."""

    exit_code = 130


class LostProcessError(InterruptedTrainingError):
    """Another process of a distributed run ended; what was saved before is whole."""

    exit_code = 1


class NonFiniteError(RsadaptError, ArithmeticError):
    """Training came to values that are no finite numbers, and stopped before it saved any.

    Attributes:
        step: the first step where they were seen.
        what: became so.
    """

    def __init__(self, step: int, what: str, cure: str = "") -> None:
        super().__init__(f"step {step}: {what} became NaN or infinite{cure}")
        self.step = step
        self.what = what


class TrainingWarning(UserWarning):
    """A sign that training goes wrong, with the step it was seen at and a cure."""


class LeftOutWarning(UserWarning):
    """Scenes that the configuration names and that are not used, with their number and the reason.

    Attributes:
        region: whose they are, "source" or "target".
    """

    def __init__(self, region: str, text: str) -> None:
        super().__init__(text)
        self.region = region
