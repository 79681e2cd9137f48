"""Who gets in: places by rank, by key and by address, and room for connections without a proven key."""

from __future__ import annotations

import pytest

from p2p.errors import RemoteError
from p2p.transports.admission import Admission, HandshakeTimeout, Inbound, Places, Rank
from p2p.transports.counters import Refusals

HERE, THERE = "127.0.0.1", "10.0.0.7"
SMALL = Places(total=8, kept=2, strangers=3, per_key=2, per_address=8, waiting=4)


def rank_of(peer: str) -> Rank:
    """C1, C2, ... collect, m1, m2, ... are members."""
    return {"C": Rank.COLLECTOR, "m": Rank.MEMBER}.get(peer[0], Rank.STRANGER)


class Street:
    """A admission, and what happens at it."""

    def __init__(self, places: Places = SMALL) -> None:
        self.now_s = 0.0
        self.admission = Admission(Refusals(), places, rank_of, lambda: self.now_s)
        self.left: list[Inbound] = []

    def register(self, address: str = HERE, *, says: bool = False) -> Inbound:
        inbound = self.admission.register(address, lambda: self.left.append(inbound))
        inbound.spoke = says
        return inbound

    def enter(self, *peers: str, address: str = HERE) -> list[Inbound]:
        found = []
        for peer in peers:
            found.append(self.register(address, says=True))
            self.admission.enter(found[-1], peer)
        return found

    def refusal(self, peer: str, address: str = HERE) -> str:
        with pytest.raises(RemoteError) as caught:
            self.enter(peer, address=address)
        assert self.admission.refused.counts[peer, caught.value.code] >= 1
        return caught.value.code


def test_strangers_have_a_part_of_the_places_and_members_the_rest() -> None:
    street = Street()
    street.enter("x1", "x2", "x3")
    assert street.refusal("x4") == "no_place"
    street.enter("m1", "m2", "m3")
    assert street.refusal("m4") == "no_place"
    assert street.admission.inside == 6


def test_places_are_kept_for_collectors_until_all_are_taken() -> None:
    street = Street()
    street.enter("m1", "m2", "m3", "m4", "m5", "m6")
    assert street.refusal("m7") == "no_place"
    street.enter("C1", "C2")
    assert street.refusal("C3") == "no_place"


def test_members_do_not_lose_places_to_collectors_that_fit_beside_them() -> None:
    street = Street()
    street.enter("C1", "C2", "m1", "m2", "m3", "m4", "m5", "m6")
    assert street.admission.inside == SMALL.total


def test_who_leaves_gives_its_place_up() -> None:
    street = Street()
    connections = street.enter("x1", "x2", "x3")
    assert street.refusal("x4") == "no_place"
    street.admission.gone(connections[0])
    street.enter("x4")
    assert street.admission.refused.total("handshake_failed") == 0


def test_a_key_has_a_number_of_connections_and_its_newest_stay() -> None:
    street = Street()
    first, *_ = street.enter("m1", "m1", "m1")
    assert street.left == [first]
    assert street.admission.refused.counts["m1", "too_many_connections"] == 1
    assert street.admission.inside == SMALL.per_key


def test_a_key_that_returns_finds_a_place_though_all_are_taken() -> None:
    street = Street()
    street.enter("m1", "m1", "m2", "m3", "m4", "m5")
    assert street.refusal("m6") == "no_place"
    street.enter("m1")
    assert street.admission.inside == 6


def test_an_address_has_a_number_of_connections_but_not_for_collectors() -> None:
    street = Street(Places(total=100, kept=10, strangers=10, per_address=2))
    street.enter("m1", "x1", address=THERE)
    assert street.refusal("m2", THERE) == "address_full"
    street.enter("C1", "C2", address=THERE)
    street.enter("m2", address=HERE)


def test_ranks_and_places_may_change_while_connections_are_open() -> None:
    street = Street()
    street.enter("x1", "x2", "x3")
    street.admission.rank_of = lambda peer: Rank.MEMBER if peer == "x4" else rank_of(peer)
    street.enter("x4")
    street.admission.places = Places(total=8, kept=2, strangers=0)
    assert street.refusal("x5") == "no_place"


def test_a_newcomer_takes_the_place_of_the_oldest_that_said_nothing() -> None:
    street = Street()
    talker = street.register(says=True)
    silent = [street.register() for _ in range(3)]
    street.now_s = 1.0
    newcomers = [street.register(says=True) for _ in range(3)]
    assert street.left == silent
    assert street.admission.refused.counts[HERE, "handshake_displaced"] == 3
    for number, inbound in enumerate((talker, *newcomers)):
        street.admission.enter(inbound, f"m{number}")


def test_where_all_speak_it_takes_that_of_the_oldest() -> None:
    street = Street()
    first, *_ = [street.register(says=True) for _ in range(5)]
    assert street.left == [first]


def test_where_most_speak_one_that_has_just_come_has_time_to() -> None:
    street = Street()
    first, second, _ = [street.register(says=True) for _ in range(3)]
    silent = street.register()
    street.register(says=True)
    assert street.left == [first]
    street.now_s = 1.0
    street.register(says=True)
    assert street.left == [first, silent]
    street.register(says=True)
    assert street.left == [first, silent, second]


def test_of_several_addresses_that_with_most_loses_a_place() -> None:
    street = Street()
    other = street.register(THERE)
    crowd = [street.register(HERE) for _ in range(4)]
    assert street.left == [crowd[0]]
    street.admission.enter(other, "m1")


def test_one_that_was_ended_does_not_enter_any_more() -> None:
    street = Street()
    inbound = street.register(says=True)
    street.admission.end(inbound, HandshakeTimeout("late"))
    with pytest.raises(HandshakeTimeout):
        street.admission.enter(inbound, "m1")
    street.admission.end(inbound, HandshakeTimeout("late"))
    street.admission.gone(inbound)
    assert street.admission.refused.counts == {(HERE, "handshake_timeout"): 1}
    assert street.left == [inbound]
    assert (street.admission.waiting, street.admission.inside) == (0, 0)


def test_a_connection_that_ends_without_a_key_is_counted() -> None:
    street = Street()
    street.admission.gone(street.register())
    assert street.admission.refused.counts == {(HERE, "handshake_failed"): 1}


def test_any_number_of_connections_leaves_a_bounded_number_waiting() -> None:
    street = Street(Places())
    for _ in range(10_000):
        street.register()
    assert street.admission.waiting == Places().waiting
    assert len(street.left) == 10_000 - Places().waiting
    assert street.admission.refused.total("handshake_displaced") == len(street.left)
