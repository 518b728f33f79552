"""The table of countries against another one; differences are listed here with the reason."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from models.data.countries import countries, country_table

DIFFERENCES = {
    ("capital", "Eswatini"): "Mbabane governs, Lobamba is the seat of king and parliament",
    ("capital", "Mongolia"): "spelling: Ulaanbaatar, Ulan Bator",
    ("continent", "East Timor"): "an island of the Malay archipelago",
    ("currency", "Sierra Leone"): "SLE replaced SLL in 2022",
    ("language", "Comoros"): "Comorian, an official language, is not in the other table",
    ("language", "East Timor"): "Tetum, an official language, is not in the other table",
    ("language", "Montenegro"): "Montenegrin is official since 2007",
    ("language", "Papua New Guinea"): "Tok Pisin, an official language, is not in the other table",
}
SAME_NAME = {
    "Dhivehi": "Divehi",
    "Filipino": "Tagalog / Filipino",
    "Haitian Creole": "Haitian",
    "Khmer": "Cambodian",
    "Kinyarwanda": "Rwandi",
    "Lao": "Laotian",
    "Myanmar": "Myanmar (Burma)",
    "Sesotho": "Southern Sotho",
    "Somali": "Somalia",
    "Swazi": "Swati",
    "Tongan": "Tonga",
}


def plain(name: str) -> str:
    """Letters without accents; without "City" and "D.C.", which tables put or leave."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return letters.replace("City of ", "").replace(" City", "").replace(" D.C.", "").strip()


@pytest.fixture
def other(data_dir: Path) -> dict[str, dict[str, Any]]:
    """The other table by country, with sets of allowed answers."""
    folder = data_dir / "countries"
    rows, continents, languages = (
        json.loads((folder / f"annexare_{name}.min.json").read_text(encoding="utf-8"))
        for name in ("countries", "continents", "languages")
    )
    return {
        row["name"]: {
            "capital": {plain(row["capital"])},
            "continent": {continents[code] for code in row.get("continents", [row["continent"]])},
            "currency": set(row["currency"]),
            "language": {languages[code]["name"] for code in row["languages"]},
        }
        for row in rows.values()
    }


@pytest.mark.real_data
def test_every_country_is_in_the_other_table(other: dict[str, dict[str, Any]]) -> None:
    names = {SAME_NAME.get(name, name) for name in country_table()["country"]}
    assert names <= other.keys()
    assert len(names) == 184


@pytest.mark.real_data
@pytest.mark.parametrize("relation", ["capital", "continent", "currency", "language"])
def test_the_tables_agree_but_for_the_listed_differences(
    relation: str, other: dict[str, dict[str, Any]]
) -> None:
    differing = set()
    for row in country_table().to_dict("records"):
        answer = (
            plain(row[relation]) if relation == "capital" else SAME_NAME.get(row[relation], row[relation])
        )
        if answer not in other[SAME_NAME.get(row["country"], row["country"])][relation]:
            differing.add((relation, row["country"]))
    assert differing == {difference for difference in DIFFERENCES if difference[0] == relation}


def test_capitals_belong_to_one_country_each_and_continents_to_many() -> None:
    statistics = countries().statistics()
    assert statistics.loc["capital", "objects"] == len(country_table()) == 184
    assert statistics.loc["continent", "objects"] == 6
    assert statistics.loc["continent", "chance"] == pytest.approx(51 / 184)


def test_objects_are_single_words_and_countries_keep_theirs() -> None:
    table = countries().table
    assert not table["object"].str.contains(" ").any()
    assert table["subject"].str.contains(" ").sum() == 4 * 34
