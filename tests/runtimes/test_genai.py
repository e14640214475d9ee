"""The library gives the interpreter back while it computes, and text comes out as it went in."""

import threading

import pytest
from slm_onnx import genai
from slm_onnx.genai import GenaiError, Model, Sampling

from tests.runtimes.conftest import MODEL


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(MODEL, threads=1)


def answer(model: Model, prompt: list[int], count: int, sampling: Sampling | None = None) -> list[int]:
    generator = model.generator(max_length=len(prompt) + count, sampling=sampling or Sampling())
    generator.append(prompt)
    tokens = [generator.next_token() for _ in range(count)]
    generator.close()
    return tokens


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語", "😀👩‍👩‍👧 family", "a\n\tb", "\u202eright to left"])
def test_characters_of_several_tokens_come_out_whole(model: Model, text: str) -> None:
    tokenizer = model.tokenizer()
    stream = tokenizer.stream()
    parts = [stream.decode(token) for token in tokenizer.encode(text)]
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)


@pytest.mark.parametrize("text", ["", "half \ud800 a pair", "nothing \0 ends it"])
def test_text_that_c_cannot_hold_is_read_nevertheless(model: Model, text: str) -> None:
    tokenizer = model.tokenizer()
    tail = tokenizer.encode("tail")
    assert tokenizer.encode(f"{text}tail")[-len(tail) :] == tail


def test_the_chat_template_is_the_models_own(model: Model) -> None:
    messages = [{"role": "system", "content": 'Be "brief"', "tools": '[{"a": 1}]'}, {"role": "user", "content": "Hi"}]
    expected = '<|system|>Be "brief"<|tool|>[{"a": 1}]<|/tool|><|end|><|user|>Hi<|end|><|assistant|>'
    assert model.tokenizer().chat(messages) == expected


def test_a_prompt_read_in_chunks_is_answered_as_one_read_at_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = model.tokenizer().encode("a long prompt, 1 2 3. " * 40)
    whole = answer(model, prompt, 8)
    monkeypatch.setattr(genai, "PREFILL_CHUNK_TOKENS", 50)
    assert answer(model, prompt, 8) == whole


def test_a_seed_decides_and_no_temperature_is_greedy(model: Model) -> None:
    prompt = model.tokenizer().encode("<|user|>Hello<|end|><|assistant|>")
    wild = [answer(model, prompt, 12, Sampling(temperature=2.0, seed=seed)) for seed in (1, 1, -(2**40), 2, 3)]
    assert wild[0] == wild[1]
    assert len({tuple(tokens) for tokens in wild}) > 1
    assert answer(model, prompt, 12, Sampling(temperature=2.0, top_p=0)) == answer(model, prompt, 12)


@pytest.fixture(scope="module")
def long_prompt(model: Model) -> list[int]:
    """More than is read in chunks: one call of the library, of seconds."""
    return model.tokenizer().encode("word " * 6000)[: genai.UNCHUNKED_ABOVE_TOKENS + 100]


def test_other_threads_run_while_a_prompt_is_read(model: Model, long_prompt: list[int]) -> None:
    generator = model.generator(max_length=len(long_prompt) + 1, sampling=Sampling())
    turns, is_read = 0, threading.Event()

    def take_turns() -> None:
        nonlocal turns
        while not is_read.wait(0.001):
            turns += 1

    other = threading.Thread(target=take_turns)
    other.start()
    before = turns
    generator.append(long_prompt)
    during = turns - before
    is_read.set()
    other.join()
    generator.close()
    assert during > 20


def test_another_thread_can_end_the_reading_of_a_prompt(model: Model, long_prompt: list[int]) -> None:
    generator = model.generator(max_length=len(long_prompt) + 1, sampling=Sampling())
    other = threading.Timer(0.1, generator.terminate)
    other.start()
    with pytest.raises(GenaiError, match="erminate"):
        generator.append(long_prompt)
    other.join()
    generator.close()
    # Closed, it is nobody's any more.
    generator.terminate()


def test_the_librarys_errors_keep_their_words(model: Model) -> None:
    generator = model.generator(max_length=4, sampling=Sampling())
    with pytest.raises(GenaiError, match="exceeds max length"):
        generator.append([1] * 20)
    generator.close()
