"""examples/train_accelerate.py under the real `accelerate launch`: the learning rate follows a write on both ranks at the same step."""
import os
import re
import sys

SOURCE = os.path.abspath(os.environ.get("CFG_SOURCE_DIR", "."))
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
import lab as laboratory  # noqa: E402


def main():
    with laboratory.Lab() as lab:
        configd = laboratory.Configd(lab, "configd", [lab.etcd()[0].url]).start().wait_ready()
        configd.call("PUT", "/v1/config/train", {"optimizer": {"lr": 0.05}}, {"If-None-Match": "*"})
        configd.call("POST", "/v1/deployments", {"name": "train-1", "config": "train"})
        python = os.path.join(SOURCE, "client", "python")
        job = laboratory.Process(lab, "accelerate", [
            sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
            "--dynamo_backend", "no", "--main_process_port", str(laboratory.free_port()),
            os.path.join(python, "examples", "train_accelerate.py"), "--steps", "3000"], {
                "CONFIGD_SERVER": configd.url, "CONFIGD_DEPLOYMENT": "train-1", "CONFIGD_CACHE": "", "CONFIGD_GROUP": f"tcp:127.0.0.1:{laboratory.free_port()}",
                "PYTHONPATH": python, "CONFIGD_LIB": os.path.abspath(os.path.join(laboratory.BUILD, "worker")), "OMP_NUM_THREADS": "1"}).start()

        def seen(lr):
            assert job.alive() or job.child.returncode == 0, job.output()
            return re.findall(rf"rank (\d): step (\d+): lr {lr} ", job.output())

        laboratory.wait_for("both ranks to train", lambda: len(seen("0.05")) == 2, timeout=120)
        configd.call("PATCH", "/v1/config/train", {"optimizer": {"lr": 0.01}}, {"Content-Type": "application/merge-patch+json"})
        changed = laboratory.wait_for("both ranks to change", lambda: len(seen("0.01")) == 2 and seen("0.01"), timeout=60)
        assert {rank for rank, _ in changed} == {"0", "1"} and len({step for _, step in changed}) == 1, changed
        print(f"accelerate: ok, both ranks changed at step {changed[0][1]}")


main()
