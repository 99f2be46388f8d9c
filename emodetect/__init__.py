"""Train, judge and run facial-emotion recognition on your own machine."""

from importlib.metadata import version

__version__ = version("emodetect")
