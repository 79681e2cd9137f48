"""Makes the fixtures of the kit known."""

from __future__ import annotations

from tests.kits.js_kit import node as node
