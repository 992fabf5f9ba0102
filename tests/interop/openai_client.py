"""The official OpenAI client against cfg-infer: whole answers, streams, usage, errors as its exceptions, models, headers, many at once."""
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile

import openai

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "unit", "worker"))
import tiny_model  # noqa: E402

PROGRAM = sys.argv[1]
KEY = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb"  # of "open sesame"
VIEW = {"parameters": {"sampling": {"temperature": 0, "max_tokens": 24}, "inference": {"batch_size": 8, "queue": 64},
                       "policy": {"identify": "keys", "keys": {KEY: {"tenant": "acme", "tier": "gold"}},
                                  "tiers": {"gold": {"clamp": {"max_tokens": {"max": 40}}}}}}}
checks, failures = 0, []


def equal(got, want, what):
    global checks
    checks += 1
    if got != want:
        failures.append(f"{what}: {want!r} expected, got {got!r}")


def raises(kind, status, param, call, what):
    try:
        call()
    except kind as e:
        equal((e.status_code, e.param), (status, param), what)
    except openai.OpenAIError as e:
        failures.append(f"{what}: {kind.__name__} expected, got {e!r}")
    else:
        failures.append(f"{what}: nothing was raised")


def whole(client):
    c = client.completions.create(model="configd-byte-lm", prompt="The Fox ", max_tokens=20)
    equal((c.object, c.model, len(c.choices)), ("text_completion", "configd-byte-lm", 1), "a completion")
    equal((c.choices[0].finish_reason, c.choices[0].index, c.choices[0].logprobs), ("length", 0, None), "its choice")
    equal((c.usage.prompt_tokens, c.usage.completion_tokens, c.usage.total_tokens), (8, 20, 28), "its usage")
    equal(c.configd["revision"], "0-1", "its stamp")
    raw = client.completions.with_raw_response.create(model="configd-byte-lm", prompt="a", max_tokens=1000,
                                                      extra_headers={"Configd-Explain": "1"}, extra_body={"top_k": 3, "context": {"plan": "x"}})
    told = json.loads(raw.headers["configd-policy"])
    equal((told["tenant"], [a["do"] for a in told["applied"]]), ("acme", ["clamp"]), "the explanation")
    equal((raw.headers["configd-revision"], raw.parse().usage.completion_tokens), ("0-1", 40), "the headers")
    equal(raw.parse()._request_id, raw.parse().id, "the request id")
    return c.choices[0].text


def streams(client, text):
    chunks = list(client.completions.create(model="configd-byte-lm", prompt="The Fox ", max_tokens=20, stream=True))
    equal("".join(c.choices[0].text for c in chunks), text, "a stream")
    equal([c.choices[0].finish_reason for c in chunks], [None] * (len(chunks) - 1) + ["length"], "its reasons")
    equal({c.usage for c in chunks}, {None}, "no usage unless asked")
    *chunks, last = client.completions.create(model="configd-byte-lm", prompt="The Fox ", max_tokens=20, stream=True,
                                              stream_options={"include_usage": True})
    equal(([c.usage for c in chunks], last.choices, last.usage.total_tokens), ([None] * len(chunks), [], 28), "usage at the end")
    stop = text[8]
    chunks = list(client.completions.create(model="configd-byte-lm", prompt="The Fox ", max_tokens=20, stop=[stop], stream=True))
    equal("".join(c.choices[0].text for c in chunks), text[:text.index(stop)], "stopped")
    equal(chunks[-1].choices[0].finish_reason, "stop", "its reason")
    with client.completions.create(model="configd-byte-lm", prompt="a", max_tokens=40, stream=True) as stream:
        next(iter(stream))  # and leaves: nobody else must notice


def errors(client, url):
    create = client.completions.create
    raises(openai.BadRequestError, 400, "temperature", lambda: create(model="configd-byte-lm", prompt="a", temperature=9), "temperature")
    raises(openai.BadRequestError, 400, "prompt", lambda: create(model="configd-byte-lm", prompt=""), "empty prompt")
    raises(openai.BadRequestError, 400, "prompt", lambda: create(model="configd-byte-lm", prompt=[1, 2, 3]), "tokens")
    raises(openai.BadRequestError, 400, "n", lambda: create(model="configd-byte-lm", prompt="a", n=3), "n")
    raises(openai.BadRequestError, 400, "best_of", lambda: create(model="configd-byte-lm", prompt="a", best_of=3), "best_of")
    raises(openai.BadRequestError, 400, "logprobs", lambda: create(model="configd-byte-lm", prompt="a", logprobs=2, stream=True), "in a stream")
    raises(openai.BadRequestError, 400, "chat", lambda: create(model="configd-byte-lm", prompt="a", extra_body={"chat": 1}), "unknown")
    raises(openai.NotFoundError, 404, "model", lambda: create(model="gpt-4", prompt="a"), "model")
    stranger = openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0)
    raises(openai.AuthenticationError, 401, None, lambda: stranger.completions.create(model="configd-byte-lm", prompt="a"), "key")


def models(client):
    equal([m.id for m in client.models.list()], ["configd-byte-lm"], "models")
    equal(client.models.retrieve("configd-byte-lm").owned_by, "configd", "a model")
    raises(openai.NotFoundError, 404, "model", lambda: client.models.retrieve("none"), "no model")


async def many(url, text):
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="open sesame", max_retries=0) as client:
        async def one(stream):
            reply = await client.completions.create(model="configd-byte-lm", prompt="The Fox ", max_tokens=20, stream=stream)
            return "".join([c.choices[0].text async for c in reply]) if stream else reply.choices[0].text
        equal(set(await asyncio.gather(*(one(i % 2 == 0) for i in range(40)))), {text}, "forty at once")


def main():
    with tempfile.TemporaryDirectory() as directory:
        view, model = os.path.join(directory, "chat.json"), os.path.join(directory, "tiny.safetensors")
        with open(view, "w", encoding="utf-8") as f:
            json.dump(VIEW, f)
        with open(model, "wb") as f:
            f.write(tiny_model.make())
        p = subprocess.Popen([PROGRAM, "--source", "file:" + view, "--model", model, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        try:
            url = next(m.group(1) for line in p.stdout if (m := re.match(r"listening on (\S+)", line)))
            client = openai.OpenAI(base_url=url + "/v1", api_key="open sesame", max_retries=0)
            text = whole(client)
            streams(client, text)
            errors(client, url)
            models(client)
            asyncio.run(many(url, text))
        finally:
            p.terminate()
        equal(p.wait(30), 0, "the server's end")
    for line in failures:
        print(line)
    print(f"openai {openai.__version__}: {checks} checks, {len(failures)} failures")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
