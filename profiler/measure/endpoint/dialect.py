"""Find out what an endpoint takes: its model, token ids or text, completions or chat, which extensions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import MeasureError
from profiler.measure.endpoint.client import Client, Received, said
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.policy import EndpointPolicy
from profiler.measure.endpoint.prompts import Ids, Prompt, Words
from profiler.measure.endpoint.stream import Stream, read

if TYPE_CHECKING:
    from numpy.random import Generator

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
IGNORE_EOS, MIN_TOKENS, RUNNING_USAGE = "ignore_eos", "min_tokens", "continuous_usage_stats"

# The richest first: what the OpenAI API does not know is left out where an endpoint refuses it.
_EXTENSIONS = (
    (IGNORE_EOS, MIN_TOKENS, RUNNING_USAGE),
    (IGNORE_EOS, MIN_TOKENS),
    (IGNORE_EOS,),
    (),
)
_PROBE_TOKENS = 3
# Text is calibrated between a short and a long prompt, in words.
_FEW_WORDS, _MANY_WORDS = 32, 416


@dataclass(frozen=True, slots=True)
class Dialect:
    """Hold how to ask one endpoint for tokens."""

    path: str
    model: str
    writing: Ids | Words
    extensions: tuple[str, ...]

    def body(self, prompt: Prompt, tokens: int) -> bytes:
        """Return the request that answers this prompt with exactly `tokens` tokens, streamed."""
        asked: dict[str, Any] = {
            "model": self.model,
            "max_tokens": tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.path == CHAT:
            asked["messages"] = [{"role": "user", "content": prompt}]
        else:
            asked["prompt"] = prompt
        if IGNORE_EOS in self.extensions:
            asked[IGNORE_EOS] = True
        if MIN_TOKENS in self.extensions:
            asked[MIN_TOKENS] = tokens
        if RUNNING_USAGE in self.extensions:
            asked["stream_options"][RUNNING_USAGE] = True
        return json.dumps(asked, separators=(",", ":")).encode()

    def __str__(self) -> str:
        """Say how prompts are written."""
        return "prompts as token ids" if isinstance(self.writing, Ids) else "prompts as text"


async def learn(client: Client, policy: EndpointPolicy, rng: "Generator") -> Dialect:
    """Ask until a form of request is answered with the tokens asked for.

    Raises MeasureError with what the endpoint said to the forms that failed.
    """
    model = await _model(client, policy)
    refusals: list[str] = []
    forms = ((COMPLETIONS, Ids(policy.vocabulary)), (COMPLETIONS, Words(1.0, 0.0)), (CHAT, Words(1.0, 0.0)))
    for path, writing in forms:
        for extensions in _EXTENSIONS:
            dialect = Dialect(path, model, writing, extensions)
            outcome = await _try(client, dialect, rng)
            if isinstance(outcome, Stream):
                return dialect if isinstance(writing, Ids) else await _calibrated(client, dialect, rng)
            if outcome not in refusals:
                refusals.append(outcome)
    raise MeasureError(f"{policy.base} answers no form of request for {model}: {'; '.join(refusals)}")


async def _try(client: Client, dialect: Dialect, rng: "Generator") -> Stream | str:
    body = dialect.body(dialect.writing.make(rng, _FEW_WORDS), _PROBE_TOKENS)
    received = await answered(client, dialect.path, body)
    if received.status in (401, 403):
        raise MeasureError(
            f"{dialect.path} of the endpoint refuses us (HTTP {received.status}: {said(received)}): set "
            "HEADGATE_ENDPOINT_API_KEY or name a file with --api-key-file"
        )
    try:
        return read(received, _PROBE_TOKENS)
    except AnswerError as error:
        return f"{dialect.path}: {error.reason}"


async def _calibrated(client: Client, dialect: Dialect, rng: "Generator") -> Dialect:
    counts = []
    for words in (_FEW_WORDS, _MANY_WORDS):
        prompt = Words(1.0, 0.0).make(rng, words)
        received = await answered(client, dialect.path, dialect.body(prompt, _PROBE_TOKENS))
        try:
            counts.append(read(received, _PROBE_TOKENS).prompt_tokens)
        except AnswerError as error:
            raise MeasureError(
                f"{dialect.path} did not answer a prompt of {words} words: {error.reason}"
            ) from None
    per_word = (counts[1] - counts[0]) / (_MANY_WORDS - _FEW_WORDS)
    if per_word <= 0:
        raise MeasureError(
            f"{dialect.path} counts {counts[0]} tokens in {_FEW_WORDS} words and {counts[1]} in "
            f"{_MANY_WORDS}: without a usable usage.prompt_tokens prompts have no known length"
        )
    around = max(0.0, counts[0] - per_word * _FEW_WORDS)
    return Dialect(dialect.path, dialect.model, Words(per_word, around), dialect.extensions)


async def answered(client: Client, path: str, body: bytes) -> Received:
    """Send one request of the preparations; a broken connection ends them with MeasureError."""
    try:
        return await client.post(path, body)
    except AnswerError as error:
        raise MeasureError(
            f"{error.reason}; look at the endpoint's log, then run the same command again"
        ) from None


async def _model(client: Client, policy: EndpointPolicy) -> str:
    """Return the model's name at the endpoint."""
    try:
        received = await client.get("/v1/models")
    except AnswerError as error:
        raise MeasureError(f"{error.reason}; is {policy.base} an OpenAI-compatible endpoint?") from None
    if received.status in (401, 403):
        raise MeasureError(
            f"{policy.base} refuses us (HTTP {received.status}): set HEADGATE_ENDPOINT_API_KEY or name a "
            "file with --api-key-file"
        )
    served = _names(received)
    if served is None:
        raise MeasureError(
            f"{policy.base}/v1/models answers HTTP {received.status}, {said(received)}: not an "
            "OpenAI-compatible endpoint; write its base URL, without /v1"
        )
    found = pick(policy.served_model or policy.model, served, exact=policy.served_model is not None)
    if found is None:
        names = ", ".join(served) or "no model: is it still loading?"
        wanted = policy.served_model or policy.model
        raise MeasureError(
            f"{policy.base} does not serve {wanted}; it serves {names}; choose with --served-model"
        )
    return found


def _names(received: Received) -> list[str] | None:
    try:
        listed = json.loads(received.data)["data"]
        return [str(each["id"]) for each in listed] if received.status == 200 else None
    except (ValueError, KeyError, TypeError):
        return None


def pick(wanted: str, served: Sequence[str], exact: bool) -> str | None:
    """Return the served name that means the wanted model: the same, or the same after `organisation/`.

    Where `exact` is not asked and one served name alone contains the wanted one, it is taken:
    `gpt-oss-120b` finds `openai/gpt-oss-120b-mxfp4`.
    """
    if wanted in served:
        return wanted
    if exact:
        return None
    short = wanted.lower().rpartition("/")[2]
    same = [name for name in served if name.lower().rpartition("/")[2] == short]
    within = [name for name in served if short in name.lower()]
    for found in (same, within):
        if len(found) == 1:
            return found[0]
    return None
