"""Hugging Face folders and names: configuration, weights and tokenizer, or a refusal that names what is missing.

A folder is read as it is and never looked up on the network; a name is looked up, unless INTERP_OFFLINE (or
HF_HUB_OFFLINE) is set: then only what an earlier download left in the cache is read. Code that comes with a model is
never run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.refusals import BadFile, Refused

PADDED_BY = (
    0.1  # weights are often padded to a round number of tokens; more than a tenth is another tokenizer
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """Where a model is: the name or folder for Hugging Face's loaders, and whether they may use the network."""

    place: str
    folder: Path | None
    offline: bool

    @property
    def loading(self) -> dict[str, Any]:
        """The settings shared by all loaders."""
        return {"local_files_only": self.offline, "trust_remote_code": False}


def source_of(name_or_folder: str | os.PathLike[str]) -> Source:
    """A folder with a config.json, or a name. Raises `BadFile` for a folder without one, or that is not there."""
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BadFile(
                f"{folder} has no config.json: it is not a folder that Hugging Face models are saved in."
            )
        return Source(str(folder), folder, offline=True)
    text = str(name_or_folder)
    if not isinstance(name_or_folder, str) or folder.is_file() or text.count("/") > 1 or text[:1] in "./~":
        raise BadFile(
            f"There is no folder {folder}. Give a folder with config.json and weights, or a model's name."
        )
    from huggingface_hub import constants

    wish = os.environ.get("INTERP_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")
    return Source(text, None, offline=wish or bool(constants.HF_HUB_OFFLINE))


def read_network(source: Source, *, dtype: torch.dtype) -> Any:
    """The network as Hugging Face builds it, every weight from the file. Raises `BadFile` naming what is wrong."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with _quiet_and_offline(source):
        config = _read(source, "config.json", AutoConfig)
        network, report = _read(
            source,
            "the weights",
            AutoModelForCausalLM,
            config=config,
            dtype=dtype,
            attn_implementation="eager",
            output_loading_info=True,
        )
    _check_complete(source, network, report)
    return network.eval()


def _check_complete(source: Source, network: Any, report: dict[str, Any]) -> None:
    """Refuses weights that are missing, of another shape, or of more layers than config.json has.

    Other entries that nobody asked for (old buffers, heads for other tasks) are common in published files and harmless.
    """
    own = {re.sub(r"\d+", "#", name) for name, _ in network.named_parameters()}
    surplus = [key for key in report["unexpected_keys"] if re.sub(r"\d+", "#", str(key)) in own]
    wrong = {"missing": report["missing_keys"], "mismatched": report["mismatched_keys"], "surplus": surplus}
    for what, keys in wrong.items():
        if names := sorted(str(key) for key in keys):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise BadFile(
                f"The weights of {source.place} do not fit its config.json: {what} {', '.join(names[:3])}{more}."
            )


def read_tokenizer(source: Source, *, vocabulary: int) -> Any:
    """The folder's tokenizer, or None where it has none.

    Raises `Refused` for one that does not fit the weights: with tokens they do not have, or far fewer than they have.
    """
    from transformers import AutoTokenizer

    if source.folder is not None and not any((source.folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    with _quiet_and_offline(source):
        tokenizer = _read(source, "the tokenizer", AutoTokenizer)
    known = max(tokenizer.get_vocab().values(), default=-1) + 1
    if not (1 - PADDED_BY) * vocabulary <= known <= vocabulary:
        raise Refused(
            f"The tokenizer of {source.place} does not fit the weights: it has {known:,} tokens, they have "
            f"{vocabulary:,}. Put the tokenizer that the network was trained with beside the weights."
        )
    return tokenizer


def _read(source: Source, what: str, loader: Any, **settings: Any) -> Any:
    """What a loader makes of the source; whatever it raises becomes a `BadFile` that names the file."""
    try:
        return loader.from_pretrained(source.place, **source.loading, **settings)
    except Exception as error:  # the loaders raise errors of five libraries, down to KeyError
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadFile(f"{_blame(source, what)} ({type(error).__name__}: {reason})") from error


def _blame(source: Source, what: str) -> str:
    if source.folder is None:
        hint = (
            "it is not in the cache and INTERP_OFFLINE forbids the download"
            if source.offline
            else "see below"
        )
        return f"There is no model {source.place!r}, or {what} cannot be read: {hint}."
    if what != "the weights":
        return f"{what} in {source.folder} cannot be read."
    files = sorted(path.name for path in source.folder.glob("*.safetensors"))
    found = f"{', '.join(files)} is truncated or altered" if files else "there is no model.safetensors"
    return f"The weights in {source.folder} cannot be read: {found}. Copy the folder again."


@contextmanager
def _quiet_and_offline(source: Source) -> Iterator[None]:
    """No progress bars of the loaders; for folders and offline, no request either. Both are put back."""
    from huggingface_hub import constants
    from transformers.utils import logging

    bars, online = logging.is_progress_bar_enabled(), constants.HF_HUB_OFFLINE
    try:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        # loaders ask the hub about local folders too (is this tokenizer one with a known bug?)
        constants.HF_HUB_OFFLINE = online or source.offline
        yield
    finally:
        constants.HF_HUB_OFFLINE = online
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
