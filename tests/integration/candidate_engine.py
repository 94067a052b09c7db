"""Serve an engine of known times on a port, until told to stop: what a candidate's pod runs in tests."""

import argparse
import asyncio
import signal

from tests.openai_engine import Behaviour, Clockwork, Server, State


async def serve(port: int, clockwork: Clockwork) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server(clockwork, Behaviour(models=("gpt-oss-120b",)), State())
    engine = asyncio.ensure_future(server.engine.run())
    listener = await asyncio.start_server(server.connected, "127.0.0.1", port, limit=2**26)
    await stop.wait()
    listener.close()
    engine.cancel()


def main() -> None:
    """Read the port, and how many GPUs share the work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, clockwork(given.gpus)))


def clockwork(gpus: int) -> Clockwork:
    """Return the times of a candidate: a quarter on twice the GPUs, which no busy machine blurs."""
    share = 1 / gpus**2
    return Clockwork(
        prefill_base_s=0.001 * share,
        prefill_s_per_token=600e-6 * share,
        step_s=0.024 * share,
        sequence_s=0.002 * share,
        context_s=4e-6 * share,
    )


if __name__ == "__main__":
    main()
