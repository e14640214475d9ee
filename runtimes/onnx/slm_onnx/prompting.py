"""From a request to what the model's chat template takes. Pure; the template itself is the model folder's own."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from slm_onnx.answer import TOOL_CALL_CLOSE, TOOL_CALL_OPEN
from slm_onnx.schemas import AssistantMessage, Message, Tool, ToolMessage

TaskType = Literal["reasoning", "math", "coding"]

TASK_PREFIXES: dict[TaskType, str] = {
    "reasoning": "Think step by step and show your reasoning clearly:",
    "math": "Solve this mathematical problem step by step:",
    "coding": "Write clean, well-commented code for this task:",
}


def task_messages(prompt: str, task_type: TaskType) -> list[dict[str, Any]]:
    """A prompt of `/reasoning` as a conversation: its task's prefix, a blank line, the prompt."""
    return [{"role": "user", "content": f"{TASK_PREFIXES[task_type]}\n\n{prompt}"}]


def template_messages(messages: Sequence[Message], tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """A conversation in the roles and the fields that Phi-4-mini's template knows.

    Tools go into the system turn as JSON text: the published template ignores tools that are given apart from it.
    """
    turns = [_turn(message) for message in messages]
    if not tools:
        return turns
    if turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": ""})
    offered = [tool.model_dump(exclude_none=True) for tool in tools]
    turns[0]["tools"] = json.dumps(offered, ensure_ascii=False)
    return turns


def _turn(message: Message) -> dict[str, Any]:
    if isinstance(message, ToolMessage):
        # The model's own name for a result; the template would write OpenAI's `tool` as the opening of a tool list.
        return {"role": "tool_response", "content": message.text}
    if isinstance(message, AssistantMessage) and message.tool_calls:
        calls = [{"name": call.function.name, "arguments": call.function.parsed} for call in message.tool_calls]
        written = json.dumps(calls, ensure_ascii=False)
        return {"role": "assistant", "content": f"{message.text}{TOOL_CALL_OPEN}{written}{TOOL_CALL_CLOSE}"}
    return {"role": "system" if message.role == "developer" else message.role, "content": message.text}
