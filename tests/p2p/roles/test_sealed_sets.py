"""Validators change between sealing, closing and settling: nothing stops, and orders count or do not, alike for all."""

from __future__ import annotations

import pytest

from p2p.errors import RemoteError
from p2p.roles.collector.operator import Operator
from p2p.transports.memory import Faults, MemoryNetwork
from p2p.wire.messages import SealedMessage
from tests.kits.chain_kit import OPERATOR, START
from tests.kits.gateway_kit import run
from tests.kits.keys_kit import home_keys
from tests.kits.sealed_kit import LIMITS, sealed, sealed_genesis, signed_sealed
from tests.kits.settled_kit import OpenGates
from tests.kits.signed_kit import MINUTES, homes, names, order


class OfOthers(RemoteError):
    code = "of_others"


def test_a_collector_takes_over_what_was_promised_to_validators_of_before() -> None:
    """Refused, the closings that promise it could not be kept, and the interval would never be closed."""

    async def body() -> None:
        genesis = sealed_genesis(1)
        data = signed_sealed(sealed(order(genesis, "house-0")))

        def refuse(_message: SealedMessage) -> None:
            raise OfOthers("other validators")

        async with MemoryNetwork(Faults()).endpoint(OPERATOR) as node:
            operator = Operator(
                node,
                OPERATOR,
                genesis.chain_id,
                names(1),
                home_keys(homes(1).by_id),
                MINUTES,
                OpenGates(),
                limits=LIMITS,
                check_sealed=refuse,
            )
            with pytest.raises(OfOthers):
                operator._check(operator._kinds, data)
            operator.take_over(START, 0, [data])
            assert operator.present(START, 0) == {(0, 0): 1}

    run(body)
