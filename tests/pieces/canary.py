"""What a hostile file holds: code that runs where it is unpickled."""

import os


class Canary:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)
