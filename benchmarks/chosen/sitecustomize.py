"""On PYTHONPATH, each Python process takes one set of read models for those of `retail` (`benchmarks.models.chosen`)."""

import os

from benchmarks.models import VARIABLE, only

only(os.environ[VARIABLE])
