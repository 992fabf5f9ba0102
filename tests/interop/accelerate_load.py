"""The launch files that cfgctl exports, in the real Accelerate: they load, mean what the imported file meant, and the flags
beside them are its own."""
import os
import subprocess
import sys
import tempfile

from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser

PROBE = sys.argv[1]
FOLDER = os.path.join(os.environ.get("CFG_CONFORMANCE_DIR", os.path.join(os.environ.get("CFG_SOURCE_DIR", "."), "..", "shared", "conformance")), "accelerate")

MORE = {
    "tpu.yaml": "distributed_type: XLA\ndowncast_bf16: 'yes'\ntpu_use_sudo: true\ntpu_use_cluster: true\ntpu_name: x\ntpu_zone: y\nnum_processes: 8\n",
    "megatron.yaml": "distributed_type: MEGATRON_LM\nnum_processes: 8\nmegatron_lm_config: {megatron_lm_tp_degree: 2, megatron_lm_pp_degree: 1,"
                     " megatron_lm_gradient_clipping: 1.0e-3}\n",
    "dynamo.yaml": "distributed_type: MULTI_GPU\nnum_processes: 2\nenable_cpu_affinity: true\ndynamo_config: {dynamo_backend: INDUCTOR, dynamo_mode: default}\n",
    "older.yaml": "distributed_type: \"NO\"\nfp16: true\ndynamo_backend: \"NO\"\n",
    "fp8.yaml": "distributed_type: MULTI_GPU\nnum_processes: 2\nmixed_precision: fp8\nfp8_config: {backend: TE, fp8_format: HYBRID, amax_history_length: 1024}\n",
}
WORDS = {"cpu_unquoted_no.yaml": {"distributed_type": "NO", "mixed_precision": "no"}}  # what a person meant


def flags_are_its_own(flags):
    args = launch_command_parser().parse_args([*flags, "train.py"])
    for flag in flags:
        if flag.startswith("--"):
            assert getattr(args, flag[2:]) not in (None, False), flag


def check(name, path, out):
    target = os.path.join(out, name)
    done = subprocess.run([PROBE, path, target], capture_output=True, text=True)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    ours = load_config_from_file(target)
    assert isinstance(ours, ClusterConfig)
    flags_are_its_own(done.stdout.split())
    for key, value in WORDS.get(name, {}).items():
        got = getattr(ours, key)
        assert getattr(got, "value", got) == value, f"{name}: {key} is {got!r}"
    try:
        theirs = load_config_from_file(path)
    except ValueError as error:
        print(f"{name}: Accelerate refuses the original ({str(error)[:60]}…), takes the export")
        return
    if name not in WORDS:
        assert ours.to_dict() == theirs.to_dict(), f"{name}: {ours.to_dict()} is not {theirs.to_dict()}"
    print(f"{name}: loads, flags {done.stdout.split()}")


with tempfile.TemporaryDirectory() as folder:
    for name, text in MORE.items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    os.mkdir(os.path.join(folder, "out"))
    paths = [os.path.join(folder, n) for n in MORE]
    if os.path.isdir(FOLDER):
        paths += [os.path.join(FOLDER, n) for n in sorted(os.listdir(FOLDER)) if n.endswith(".yaml")]
    for path in paths:
        check(os.path.basename(path), path, os.path.join(folder, "out"))
