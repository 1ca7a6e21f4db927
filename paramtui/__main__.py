"""``python -m paramtui``."""

from __future__ import annotations

import sys

from paramtui.cli import main

sys.exit(main())
