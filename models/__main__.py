"""The door: `python -m models`, or `tinygrad-cv`."""

import signal
import sys


def main() -> int:
    """Carry out the command that was typed; the exit code. Ctrl-C has one line at any time."""
    try:
        from .lab.cli import main as carry_out  # which takes most of a second

        return carry_out()
    except KeyboardInterrupt:
        print("tinygrad-cv: stopped", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's own end would show a traceback


if __name__ == "__main__":
    sys.exit(main())
