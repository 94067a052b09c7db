"""Make the files that Dynamo's simulated engine reads: a tiny model folder and a timing table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODEL = "headgate/tiny"
WORDS = 4096
"""Size of the vocabulary. The engine answers with ids from 1,000 to 2,000: all of them are words."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Say how long the simulated engine takes, in seconds.

    `prefill_s(tokens)`: one iteration over that many new prompt tokens.
    `decode_s(batch, context_tokens)`: one step of that many sequences, each with that many tokens so far.
    """

    prefill_s: Callable[[float], float]
    decode_s: Callable[[float, float], float]


def prompt(tokens: int, seed: int = 0) -> str:
    """Write a prompt of so many tokens; prompts of different seeds share no prefix."""
    numbers = np.random.default_rng(seed).integers(3, WORDS, size=tokens)
    return " ".join(f"w{number}" for number in numbers)


def write_model(hub: Path) -> Path:
    """Write the model into a local Hugging Face cache and return its folder.

    Dynamo looks a model up by its name in the cache that `HF_HUB_CACHE` names; a bare folder works only
    under its own path as the name.
    """
    cache = hub / f"models--{MODEL.replace('/', '--')}"
    folder = cache / "snapshots" / "main"
    folder.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("main")
    (folder / "config.json").write_text(json.dumps(_CONFIG))
    (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    return folder


def write_timing(
    path: Path, timing: Timing, max_tokens: int = 32_768, max_kv_tokens: int = 1_048_576
) -> Path:
    """Tabulate the timing on a grid, as `--planner-profile-data` reads it, and return the path.

    The engine interpolates linearly between grid points and goes on so outside; its context axis is
    KV tokens over batch, so for a context c and n KV tokens the step is `decode_s(n / c, c)`.
    """
    isl = np.concatenate([[0.0], np.geomspace(1, max_tokens, 121)])
    context = np.geomspace(1, max_tokens, 121)
    kv = np.concatenate([[0.0], np.geomspace(1, max_kv_tokens, 161)])
    decode = [[timing.decode_s(max(1.0, n / c), c) for c in context] for n in kv]
    np.savez(
        path,
        prefill_isl=isl,
        prefill_ttft_ms=_milliseconds([timing.prefill_s(n) for n in isl]),
        decode_active_kv_tokens=kv,
        decode_context_length=context,
        decode_itl=_milliseconds(decode),
    )
    return path


def _milliseconds(seconds: Sequence[float] | Sequence[Sequence[float]]) -> np.ndarray:
    return 1_000.0 * np.asarray(seconds, dtype=float)


def _tokenizer() -> dict[str, object]:
    """Describe a tokenizer of whole words, parted by blanks: a prompt of n words has n tokens."""
    names = ["<unk>", "<s>", "</s>"] + [f"w{number}" for number in range(3, WORDS)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": names[number], **flags} for number in range(3)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {name: number for number, name in enumerate(names)},
            "unk_token": "<unk>",
        },
    }


_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 131_072,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "chat_template": "{% for message in messages %}{{ message.content }} {% endfor %}",
}
