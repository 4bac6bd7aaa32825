"""`python -m tfsession`: the command line."""

import sys

from tfsession.cli.main import main

sys.exit(main())
