"""The keys of a simulated neighbourhood, all of which follow from its scenario."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from p2p.wire.identity import Identity, derive_seed
from wattswap.scenario.load import Scenario


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key of a neighbourhood, derived from its name, its seed and the scenario's secret file.

    Without a secret file all of it can be guessed: suitable only for simulations that anyone may repeat.
    """

    master: bytes

    @classmethod
    def of(cls, scenario: Scenario) -> Keys:
        """The keys of a scenario: the same name, seed and secret give the same keys."""
        return cls(
            sha256(f"wattswap simulation {scenario.name} {scenario.seed}".encode() + scenario.secret).digest()
        )

    def identity(self, role: str, name: str = "") -> Identity:
        """The signing key of one role."""
        return Identity.from_seed(derive_seed(self.master, role, name))

    @property
    def salts(self) -> bytes:
        """The secret from which the salts of all settlement entries follow."""
        return derive_seed(self.master, "salts", "")

    def reading_salt(self, home: str) -> bytes:
        """The salt of the digest of a home's readings."""
        return derive_seed(self.master, "readings", home)
