"""The errors that a user can cause. Only the command line prints them and exits."""


class EmodetectError(Exception):
    """One line that says what was expected, what came, and what to do next."""


class ConfigError(EmodetectError):
    """A config file, preset or override that cannot be used."""


class DataError(EmodetectError):
    """A data set that cannot be read as asked."""


class ImageError(EmodetectError):
    """One image that cannot be decoded; the caller decides whether others go on."""


class ModelError(EmodetectError):
    """A model file that is damaged, foreign or unfit for what was asked."""


class VideoError(EmodetectError):
    """A camera, video file, stream, display or video writer that does not work."""


class SourceError(VideoError):
    """A camera, video file or stream that cannot be opened or gives no more pictures."""


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
