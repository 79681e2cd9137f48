"""Mutants of keys of meters: who signs readings, and which keys a genesis and a node may have."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Rules

SIGNS = "tests/p2p/roles/test_meter_keys.py"
MEMBERS = Rules("p2p/blocks/members.py", "tests/p2p/blocks/test_members.py")
HOME_KEYS = Rules("p2p/roles/collector/home_keys.py", SIGNS)
NODE_KEYS = Rules("wattswap/nodes/keys.py", "tests/wattswap/nodes/test_node_meter_keys.py")
BLOB = "test_a_blob_has_readings_of_the_meter_and_orders_of_the_home"
COLLECTOR = "test_a_collector_takes_readings_of_the_meter_and_orders_of_the_home"
PROMISE = "test_a_promise_binds_about_readings_of_the_meter_and_orders_of_the_home"
ASKS = "test_a_meter_asks_for_nothing_of_its_home"
UNUSABLE = "test_homes_that_no_chain_can_have_are_refused_though_the_root_is_theirs"

MUTANTS: tuple[Mutant, ...] = (
    MEMBERS.without(
        "reading_by_the_home",
        "return self.meter_key or key if kind == Kind.READING else key",
        "return key",
        "A home signs its readings with the key that receives its money, though its meter has one.",
        *(f"{SIGNS}::{test}" for test in (BLOB, COLLECTOR, PROMISE)),
    ),
    MEMBERS.without(
        "order_by_the_meter",
        "return self.meter_key or key if kind == Kind.READING else key",
        "return self.meter_key or key",
        "Who holds a meter orders for its home.",
        *(f"{SIGNS}::{test}" for test in (BLOB, COLLECTOR, PROMISE)),
    ),
    MEMBERS.without(
        "member_with_any_meter_key",
        "content = member.household + member.key + packed + member.meter_key",
        "content = member.household + member.key + packed",
        "A home brings another meter key than the genesis has, and accuses with readings of its own.",
        "test_every_home_is_proven_by_its_path_and_no_other_is",
        "test_the_leaf_of_a_home_ends_with_the_key_of_its_meter_where_it_has_one",
    ),
    MEMBERS.without(
        "meter_key_of_any_length",
        "lengths[:2] == (merkle.HASH_BYTES, PUBLIC_KEY_BYTES) and lengths[2] in (0, PUBLIC_KEY_BYTES)",
        "lengths[:2] == (merkle.HASH_BYTES, PUBLIC_KEY_BYTES)",
        "A home has a meter key that no meter can have.",
        "test_the_fields_of_a_home_cannot_be_shifted_against_each_other",
        UNUSABLE,
    ),
    MEMBERS.without(
        "fields_of_a_home_shifted",
        "lengths[:2] == (merkle.HASH_BYTES, PUBLIC_KEY_BYTES) and lengths[2] in (0, PUBLIC_KEY_BYTES)",
        "lengths[2] in (0, PUBLIC_KEY_BYTES)",
        "A home has another key, with bytes of its name in it.",
        "test_the_fields_of_a_home_cannot_be_shifted_against_each_other",
        UNUSABLE,
    ),
    MEMBERS.without(
        "meter_key_of_a_home",
        "if len({*meter_keys, *members.keys}) != len(meter_keys) + len(set(members.keys)):",
        "if len(set(meter_keys)) != len(meter_keys):",
        "A home signs readings of another one, or a chain says of a key that it is not the payee's, and it is.",
        UNUSABLE,
    ),
    MEMBERS.without(
        "meter_key_of_two_homes",
        "if len({*meter_keys, *members.keys}) != len(meter_keys) + len(set(members.keys)):",
        "if {*meter_keys} & {*members.keys}:",
        "A meter signs readings of two homes.",
        UNUSABLE,
    ),
    MEMBERS.without(
        "meter_key_of_zeros",
        "if any(len(key) != PUBLIC_KEY_BYTES or key == NO_KEY for key in meter_keys):",
        "if any(len(key) != PUBLIC_KEY_BYTES for key in meter_keys):",
        "A chain starts with a meter key that stands for no key elsewhere in the list.",
        UNUSABLE,
    ),
    MEMBERS.without(
        "meter_keys_of_homes_without_keys",
        "if meter_keys and not members.keys:",
        "if False:",
        "A chain on which nothing is signed starts with meters that sign.",
        "test_meter_keys_that_no_chain_can_have_are_written_nowhere",
    ),
    Mutant(
        "promise_about_a_reading_by_the_home",
        "p2p/batches/receipts.py",
        "return home.member.key_for(kind, rotated(home.index, interval_start) or home.member.key)",
        "return rotated(home.index, interval_start) or home.member.key",
        "A home accuses with a reading that no honest collector has promised, and cannot with one of its meter.",
        (f"{SIGNS}::{PROMISE}",),
    ),
    Mutant(
        "blob_reading_by_the_home",
        "p2p/batches/blob.py",
        "key = key_of(household, interval_start, Kind(line.kind))",
        "key = key_of(household, interval_start, Kind.ORDER)",
        "A blob with the reading of a meter is refused.",
        (f"{SIGNS}::{BLOB}",),
    ),
    Mutant(
        "message_by_the_key_of_another_kind",
        "p2p/wire/messages.py",
        "key = key_of(message.household, message.interval_start, kind_of(message))",
        "key = key_of(message.household, message.interval_start, Kind.ORDER)",
        "Whoever opens a message of a meter takes the key of its home.",
        (f"{SIGNS}::{COLLECTOR}",),
    ),
    HOME_KEYS.without(
        "collector_reading_by_the_home",
        "return self._signs(household, interval_start, kind)",
        "return self._signs(household, interval_start, Kind.ORDER)",
        "A collector promises a reading that no batch can hold.",
        COLLECTOR,
    ),
    HOME_KEYS.without(
        "meter_asks",
        "        return self.key_of(household, interval_start, kind)\n",
        "        return self.key_of(household, interval_start, Kind.READING)\n",
        "Who holds a meter reads the lines of its home.",
        ASKS,
    ),
    HOME_KEYS.without(
        "home_with_a_meter_asks_for_nothing",
        "if self.key_of(household, interval_start, Kind.LINE_QUERY) != key:",
        "if self.key_of(household, interval_start, Kind.READING) != key:",
        "A home cannot ask for its lines once its meter has a key.",
        ASKS,
    ),
    Mutant(
        "gateway_signs_readings_for_the_home",
        "p2p/roles/household/gateway.py",
        "return meter or self.identity_of(message.household, message.interval_start)",
        "return self.identity_of(message.household, message.interval_start)",
        "A home with a meter key has no reading that counts.",
        (f"{SIGNS}::test_a_gateway_signs_readings_with_the_key_of_the_meter_where_it_has_one",),
    ),
    NODE_KEYS.without(
        "node_with_another_meter_key",
        "        if own != registered:\n",
        "        if False:\n",
        "A node starts that signs no reading that counts.",
        "test_a_node_without_the_key_of_a_registered_meter_does_not_start",
        "test_the_key_of_another_meter_is_refused",
        "test_a_key_of_a_meter_that_the_genesis_does_not_have_is_refused",
    ),
)
