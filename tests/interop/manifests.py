"""The manifests of docs/deploy: Kubernetes' own schemas take them; what they tell configd and workers exists; the batch script starts ranks as
Slurm would, with an `srun` that sets what Slurm's sets (there is no Slurm here)."""
import glob
import json
import os
import re
import stat
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

SOURCE = os.path.abspath(os.environ.get("CFG_SOURCE_DIR", "."))
CONFIGD = os.path.join(os.environ["CFG_BUILD_DIR"], "configd", "configd")
DEPLOY = os.path.join(SOURCE, "docs", "deploy")

# https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/: no schema of it comes with Kubernetes; its templates are pods'.
LWS_SPEC = {"replicas", "leaderWorkerTemplate", "rolloutStrategy", "startupPolicy", "networkConfig"}
LWS_TEMPLATE = {"size", "workerTemplate", "leaderTemplate", "restartPolicy", "subGroupPolicy", "volumeClaimTemplates"}

SRUN = """#!/bin/bash
[[ $1 == --kill-on-bad-exit=0 ]] && shift
for i in 0 1 2; do
  SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=3 SLURM_STEP_NODELIST='localhost' "$@" &
done
wait
"""


def pods(document):
    """Every pod that a manifest makes."""
    spec = document.get("spec", {})
    if document["kind"] == "LeaderWorkerSet":
        assert set(spec) <= LWS_SPEC and set(spec["leaderWorkerTemplate"]) <= LWS_TEMPLATE, document
        return [spec["leaderWorkerTemplate"]["workerTemplate"]["spec"]]
    return [spec["template"]["spec"]] if "template" in spec else []


def documented():
    """Every CONFIGD_ variable that somebody reads."""
    told = subprocess.run([CONFIGD, "--help"], capture_output=True, text=True, check=True).stdout
    names = {"CONFIGD_" + option.upper().replace("-", "_") for option in re.findall(r"^  --([a-z-]+)", told, re.M)}
    with open(os.path.join(SOURCE, "docs", "worker.md")) as f:
        return names | set(re.findall(r"`(CONFIGD_[A-Z_]+)`", f.read()))


def check_kubernetes():
    known, count = documented(), 0
    for path in sorted(glob.glob(os.path.join(DEPLOY, "kubernetes", "*.yaml"))):
        with open(path) as f:
            for document in yaml.safe_load_all(f):
                if document["kind"] == "LeaderWorkerSet":
                    document_to_check = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pods(document)[0]}
                else:
                    document_to_check = document
                kubernetes_validate.validate(document_to_check, "1.30", strict=True)
                count += 1
                for spec in pods(document):
                    mounted = {v["name"] for v in spec.get("volumes", [])} | {t["metadata"]["name"] for t in document["spec"].get("volumeClaimTemplates", [])}
                    for container in spec["containers"]:
                        used = {m["name"] for m in container.get("volumeMounts", [])}
                        assert used <= mounted, f"{path}: {used - mounted} is no volume"
                        asked = {e["name"] for e in container["env"] if e["name"].startswith("CONFIGD_")}
                        assert asked <= known, f"{path}: nobody reads {asked - known}"
    assert count >= 10, count
    broken = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "imagee": "b"}]}}
    try:
        kubernetes_validate.validate(broken, "1.30", strict=True)
    except kubernetes_validate.ValidationError:
        return count
    raise AssertionError("the validator takes anything")


def check_slurm():
    script = os.path.join(DEPLOY, "slurm", "train.sbatch")
    assert os.stat(script).st_mode & stat.S_IXUSR, "executable"
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "srun"), "w") as f:
            f.write(SRUN)
        os.chmod(os.path.join(folder, "srun"), 0o755)
        with open(os.path.join(folder, "token"), "w") as f:
            f.write("t0ken\n")
        probe = "import json,os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith(('CONFIGD_', 'SLURM_'))}))"
        told = subprocess.run([script, sys.executable, "-c", probe], capture_output=True, text=True, check=True, env={
            "PATH": folder + ":" + os.environ["PATH"], "HOME": folder, "SLURM_JOB_ID": "4711", "CONFIGD_TOKEN_FILE": os.path.join(folder, "token")}).stdout
        ranks = [json.loads(line) for line in told.splitlines()]
        assert sorted(r["SLURM_PROCID"] for r in ranks) == ["0", "1", "2"], told
        assert {r["CONFIGD_TOKEN"] for r in ranks} == {"t0ken"} and {r["CONFIGD_GROUP"] for r in ranks} == {"tcp"}, told
        assert set(ranks[0]) - {"CONFIGD_TOKEN_FILE"} <= documented() | {k for k in ranks[0] if k.startswith("SLURM_")}, ranks[0]


count = check_kubernetes()
check_slurm()
print(f"manifests: {count} objects and a batch script, ok")
