"""`python -m wikimirror` is `wikimirror`."""

from __future__ import annotations

import sys

from wikimirror.cli import main

if __name__ == "__main__":
    sys.exit(main())
