"""Train models: building, fitting, checkpoints, and the summary of a run."""

from emodetect.machine.tensorflow_devices import use_tensorflow

# Keras reads its backend when it is imported, so this must come before any module below.
use_tensorflow()
