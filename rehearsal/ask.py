"""Asks a running stack one question and shows the answer as it comes."""

import json
import ssl
from pathlib import Path
from typing import Any, TextIO

import httpx

from rehearsal.errors import RehearsalError

TIMEOUT = httpx.Timeout(300, connect=10)
MAX_TOKENS = 300


def stream(endpoint: str, certificate: Path, api_key: str, question: str, output: TextIO) -> None:
    """Write the default server's streamed answer to `output`.

    Raises:
        RehearsalError: if the stack does not answer.
    """
    trust = ssl.create_default_context(cafile=certificate)
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=endpoint, headers=headers, verify=trust, timeout=TIMEOUT, trust_env=False) as client:
        try:
            model: dict[str, Any] = client.get("/v1/models").raise_for_status().json()["data"][0]
            body: dict[str, Any] = {
                "model": model["id"],
                "messages": [{"role": "user", "content": question}],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
                "stream": True,
            }
            output.write(f"\n> {question}\n\n")
            with client.stream("POST", "/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                for line in response.iter_lines():
                    output.write(_text(line))
                    output.flush()
        except httpx.HTTPError as error:
            raise RehearsalError(
                f"The stack does not answer: {error}", "Look at `./scripts/rehearse logs gateway` and `logs onnx`"
            ) from error
    output.write("\n")
    if model.get("fixture"):
        output.write(
            "\n(The model is a fixture: it knows the guide's questions by heart and says so of anything else.)\n"
        )


def how_to_go_on(endpoint: str, certificate: Path, api_key_file: Path) -> str:
    """What a user needs to ask more."""
    return f"""
endpoint  {endpoint}
key       {api_key_file}
ask more  curl --cacert {certificate} -H "Authorization: Bearer $(cat {api_key_file})" \\
            -H 'Content-Type: application/json' {endpoint}/reasoning \\
            -d '{{"prompt": "If a car travels at 60 mph for 2.5 hours, how far does it go?", "task_type": "math"}}'
end it    ./scripts/rehearse down
"""


def _text(line: str) -> str:
    """The piece of the answer that a line of the event stream holds."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return ""
    choices = json.loads(line.removeprefix("data: "))["choices"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
