"""Training whose learning rate follows `cfgctl set` on all ranks at the same step.

    cfgctl set train/optimizer.lr=0.05 && cfgctl deployment create train-1 --config train
    CONFIGD_DEPLOYMENT=train-1 CONFIGD_GROUP=tcp accelerate launch --multi_gpu --num_processes 2 train_accelerate.py --steps 2000
    cfgctl set train/optimizer.lr=0.01            # while it runs

Each rank prints the step at which it sees a change; all print the same one. Without GPUs it trains on CPUs (--multi_gpu
only says that accelerate starts several processes). Needs torch and accelerate.
"""

import argparse

import configd
import torch
from accelerate import Accelerator


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=1000)
    options = options.parse_args()

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(4096, 16)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True).sin()), batch_size=64, shuffle=True)
    model, optimizer, data = accelerator.prepare(model, optimizer, data)

    def batches():
        while True:
            yield from data

    # Rank, world and the group's address come from what accelerate launch sets. barrier: all ranks change at one step.
    params = {"optimizer.lr": configd.barrier(0.1, 0.0, 10.0), "optimizer.clip": configd.barrier(1.0, 0.0, 100.0)}
    with configd.Worker(params=params, worker=f"rank-{accelerator.process_index}") as w:
        last = None
        for n, (inputs, targets) in zip(range(options.steps), batches()):
            v = w.step(n)
            lr = v["optimizer.lr"]
            for group in optimizer.param_groups:
                group["lr"] = lr
            if lr != last:
                print(f"rank {accelerator.process_index}: step {n}: lr {lr} ({v.revision})", flush=True)
                last = lr
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(model.parameters(), v["optimizer.clip"])
            optimizer.step()
            optimizer.zero_grad()
            w.step_end({"loss": loss.item(), "grad_norm": float(norm)})


if __name__ == "__main__":
    main()
