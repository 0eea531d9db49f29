"""The administrators' command line: ``python -m ops --help``.

Owns the order: the environment is complete before anything of the product is imported, since the clock reads it then.
"""

from __future__ import annotations

import sys

from ops.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
