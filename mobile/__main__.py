"""`python -m mobile` is the command `keras-se`."""

from mobile.cli import main

if __name__ == "__main__":
    main()
