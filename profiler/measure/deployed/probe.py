"""Ask an OpenAI-compatible endpoint whether it serves a model yet."""


def serves(url: str, timeout_s: float = 5.0) -> str | None:
    """Return why the endpoint is not ready, `None` when it lists a model."""
    import requests

    base = url.rstrip("/").removesuffix("/v1")
    try:
        answer = requests.get(f"{base}/v1/models", timeout=timeout_s)
        models = answer.json().get("data") if answer.ok else None
    except requests.ConnectionError:
        return f"{base} takes no connections yet"
    except requests.Timeout:
        return f"{base} does not answer within {timeout_s:g} s"
    except (requests.RequestException, ValueError, AttributeError) as error:
        return f"{base}/v1/models answers with no list of models: {type(error).__name__}"
    if answer.status_code in {401, 403}:
        return None  # it guards what it serves: the measuring client has the key
    if not answer.ok:
        return f"{base}/v1/models answers {answer.status_code}"
    return None if models else f"{base} lists no model yet"
