"""`python -m segwright` is `segwright`."""

import sys

from segwright.cli import main

sys.exit(main())
