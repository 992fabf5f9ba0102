"""A batching inference loop behind FastAPI: parameters change between two batches, flags are decided per request.

    pip install fastapi uvicorn
    CONFIGD_DEPLOYMENT=chat-blue uvicorn serve_fastapi:app
    curl -s localhost:8000/generate -d '{"prompt": "hello", "user": "u-1"}' -H 'Content-Type: application/json'
    cfgctl set chat/sampling.temperature=0.2      # the next batch uses it

The model is a stand-in (it shuffles the prompt by temperature); the loop around it is what to copy.
"""

import asyncio
import contextlib
import queue
import random
import threading

import configd
from fastapi import FastAPI
from pydantic import BaseModel


class Prompt(BaseModel):
    prompt: str
    user: str = "anonymous"
    seed: int = 0


def generate(prompt, temperature, seed):
    letters = list(prompt)
    rng = random.Random(seed)
    for i in range(len(letters)):
        if rng.random() < temperature / 2:
            j = rng.randrange(len(letters))
            letters[i], letters[j] = letters[j], letters[i]
    return "".join(letters)


class Loop:
    """The stepper: one thread that takes batches from a queue. Requests come from the event loop and wait for their future."""

    def __init__(self):
        self.waiting, self.ending = queue.SimpleQueue(), False
        self.worker = configd.Worker()
        self.temperature = self.worker.f64("sampling.temperature", configd.live, 0, 2, 0.7)
        self.batch = self.worker.i64("inference.batch_size", configd.drain, 1, 64, 8)
        self.loud = self.worker.flag("experiment/loud", default=False)
        self.thread = threading.Thread(target=self.run)

    def start(self):
        self.worker.start()
        self.thread.start()

    def stop(self):
        self.ending = True
        self.worker.wake()
        self.thread.join()
        self.worker.close()

    def run(self):
        while not self.ending:
            if self.waiting.empty():
                self.worker.idle(1000)  # news is adopted here, so an idle worker counts as converged
                continue
            v = self.worker.step()
            served = 0
            while served < v[self.batch] and not self.waiting.empty():
                request, done = self.waiting.get()
                who = {"targetingKey": request.user}
                text = generate(request.prompt, v.request(who)[self.temperature], request.seed)
                reply = {"text": text.upper() if v.flag(self.loud, who) else text, "revision": v.revision}
                done.get_loop().call_soon_threadsafe(lambda d=done, r=reply: d.done() or d.set_result(r))
                served += 1
            self.worker.step_end({"batch": served})

    async def ask(self, request):
        done = asyncio.get_running_loop().create_future()
        self.waiting.put((request, done))
        self.worker.wake()
        return await done


loop = Loop()


@contextlib.asynccontextmanager
async def lifespan(_):
    loop.start()
    yield
    loop.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/generate")
async def answer(request: Prompt):
    return await loop.ask(request)


@app.get("/status")
def status():
    return loop.worker.status._asdict()
