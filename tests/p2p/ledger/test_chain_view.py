"""The view: what a transaction wrote is read first, then the block, then the state; a refusal drops the first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p.blocks.tree import EMPTY_TREE
from p2p.ledger.view import View

keys = st.sampled_from([b"a", b"b", b"c"])
values = st.none() | st.sampled_from([b"1", b"2", b"3"])
writes = st.lists(st.tuples(keys, values), max_size=4)
steps = st.lists(st.tuples(writes, st.booleans()), max_size=6)


@given(st.dictionaries(keys, st.just(b"0")), steps)
def test_a_view_reads_like_a_dict_that_is_copied_before_every_transaction(
    content: dict[bytes, bytes], transactions: list[tuple[list[tuple[bytes, bytes | None]], bool]]
) -> None:
    before = EMPTY_TREE.update(dict(content))
    view, model = View({"m": before}), dict(content)
    for changes, accepted in transactions:
        copy: dict[bytes, bytes | None] = dict(model)
        for key, value in changes:
            view.put("m", key, value)
            copy[key] = value
            assert view.get("m", key) == value
        if accepted:
            view.accept()
            model = {key: value for key, value in copy.items() if value is not None}
        else:
            view.reject()
        assert all(view.get("m", key) == model.get(key) for key in (b"a", b"b", b"c"))
    assert dict(view.trees()["m"].items()) == model
    assert dict(before.items()) == content
