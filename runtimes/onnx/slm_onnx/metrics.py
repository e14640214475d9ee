"""The server's numbers, for Prometheus. Owns names and buckets; the worker says when something happened."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from slm_onnx.generation import Finished, Generation

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class Metrics:
    """One server's metrics, in a registry of their own."""

    def __init__(self, *, model: str, fixture: Callable[[], bool], waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._in_flight = Gauge(
            "slm_requests_in_flight", "Requests that were accepted and not answered.", registry=self.registry
        )
        queued = Gauge("slm_requests_waiting", "Requests that wait for the model.", registry=self.registry)
        queued.set_function(waiting)
        self._duration = Histogram(
            "slm_request_duration_seconds",
            "From a request's acceptance to its last token.",
            ["route", "outcome"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._first = Histogram(
            "slm_time_to_first_token_seconds",
            "From a request's acceptance to its first token, waiting included.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._each = Histogram(
            "slm_time_per_output_token_seconds",
            "Mean time between an answer's tokens.",
            buckets=TOKEN_SECONDS,
            registry=self.registry,
        )
        self._prompt = Counter("slm_prompt_tokens", "Tokens of prompts that were read.", registry=self.registry)
        self._generated = Counter("slm_generated_tokens", "Tokens that were generated.", registry=self.registry)
        self._refused = Counter(
            "slm_requests_refused", "Requests that were not accepted.", ["reason"], registry=self.registry
        )
        info = Gauge("slm_fixture", "1 if the weights are a rehearsal's fixture.", ["model"], registry=self.registry)
        info.labels(model).set_function(lambda: float(fixture()))

    def accepted(self) -> None:
        """A request was accepted."""
        self._in_flight.inc()

    def refused(self, reason: str) -> None:
        """A request was refused for the server's own reasons."""
        self._refused.labels(reason).inc()

    def finished(self, generation: Generation, finished: Finished, now: float) -> None:
        """A request was answered, or given up. `now` is on the monotonic clock."""
        self._in_flight.dec()
        self._duration.labels(generation.route, finished.outcome).observe(now - generation.created_at)
        self._generated.inc(generation.completion_tokens)
        first = generation.first_token_at
        if first is None:
            return
        self._prompt.inc(len(generation.prompt))
        self._first.observe(first - generation.created_at)
        if generation.completion_tokens > 1:
            self._each.observe((now - first) / (generation.completion_tokens - 1))

    def page(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)
