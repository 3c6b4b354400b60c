"""A tour of what no other client here asks for, and of how EC2 refuses: python tests/clients/tour IMAGE. The environment says
which daemon. Each file beside this one is a part of it, and a family of operations."""

import os
import pathlib
import sys
import unittest

os.environ["TOUR_IMAGE"] = sys.argv[1]
sys.dont_write_bytecode = True
here = str(pathlib.Path(__file__).parent)
parts = unittest.defaultTestLoader
if len(sys.argv) > 2:
    suite = parts.loadTestsFromNames(sys.argv[2:])
else:
    suite = parts.discover(here, "[a-z]*.py")
sys.exit(not unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful())
