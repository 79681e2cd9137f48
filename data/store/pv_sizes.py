"""Production against the stated size of generators: more than any panel gives, or other than neighbours of a size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.findings import Finding
from data.readings import MISSING, MeterData, whole
from market.units import IntArray

LEAST_HOMES = 3
"""Homes with a production meter and a stated size that are enough to compare one with the others."""

LEAST_DAYS = 14
"""Days that two homes were both read before they are compared."""

TOO_LITTLE, TOO_MUCH = 0.4, 2.5
"""A home yields less, or more, than this share of what more than half of the others yield for the same size."""

LARGEST_SHARE = 1.5
"""No generator gives more than this share of its peak power over an interval."""


def check_sizes(
    data: MeterData, sizes_w: Mapping[str, int | None]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings of homes whose production does not fit the size of the generator; and a note where it is not compared.

    Args:
        data: Readings of homes on one grid.
        sizes_w: Peak power of generators by home, where it is stated. [W]
    """
    pv = data.sub_meters.get("pv")
    metered = np.flatnonzero(pv.any(axis=0)).tolist() if pv is not None else []
    if pv is None or not metered:
        return (), ()
    names = data.households
    sizes = {h: size for h in metered if (size := sizes_w.get(names[h]))}
    found = [_too_large(names[h], pv[:, h], size, data.minutes) for h, size in sizes.items()]
    findings = [one for one in found if one is not None]
    if len(sizes) < LEAST_HOMES:
        note = (
            f"the scale of production is not compared with neighbours: that needs {LEAST_HOMES} homes with a production"
            f" meter and a stated size, and {len(sizes)} {'is' if len(sizes) == 1 else 'are'} here;"
            " `data assemble --pv HOME=KWP` states one"
        )
        return tuple(findings), (note,) if len(names) > 1 else ()
    named = {one.household for one in findings}
    for h in sizes:
        if names[h] not in named:
            findings += _against(h, sizes, data, pv)
    return tuple(findings), ()


def _too_large(home: str, pv: IntArray, size_w: int, minutes: int) -> Finding | None:
    largest_w = int(pv.max()) * 60 // minutes
    if largest_w <= LARGEST_SHARE * size_w:
        return None
    message = (
        f"the production reaches {largest_w / 1000:,.2f} kW, and the stated size of the generator is"
        f" {size_w / 1000:g} kW; check the unit of the production meter, and the size"
    )
    return Finding("warning", "pv_scale", None, home, message)


def _against(home: int, sizes: Mapping[int, int], data: MeterData, pv: IntArray) -> list[Finding]:
    """Compare the yield of a home with that of each other one, over what both have read."""
    shares = []
    read = data.quality != MISSING
    least = LEAST_DAYS * 1440 // data.minutes
    for other, size_w in sizes.items():
        both = read[:, home] & read[:, other]
        of_other = int(whole(pv[both, other]).sum())
        if other != home and int(both.sum()) >= least and of_other:
            shares.append(int(whole(pv[both, home]).sum()) * size_w / (of_other * sizes[home]))
    if len(shares) + 1 < LEAST_HOMES:
        return []
    little, much = (sum(s <= TOO_LITTLE for s in shares), sum(s >= TOO_MUCH for s in shares))
    if 2 * max(little, much) <= len(shares):
        return []
    message = (
        f"the production is {float(np.median(shares)):.3g} times what the other homes have for the same size of"
        " generator; check the unit of the production meter, and the size"
    )
    return [Finding("warning", "pv_scale", None, data.households[home], message)]
