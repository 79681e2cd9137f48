"""Names of months in the languages of meter files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

MONTHS: Mapping[str, tuple[str, ...]] = {
    "en": tuple(
        "January February March April May June July August September October November December".split()
    ),
    "de": tuple("Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()),
    "nl": tuple(
        "januari februari maart april mei juni juli augustus september oktober november december".split()
    ),
    "fr": tuple(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
    ),
    "it": tuple(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split()
    ),
    "es": tuple(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()
    ),
    "pt": tuple(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split()
    ),
}
"""By language; where several have a name, a file without a language is read by the first of them."""

SHORT = {("nl", 3): ("mrt",), ("de", 3): ("mrz", "mär"), ("fr", 7): ("juil",), ("fr", 2): ("févr", "fév")}
"""Short names of months that are not the first letters of the long ones."""


@lru_cache(maxsize=len(MONTHS))
def numbers_by_name(language: str) -> Mapping[str, str]:
    """Two digits of each month, by its name, its first three or four letters and its other short names."""
    names: dict[str, str] = {}
    for number, name in enumerate(map(str.casefold, MONTHS[language]), 1):
        short = (name[:3], name[:4], *SHORT.get((language, number), ()))
        for one in (name, *short):
            names.setdefault(one, f"{number:02}")
    return names
