"""`python -m emodetect` is the same program as the `emodetect` command."""

from emodetect.cli import main

if __name__ == "__main__":
    main()
