"""The errors that users can cause. Only the command line prints them and exits."""


class EmodetectError(Exception):
    """An error with a one-line message: what was expected, what was found, what to do next."""


class OptionsError(EmodetectError):
    """Options that do not go together, or one out of range."""


class ConfigError(EmodetectError):
    """A config file, preset or override that cannot be used."""


class DataError(EmodetectError):
    """A data set that cannot be read as requested."""


class OutOfMemoryError(EmodetectError):
    """A network and batch for which there is too little memory."""


class StoppedRunError(EmodetectError):
    """A run that this machine cannot go on with for now, such as on a full disk.

    Attributes:
        problem: the message without what to do about it.
        remedy: what to do before the run goes on, such as "free up space".
    """

    def __init__(self, problem: str, advice: str, *, remedy: str) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem, self.remedy = problem, remedy


class DivergedError(EmodetectError):
    """A training whose loss became NaN or infinite."""


class ImageError(EmodetectError):
    """An image that cannot be decoded; the caller decides whether to continue with others."""


class ModelError(EmodetectError):
    """A model file that is damaged, not from emodetect, or unsuitable for the request."""


class VideoError(EmodetectError):
    """A camera, video file, stream, display or video writer that does not work."""


class SourceError(VideoError):
    """A camera, video file or stream that cannot be opened or has stopped delivering frames."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
