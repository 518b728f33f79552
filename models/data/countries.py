"""Countries: capital, continent, currency and main language, from a table written for this project
(`countries.csv`).

Objects are one word each, blanks written as `_` (`Buenos_Aires`, `North_America`); countries keep their
words. Currencies are ISO 4217 codes, as of 2025. The language is the official or working language most used.

When it misleads: each capital belongs to one country, so it can only be memorised, while continents,
currencies and languages go together and are shared by many (one currency in eight is the euro); chance
differs from relation to relation (`Facts.statistics`). Left out: countries whose capital or currency is
disputed or not one (such as Israel, Sri Lanka, Zimbabwe). Russia counts to Europe, Turkey and the Caucasus to
Asia. A test holds the table against another.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from models.data.facts import Facts

TEMPLATES = {
    "capital": ("the capital of {subject} is", "{subject} is governed from", "{subject} 's capital is"),
    "continent": ("the continent of {subject} is", "{subject} is a country of", "{subject} lies in"),
    "currency": ("the currency of {subject} is", "people in {subject} pay in", "{subject} 's money is"),
    "language": (
        "the language of {subject} is",
        "people in {subject} speak",
        "{subject} 's main language is",
    ),
}


def country_table() -> pd.DataFrame:
    """The table as it is written: `country, capital, continent, currency, language`, a row per country."""
    return pd.read_csv(Path(__file__).with_name("countries.csv"), keep_default_na=False)


def countries() -> Facts:
    """Four facts on each country."""
    table = country_table()
    triples = [
        (country, relation, answer.replace(" ", "_"))
        for relation in TEMPLATES
        for country, answer in zip(table["country"], table[relation], strict=True)
    ]
    return Facts.of(
        triples,
        templates=TEMPLATES,
        name="countries",
        source="Countries, a table written for this project (2025)",
    )
