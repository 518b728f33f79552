"""`interp generate`: how a network goes on with a prompt.

RUN is a folder that `interp train` wrote, on data of tokens (every network of the run continues, each on a line of its
own), or a folder with a pretrained language model. Without --temperature the likeliest token is taken each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

import models
from analyses.command_line.environment import one_thread
from analyses.command_line.options import Shared, optional, parse, positional
from analyses.command_line.output import show, show_json, table
from analyses.command_line.run_folder import opened_run
from models.refusals import BadFile, Refused

if TYPE_CHECKING:
    from torch import Tensor

    from models.data.tokenizers import Tokenizer

MOST_UNASKED = 32


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(Shared):
    """Continues a prompt, by the likeliest token each time or, with --temperature, by drawing."""

    run: Annotated[Path, tyro.conf.Positional, positional("RUN")]
    """folder that `interp train` wrote, or folder of a pretrained language model"""
    prompt: Annotated[str, tyro.conf.Positional, positional("PROMPT")]
    """text to go on with, spelt as the training data are"""
    temperature: float = 0.0
    """0: the likeliest token; 1: as often as the network says; above: flatter"""
    top_k: Annotated[int | None, optional("K", "all tokens")] = None
    """draw among the K likeliest tokens only"""
    seed: int = 0
    """of the drawing"""
    tokens: Annotated[int | None, optional("N", f"as the context allows, at most {MOST_UNASKED}")] = None
    """how many new tokens"""
    network: Annotated[int | None, optional("SEED", "every network of the run")] = None
    """the network of this seed only"""


@dataclass(frozen=True)
class Writer:
    """A network, or a population, with what makes text of tokens and tokens of text; `end`: a token that ends texts."""

    model: models.HookedModel
    encode: Callable[[str], Tensor]
    decode: Callable[[Tensor], str]
    end: int | None = None


def generate(arguments: Sequence[str], _questions: Path) -> int:
    """Prints the prompt's continuation."""
    options = parse(GenerateOptions, arguments, command="generate")
    one_thread()
    writer = writer_of(options.run, network=options.network)
    prompt = writer.encode(options.prompt)
    written = models.generate(
        writer.model,
        prompt,
        count=_count(options, writer.model, prompt.shape[-1]),
        temperature=options.temperature,
        top_k=options.top_k,
        seed=options.seed,
    )
    _show(options, writer, written.reshape(-1, written.shape[-1]), given=prompt.shape[-1])
    return 0


def writer_of(run: Path, *, network: int | None) -> Writer:
    """The networks of a run, or the pretrained model in a folder.

    Raises `BadFile` for a folder that holds neither, `Refused` for networks without a tokenizer of their own.
    """
    if not (run / "recipe.json").exists() and (run / "config.json").exists() and not _is_ours(run):
        return _pretrained(run, network=network)
    recipe, trained = opened_run(run)
    model = trained.model if network is None else trained.model.member(network)
    tokenizer = models.run_tokenizer(run, recipe)
    opening = [] if tokenizer.bos_id is None else [tokenizer.bos_id]

    def encode(text: str) -> Tensor:
        return _row([*opening, *tokenizer.encode(text)])

    from models.data.text import line_end

    end = line_end(tokenizer)
    if end is None:
        return Writer(model, encode, lambda ids: tokenizer.decode(ids.tolist()))
    return _of_lines(model, tokenizer, end)


def _of_lines(model: models.HookedModel, tokenizer: Tokenizer, end: int) -> Writer:
    """A network that learned lines (names, say): it begins at the end of another line, and ends with its own."""

    opening = tokenizer.decode([end])

    def encode(text: str) -> Tensor:
        return _row([end, *tokenizer.encode(text.removeprefix(opening))])

    return Writer(model, encode, lambda ids: tokenizer.decode(ids.tolist()).removeprefix(opening), end)


def _is_ours(folder: Path) -> bool:
    """Whether a folder with a config.json is one seed's part of a run."""
    if not (folder / "weights.safetensors").exists():
        return False
    raise BadFile(f"{folder} holds the network of one seed: give the run's folder, and --network SEED.")


def _pretrained(folder: Path, *, network: int | None) -> Writer:
    if network is not None:
        raise Refused(
            f"--network chooses among the networks of a run; {folder} holds one pretrained network."
        )
    model = models.load_pretrained(folder)
    return Writer(model, model.encode, model.decode)


def _row(numbers: Sequence[int]) -> Tensor:
    import torch

    if not numbers:
        raise Refused("The prompt is empty, and this network has no token that opens a text: give a word.")
    return torch.tensor([list(numbers)])


def _count(options: GenerateOptions, model: models.HookedModel, given: int) -> int:
    """How many tokens are asked for; without a wish as many as fit, within bounds."""
    context: int | None = getattr(model.config, "context", None)
    if options.tokens is not None:
        return options.tokens
    return MOST_UNASKED if context is None else max(1, min(MOST_UNASKED, context - given + 1))


def _show(options: GenerateOptions, writer: Writer, written: Tensor, *, given: int) -> None:
    seeds: list[Any] = list(writer.model.every_seed)
    rows = [_ended(row, given, writer.end) for row in written]
    texts = [writer.decode(row) for row in rows]
    if options.json:
        found = [
            {"seed": seed, "text": text, "tokens": row[given:].tolist()}
            for seed, text, row in zip(seeds, texts, rows, strict=True)
        ]
        show_json({"run": str(options.run), "prompt": options.prompt, "continuations": found})
    elif len(texts) == 1:
        show(texts[0])
    else:
        cells = [[str(seed), text] for seed, text in zip(seeds, texts, strict=True)]
        show(table(f"{options.run}: the networks of {len(seeds)} seeds", ("seed", "text"), cells))


def _ended(tokens: Tensor, given: int, end: int | None) -> Tensor:
    """The tokens up to the first after the prompt that ends the text: no network has learned what comes then."""
    new = tokens[given:].tolist()
    return tokens[: given + new.index(end)] if end in new else tokens
