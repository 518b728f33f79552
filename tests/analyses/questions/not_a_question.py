"""A file without QUESTION beside the others: it is no analysis, and importing it would fail."""

from __future__ import annotations

raise RuntimeError("this file must not be imported")
