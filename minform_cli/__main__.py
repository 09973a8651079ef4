"""``python -m minform_cli``: the same as the `minform` command."""

from minform_cli.cli import main

if __name__ == "__main__":
    main()
