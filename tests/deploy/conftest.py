"""Which tests a machine can run."""

from __future__ import annotations

import importlib.util

# Terraform's core is a package for Linux on x86-64 only.
collect_ignore = [] if importlib.util.find_spec("cloudrail") else ["test_terraform_evaluated.py"]
