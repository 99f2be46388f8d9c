"""Models, their training, and their compilation for the runtime."""

from emodetect.machine.tensorflow import use_tensorflow

# Keras reads its backend when it is imported, so this must come before any module below.
use_tensorflow()
