"""`python -m vitrin.cli`: how the supervisor starts its children, whatever the PATH."""

from vitrin.cli.main import main

if __name__ == "__main__":
    main()
