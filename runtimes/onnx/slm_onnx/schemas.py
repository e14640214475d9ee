"""What a caller may send: the fields of OpenAI's chat API that this server honours, and of `/reasoning`.

A field that would change the answer and is not honoured is refused; one that would not is ignored: clients send many.
"""

import json
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
TopP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TokenCount = Annotated[int, Field(ge=1)]
StopText = Annotated[str, Field(min_length=1)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Body(BaseModel):
    """A part of a request. Numbers are not read from text: `"0.5"` is a mistake that should show."""

    model_config = ConfigDict(strict=True)


class TextPart(Body):
    """A part of a message's content; this model reads nothing but text."""

    type: Literal["text"]
    text: str


class _TextMessage(Body):
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class PlainMessage(_TextMessage):
    """What the operator or the user says."""

    role: Literal["system", "developer", "user"]


class FunctionCall(Body):
    """A function and its arguments as JSON text."""

    name: str
    arguments: str

    @property
    def parsed(self) -> Any:
        """The arguments as they were; text that is no JSON stays text."""
        try:
            return json.loads(self.arguments)
        except ValueError:
            return self.arguments


class AssistantToolCall(Body):
    """A call that the model made earlier in the conversation."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class AssistantMessage(_TextMessage):
    """What the model said earlier; it has text, tool calls or both."""

    role: Literal["assistant"]
    content: str | list[TextPart] | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    tool_calls: list[AssistantToolCall] | None = None

    @property
    def text(self) -> str:
        """The content as one text, empty if there is none."""
        return "" if self.content is None else super().text


class ToolMessage(_TextMessage):
    """The result of a tool call."""

    role: Literal["tool"]
    tool_call_id: str


Message = Annotated[PlainMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(Body):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Body):
    """A tool on offer."""

    type: Literal["function"]
    function: Function


class StreamOptions(Body):
    """What a stream says beside the text."""

    include_usage: bool = False


NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "tool_choice": ("none", "auto"),
}
"""Fields that are not honoured, with the values that ask for nothing."""


class ChatRequest(Body):
    """The body of `/v1/chat/completions`."""

    model: str | None = None
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: int | None = None
    stop: Annotated[list[StopText] | None, BeforeValidator(_listed), Field(max_length=4)] = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_honoured(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        fields = cast(dict[str, object], data)
        for name, neutral in NEUTRAL.items():
            value = fields.get(name)
            if value is not None and value not in neutral:
                raise ValueError(f"`{name}` is not supported by this server: leave it out")
        return fields

    @model_validator(mode="after")
    def _usage_is_streamed(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("`stream_options` is only allowed with `stream: true`")
        return self

    @property
    def limit(self) -> int | None:
        """How many tokens the answer may have, if the caller says."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools or []


class ReasoningRequest(Body):
    """The body of `/reasoning`; `max_length` counts the answer's tokens."""

    prompt: Annotated[str, Field(min_length=1)]
    task_type: Literal["reasoning", "math", "coding"] = "reasoning"
    max_length: TokenCount = 512
    temperature: Temperature = 0.7


class ReasoningAnswer(BaseModel):
    """The answer of `/reasoning`; `inference_time` is in seconds, waiting in the queue included."""

    generated_text: str
    task_type: str
    inference_time: float
    model: str
    prompt_tokens: int
    completion_tokens: int
