"""`python -m abaw` is `abaw`."""

from .cli import main

if __name__ == "__main__":
    main()
