"""The language host answers recorded requests as the real one did."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2

from rehearsal.language.host import Host
from rehearsal.paths import CHECKOUT

Json = dict[str, Any]
CALLS = {
    call["method"]: cast(Json, call)
    for call in map(json.loads, (Path(__file__).parent / "recordings" / "calls.jsonl").read_text().splitlines())
}
CONTEXT: Any = None


def info_of(call: Json) -> language_pb2.ProgramInfo:
    """The recorded project, with the environment of these tests in place of the recorded one's."""
    info = cast(Json, call["request"]["info"]) | {
        "rootDirectory": str(CHECKOUT),
        "programDirectory": str(CHECKOUT),
        "options": {"virtualenv": sys.prefix},
    }
    return json_format.ParseDict(info, language_pb2.ProgramInfo())


def test_the_host_says_nothing_of_itself_and_takes_a_cancel() -> None:
    host = Host("")

    assert (
        json_format.MessageToDict(host.GetPluginInfo(empty_pb2.Empty(), CONTEXT)) == CALLS["GetPluginInfo"]["response"]
    )
    assert json_format.MessageToDict(host.Cancel(empty_pb2.Empty(), CONTEXT)) == CALLS["Cancel"]["response"]


def test_the_required_providers_are_those_of_the_installed_packages() -> None:
    call = CALLS["GetRequiredPackages"]
    request = language_pb2.GetRequiredPackagesRequest(info=info_of(call))

    answer = json_format.MessageToDict(Host("").GetRequiredPackages(request, CONTEXT))

    assert answer == call["response"]


def test_about_names_the_environments_interpreter_and_toolchain() -> None:
    call = CALLS["About"]

    answer = json_format.MessageToDict(Host("").About(language_pb2.AboutRequest(info=info_of(call)), CONTEXT))

    assert answer.keys() == call["response"].keys()
    assert answer["metadata"].keys() == call["response"]["metadata"].keys()
    assert answer["metadata"]["toolchain"] == call["response"]["metadata"]["toolchain"]
    assert answer["executable"] == str(Path(sys.prefix) / "bin" / "python")
