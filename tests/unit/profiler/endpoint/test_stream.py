"""Streamed answers are read by their token counts, and what is no answer is said to be none."""

import json
from collections.abc import Sequence

import pytest

from profiler.measure.endpoint.client import Received
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.stream import read

DONE = "data: [DONE]\n\n"


def event(**content: object) -> str:
    return f"data: {json.dumps(content)}\n\n"


def text(said: str, **more: object) -> str:
    return event(choices=[{"index": 0, "text": said, "finish_reason": None}], **more)


def finish(reason: str = "length") -> str:
    return event(choices=[{"index": 0, "text": "", "finish_reason": reason}])


def usage(completion: int, **more: object) -> str:
    return event(choices=[], usage={"prompt_tokens": 10, "completion_tokens": completion, **more})


def received(pieces: Sequence[str], status: int = 200, kind: str = "text/event-stream") -> Received:
    """Arrange pieces that arrived one second after the other, from second 1 on."""
    answer = Received(sent_s=0.0, status=status, kind=kind)
    for second, piece in enumerate(pieces, start=1):
        answer.data += piece.encode()
        answer.times_s.append(float(second))
        answer.lengths.append(len(answer.data))
    return answer


def test_tokens_are_timed_by_the_reading_that_completed_them() -> None:
    stream = read(received([text(" a"), text(" b"), text(" c") + finish() + usage(3) + DONE]), 3)

    assert (stream.times_s, stream.tokens) == ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    assert stream.prompt_tokens == 10


def test_an_event_that_arrives_in_parts_counts_when_it_is_whole() -> None:
    whole = text(" a")
    stream = read(received([whole[:20], whole[20:] + text(" b"), finish() + usage(2) + DONE]), 2)

    assert stream.times_s == (2.0, 2.0)


@pytest.mark.parametrize("running", [True, False])
def test_pieces_of_several_tokens_are_counted_by_usage_and_never_as_one(running: bool) -> None:
    counts = [{"usage": {"prompt_tokens": 10, "completion_tokens": n}} if running else {} for n in (4, 8, 12)]
    pieces = [text(" a b c d", **count) for count in counts]

    stream = read(received([*pieces, finish() + usage(12) + DONE]), 12)

    assert stream.tokens == (4.0, 8.0, 12.0)
    assert stream.running_usage is running


def test_a_last_piece_with_the_rest_does_not_change_what_the_others_hold() -> None:
    pieces = [text(" a b c d") for _ in range(5)]

    assert read(received([*pieces, finish() + usage(18)]), 18).tokens == (4.0, 8.0, 12.0, 16.0, 18.0)
    # Two of seven tokens came without text of their own.
    assert read(received([*pieces, finish() + usage(7)]), 7).tokens == pytest.approx(
        (1.4, 2.8, 4.2, 5.6, 7.0)
    )


def test_the_piece_that_names_a_role_and_the_one_that_ends_are_no_tokens() -> None:
    role = event(choices=[{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    said = event(choices=[{"delta": {"content": "x"}, "finish_reason": None}])
    thought = event(choices=[{"delta": {"reasoning_content": "x"}, "finish_reason": None}])
    end = event(choices=[{"delta": {}, "finish_reason": "length"}])

    stream = read(received([role, thought, said, end + usage(2) + DONE]), 2)

    assert stream.times_s == (2.0, 3.0)


def test_half_a_character_without_text_is_a_token_all_the_same() -> None:
    stream = read(received([text(""), text("é"), finish() + usage(2) + DONE]), 2)

    assert stream.times_s == (1.0, 2.0)


def test_a_last_token_may_come_with_the_finish() -> None:
    last = event(choices=[{"index": 0, "text": " a", "finish_reason": "length"}])

    assert read(received([last + usage(1) + DONE]), 1).first_s == 1.0


def test_carriage_returns_and_comments_are_part_of_the_protocol() -> None:
    stream = read(received([": ping\r\n\r\n", (text(" a") + finish() + usage(1)).replace("\n", "\r\n")]), 1)

    assert stream.times_s == (2.0,)


def test_cached_prompt_tokens_are_read_where_they_are_reported() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 8}}

    assert read(received([text(" a") + finish() + usage(1, **details)]), 1).cached_tokens == 8
    assert read(received([text(" a") + finish() + usage(1)]), 1).cached_tokens is None


@pytest.mark.parametrize(
    ("pieces", "says"),
    [
        ([text(" a"), text(" b")], "ended in the middle, after 2 pieces"),
        ([text(" a") + finish() + DONE], "carries no usage"),
        ([finish() + usage(0) + DONE], "without a single token"),
        ([event(choices=[{"text": None, "finish_reason": "stop"}]) + usage(1)], "without a single token"),
        (["data: <html>\n\n"], "no JSON object"),
        (["data: [1, 2]\n\n"], "no JSON object"),
        (["data: " + "[" * 100_000 + "\n\n"], "no JSON object"),
        ([text(" a"), event(error={"message": "CUDA out of memory"})], "CUDA out of memory"),
        ([text(" a"), "event: error\ndata: worker died\n\n"], "worker died"),
        ([""], "ended in the middle, after 0 pieces"),
    ],
)
def test_what_is_no_whole_answer_is_suspect_and_says_what_it_is(pieces: Sequence[str], says: str) -> None:
    with pytest.raises(AnswerError, match=says) as caught:
        read(received(pieces), 2)

    assert caught.value.suspect


def test_a_page_instead_of_a_stream_is_quoted() -> None:
    with pytest.raises(AnswerError, match="text/html, not an event stream: <h1>Sign in</h1>"):
        read(received(["<h1>Sign\n in</h1>"], kind="text/html"), 1)


@pytest.mark.parametrize(
    ("status", "suspect"), [(400, False), (422, False), (429, True), (500, True), (503, True)]
)
def test_refusals_concern_the_request_and_server_errors_the_server(status: int, suspect: bool) -> None:
    with pytest.raises(AnswerError, match=f"HTTP {status}: too long") as caught:
        read(received(["too long"], status=status, kind="application/json"), 1)

    assert caught.value.suspect is suspect


def test_an_answer_that_stops_early_says_that_the_engine_did_as_it_liked() -> None:
    with pytest.raises(AnswerError, match="ended after 2 of 64 tokens") as caught:
        read(received([text(" a"), text(" b"), finish("stop") + usage(2)]), 64)

    assert not caught.value.suspect
