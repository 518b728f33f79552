"""What every analysis keeps. One joins by lying in the folder: nothing is registered, here or there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from typed import Interp

import interp
from analyses.cli import QUESTIONS
from analyses.command_line.questions import Analysis, analysis, config_of, questions
from interp.refusals import Refused
from interp.reporting.record import plain
from interp.reporting.report import Report, read_report, write
from models.refusals import Refused as ModelsRefused

HEAVY = {"torch", "transformer_lens", "sklearn", "matplotlib"}
COMPARING = ("Value minus control", "Control minus value")
SMALLER: dict[str, dict[str, Any]] = {
    "what_do_cheaper_attentions_lose": {"seeds": 4, "length": 18, "pairs": 4, "rows": 200, "epochs": 2},
    "do_images_need_convolutions": {"seeds": 4, "images": 200, "epochs": 2},
    "where_are_facts": {"seeds": 4, "subjects": 80, "steps": 50, "planting_steps": 60},
    "which_method_finds_planted_facts": {"seeds": 4, "subjects": 80, "planting_steps": 60},
    "how_is_the_next_token_chosen": {"seeds": 2, "rows": 100, "epochs": 1, "steps": 4},
    "what_does_attention_move": {"seeds": 2, "rows": 100, "epochs": 1, "judged": 24},
    "what_does_cross_attention_align": {"seeds": 4, "pairs": 200, "width": 8, "epochs": 3},
    "how_many_facts_fit": {"seeds": 4},
    "who_remembers_longest": {
        "seeds": 2,
        "adding_length": 12,
        "adding_rows": 64,
        "recall_rows": 100,
        "recall_epochs": 1,
        "order_rows": 100,
    },
}


@pytest.fixture(params=questions(QUESTIONS), scope="session")
def asked(request: pytest.FixtureRequest) -> Analysis:
    return analysis(request.param, QUESTIONS)


def quick(asked: Analysis) -> Any:
    """The quick settings, made smaller still where three runs of them would take minutes."""
    return dataclasses.replace(asked.config.quick(), **SMALLER.get(asked.name, {}))


@pytest.fixture(scope="session")
def report(asked: Analysis, own_cache: Path) -> Report:
    """The quick answer, networks trained if no test did before."""
    return asked.answer(quick(asked))


def test_questions_are_found() -> None:
    assert {"does_it_learn_digits", "where_are_digits"} <= questions(QUESTIONS).keys()


def test_it_asks_a_question_and_tells_its_method(asked: Analysis) -> None:
    module = import_module(f"analyses.{asked.name}")
    assert asked.question == module.QUESTION
    assert asked.question.endswith("?")
    assert len((module.__doc__ or "").splitlines()) >= 3


def test_its_config_is_small_and_frozen(asked: Analysis) -> None:
    config = asked.config()
    names = [field.name for field in dataclasses.fields(config)]
    assert 1 <= len(names) <= 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, names[0], None)
    assert config == asked.config()


def test_its_quick_settings_are_settings(asked: Analysis) -> None:
    quick = asked.config.quick()
    assert type(quick) is asked.config
    assert config_of(asked.config, plain(quick, where="config")) == quick


def test_settings_that_do_not_exist_are_refused(asked: Analysis) -> None:
    with pytest.raises(Refused, match="no setting 'sedes'"):
        config_of(asked.config, {"sedes": 4})


def test_values_outside_what_its_settings_allow_are_refused(asked: Analysis) -> None:
    chosen = [name for name, kind in get_type_hints(asked.config).items() if get_origin(kind) is Literal]
    assert all(get_args(get_type_hints(asked.config)[name]) for name in chosen)
    for name in chosen:
        with pytest.raises(Refused, match=name):
            config_of(asked.config, {name: "nonsense"})


@pytest.mark.parametrize("seeds", [0, -1])
def test_seeds_that_are_no_count_are_refused(asked: Analysis, seeds: int) -> None:
    with pytest.raises((Refused, ModelsRefused), match=r"[Ss]eeds"):
        asked.answer(dataclasses.replace(asked.config.quick(), seeds=seeds))


def test_importing_it_costs_nothing_heavy(asked: Analysis) -> None:
    code = f"import sys, analyses.{asked.name}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_its_answer_has_claims_with_controls(asked: Analysis, report: Report) -> None:
    assert (report.question, report.analysis) == (asked.question, asked.name)
    assert report.claims
    for claim in report.claims:
        assert claim.controls or not claim.rule.startswith(COMPARING), claim.statement
    assert any(claim.controls for claim in report.claims)


def test_its_captions_say_what_shading_and_intervals_are(report: Report) -> None:
    for name, figure in report.figures.items():
        if "FillBetweenPolyCollection" in figure.svg:
            assert "mean and range over" in figure.caption, name
        if figure.alt.startswith("Dots with intervals"):
            assert "ntervals over" in figure.caption, name


def test_its_answer_says_where_it_comes_from(asked: Analysis, report: Report) -> None:
    provenance: dict[str, Any] = report.record()["provenance"]
    assert {"config", "seeds", "data", "versions", "run_time_seconds"} <= provenance.keys()
    assert provenance["seeds"]
    assert all(len(digest) == 64 for digest in provenance["data"].values())
    assert config_of(asked.config, provenance["config"]) == quick(asked)


def test_asked_twice_it_answers_the_same(asked: Analysis, report: Report) -> None:
    again = asked.answer(quick(asked)).record()
    first = report.record()
    for part in ("claims", "tables", "figures", "notes"):
        assert again[part] == first[part]


def test_its_report_is_written_read_and_verified_by_networks_trained_afresh(
    cli: Interp, asked: Analysis, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(report, tmp_path / "report")
    assert read_report(tmp_path / "report") == report.record()
    assert interp.claims_table(report).row_count == len(report.claims)
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "another cache"))
    done = cli("verify", tmp_path / "report", questions=QUESTIONS)
    assert done.code == 0, done.out
    assert "Every figure holds." in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"report", "another cache"}
