"""Several devices give what one gives; several workers make one run, stop together, and outlive each other."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from crn_tf.errors import RESTART, UsageError, UserError
from crn_tf.training.cluster import Cluster, Watchdog, tf_config
from crn_tf.training.distribution import LOGICAL_CPUS, Distribution, check_compiled
from tests.conftest import ROOT
from tests.distributed_steps import ADVERSARIAL, LOSSES, STEPS, apply_conditionally, train

PROGRAM = ROOT / "tests/distributed_steps.py"
ON_CPU = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}


@pytest.fixture(scope="module")
def one_device() -> dict[str, np.ndarray]:
    """What one device gives."""
    losses = {f"{loss}: {k}": v for loss in LOSSES for k, v in train(Distribution(), loss, recompute=False).items()}
    return losses | apply_conditionally(Distribution())


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def start_workers(count: int, *arguments, cwd=None) -> list[subprocess.Popen]:
    """Start a program once for each worker of a cluster on this machine."""
    addresses = free_addresses(count)
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**ON_CPU, "TF_CONFIG": tf_config(addresses, index)},
            cwd=cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for index in range(count)
    ]


def finish(workers: list[subprocess.Popen], timeout: float = 120) -> list[tuple[int, str, str]]:
    """Wait for workers: exit code, standard output and standard error of each."""
    results = []
    try:
        for worker in workers:
            output, errors = worker.communicate(timeout=timeout)
            results.append((worker.returncode, output, errors))
    finally:
        for worker in workers:
            worker.kill()
    return results


def assert_equal_results(found, expected: dict[str, np.ndarray], first_step_tolerance: float = 1e-5):
    """Up to rounding. That grows with the steps: where a difference is almost zero, its sign is the gradient's."""
    assert found.files
    for name in found.files:
        value = expected[name]
        value, other = value.astype("float64"), found[name].astype("float64")
        difference = np.linalg.norm(value - other) / max(np.linalg.norm(value), 1e-12)
        assert difference < (first_step_tolerance if "first step" in name else 2e-3), (name, difference)


def test_gradients_are_applied_only_where_all_are_finite():
    result = apply_conditionally(Distribution())
    for name in ("plain", "scaled"):
        # Means of rows 0..3 and 12..15 of [[0, 1], [2, 3], ...].
        np.testing.assert_allclose(result[f"{name} weight"], [-(3 + 27), -(4 + 28)])
        np.testing.assert_array_equal(result[f"{name} applied"], [True, False, False, True])
    assert result["loss scale"] == 64 / 4


def train_on_two_devices(path: Path, *arguments: str):
    """What `PROGRAM` gives on the two halves of the CPU."""
    command = [sys.executable, PROGRAM, "mirrored", path, *arguments]
    result = subprocess.run(command, env={**ON_CPU, LOGICAL_CPUS: "2"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "replicas 2" in result.stdout
    return np.load(f"{path}.0.npz")


@pytest.mark.slow
def test_two_devices_give_what_one_gives(one_device, tmp_path):
    found = train_on_two_devices(tmp_path / "result", *LOSSES)
    assert set(found.files) == set(one_device)
    assert_equal_results(found, one_device)


@pytest.mark.slow
def test_compiled_passes_and_recomputation_work_on_two_devices(one_device, tmp_path):
    found = train_on_two_devices(tmp_path / "result", "best-per-class", "--fused", "--recompute")
    # XLA rounds in another order, and Adam's first step is the learning rate also where gradients are but rounding.
    assert_equal_results(found, one_device, first_step_tolerance=2e-3)


@pytest.mark.slow
def test_an_adversary_is_trained_alike_on_two_devices(tmp_path):
    found = train_on_two_devices(tmp_path / "result", ADVERSARIAL)
    assert found[f"{ADVERSARIAL}: applied"] == STEPS and np.isfinite(found[f"{ADVERSARIAL}: losses"]).all()
    assert found[f"{ADVERSARIAL}: discriminator"] == pytest.approx(np.log(2), rel=0.3)
    apart = found[f"{ADVERSARIAL}: apart"]
    assert len(apart) > 50 and apart.max() == 0


@pytest.mark.slow
def test_two_workers_give_what_one_device_gives(one_device, tmp_path):
    for code, output, errors in finish(start_workers(2, PROGRAM, "auto", tmp_path / "result", *LOSSES)):
        assert code == 0, errors
        assert "replicas 2" in output
    workers = [np.load(tmp_path / f"result.{index}.npz") for index in range(2)]
    for worker in workers:
        assert_equal_results(worker, one_device)
    for name in workers[1].files:  # not only almost
        np.testing.assert_array_equal(workers[1][name], workers[0][name], err_msg=name)


def test_a_batch_has_to_be_shared_equally():
    distribution = Distribution()
    distribution.check_batch(3)

    class Four(Distribution):
        replicas = 4

    Four().check_batch(8)
    with pytest.raises(UsageError, match=r"--batch 6 cannot be shared equally by 4 devices: try --batch 8"):
        Four().check_batch(6)


def refused(tmp_path: Path, strategy: str, **environment: str) -> tuple[int, str]:
    """Exit code and error of a train.py that is to start nothing."""
    command = [sys.executable, ROOT / "train.py", "--demo", "--strategy", strategy, "--out", tmp_path / "run"]
    result = subprocess.run(command, env={**ON_CPU, **environment}, capture_output=True, text=True)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in result.stderr and not (tmp_path / "run").exists()
    return result.returncode, errors[0]


def test_what_is_wrong_with_the_cluster_is_said_before_tensorflow_starts(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    for strategy, config in (("multi-worker", ""), ("auto", "{"), ("multi-worker", '{"cluster": {"worker": []}}')):
        code, error = refused(tmp_path, strategy, TF_CONFIG=config, PYTHONPATH=str(tmp_path))
        assert code == 1 and "TF_CONFIG" in error


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_wrong_usage(tmp_path):
    code, error = refused(tmp_path, "mirrored", **{LOGICAL_CPUS: "2"})
    assert code == 2 and "--batch 1 cannot be shared equally by 2 devices" in error


@pytest.mark.parametrize(("parts", "message"), [(None, "needs several GPUs"), ("many", "CRN_LOGICAL_CPUS is 'many'")])
def test_mirroring_needs_several_devices(monkeypatch, parts, message):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.delenv(LOGICAL_CPUS, raising=False)
    if parts:
        monkeypatch.setenv(LOGICAL_CPUS, parts)
    with pytest.raises(UserError, match=message):
        Distribution.start("mirrored", None, batch=2)


@pytest.mark.parametrize(("batch", "used"), [(1, None), (2, 2), (3, 3), (4, 4), (6, 3), (7, None), (8, 4)])
def test_by_itself_as_many_gpus_work_as_can_share_the_batch(monkeypatch, capsys, batch, used):
    chosen = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [None] * 4)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: chosen.append(devices))
    Distribution.start("auto", None, batch)
    assert chosen == ([[f"GPU:{number}" for number in range(used)]] if used else [])
    told = capsys.readouterr().out
    assert told == "" if used == 4 else f"using {used or 1} of 4 devices" in told
    assert used == 4 or f"--batch {4 if batch < 4 else 8} can" in told


def test_by_itself_one_device_stays_one_device():
    distribution = Distribution.start("auto", Cluster(("127.0.0.1:1",), 0), batch=1)
    assert (distribution.replicas, distribution.shard, distribution.chief) == (1, (0, 1), True)
    assert distribution.any(True) and not distribution.any(False)


@pytest.mark.parametrize("error", [tf.errors.UnavailableError, tf.errors.InternalError])
@pytest.mark.parametrize("other_is_there", [True, False])
def test_an_error_that_may_mean_a_lost_worker_is_one_only_if_a_worker_is_gone(monkeypatch, error, other_is_there):
    server = socket.create_server(("127.0.0.1", 0))
    cluster = Cluster(("127.0.0.1:1", f"127.0.0.1:{server.getsockname()[1]}"), 0)
    if not other_is_there:
        server.close()
    codes = []

    def watchdog(cluster):
        return Watchdog(cluster, patience=600, interval=0.05, leave=codes.append)

    monkeypatch.setattr("crn_tf.training.distribution.Watchdog", watchdog)
    monkeypatch.setattr("crn_tf.training.distribution.LOST_WITHIN", 1.0)
    monkeypatch.setattr(Distribution, "any", lambda self, flag: flag)
    raised = pytest.raises(error) if error is tf.errors.InternalError else nullcontext()
    with server, raised, Distribution(cluster=cluster).watching():
        raise error(None, None, "ncclSystemError")
    surely = error is tf.errors.UnavailableError
    assert set(codes) == ({RESTART} if surely or not other_is_there else set())


ONE_FAILS = """
from crn_tf.training.cluster import Cluster
from crn_tf.errors import UserError, run_command
from crn_tf.starting import start_tensorflow

def main():
    start_tensorflow()
    from crn_tf.training.distribution import Distribution
    distribution = Distribution.start("auto", Cluster.from_environment(), batch=2)
    with distribution.watching():
        assert distribution.any(not distribution.chief) and not distribution.any(False)
        if not distribution.chief:
            raise UserError("its disk is full")
        distribution.any(False)

run_command(main)
"""


@pytest.mark.slow
def test_a_worker_that_fails_says_why_and_the_others_leave():
    chief, other = finish(start_workers(2, "-c", ONE_FAILS, cwd=ROOT), timeout=60)
    assert other[0] == 1 and "error: its disk is full" in other[2].splitlines(), other
    assert chief[0] == RESTART and "worker 1 (127.0.0.1:" in chief[2], chief


@pytest.mark.slow
def test_workers_that_were_started_differently_say_so(folder_data, tmp_path):
    settings = ("--data", folder_data, "--size", "16x32", "--images", 1, "--width", "0.02", "--vgg-weights", "random",
                "--batch", 2, "--out", tmp_path / "run")  # fmt: skip
    addresses = free_addresses(2)
    workers = [
        subprocess.Popen(
            [sys.executable, *map(str, (ROOT / "train.py", *settings, "--steps", steps, "--lr", lr))],
            env={**ON_CPU, "TF_CONFIG": tf_config(addresses, index)},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for index, (steps, lr) in enumerate([(6, "1e-4"), (3, "1e-3")])
    ]  # fmt: skip
    for code, _, errors in finish(workers):
        assert code == 2 and "error: worker 1 was started with another steps, lr than worker 0" in errors, errors
    assert not (tmp_path / "run/settings.json").exists()


@pytest.mark.slow
def test_a_worker_that_waits_for_another_can_be_stopped(folder_data, tmp_path):
    settings = ("--data", folder_data, "--size", "16x32", "--images", 1, "--vgg-weights", "random", "--batch", 2)
    addresses = free_addresses(2)
    for number, code in ((signal.SIGTERM, RESTART), (signal.SIGINT, 130)):
        worker = subprocess.Popen(
            [sys.executable, *map(str, (ROOT / "train.py", *settings))],
            env={**ON_CPU, "TF_CONFIG": tf_config(addresses, 0)},
            cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        while "waiting for" not in worker.stderr.readline():
            assert worker.poll() is None
        time.sleep(1)
        start = time.monotonic()
        worker.send_signal(number)
        assert worker.wait(30) == code and time.monotonic() - start < 10
        worker.communicate()


def test_gpus_of_several_workers_exchange_gradients_by_nccl(monkeypatch):
    chosen = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [None] * 2)
    monkeypatch.setattr("crn_tf.training.distribution.wait_for_others", lambda cluster: None)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda **options: chosen.append(options))
    Distribution.start("multi-worker", Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0), batch=4)
    assert (
        chosen[0]["communication_options"].implementation == tf.distribute.experimental.CommunicationImplementation.NCCL
    )


def wait_for_step(run: Path, step: int, workers: list[subprocess.Popen]) -> None:
    """Wait until a run has a checkpoint of a step, or a later one."""
    limit = time.monotonic() + 120
    while not any(int(path.name[5:]) >= step for path in run.glob("checkpoints/step_????????")):
        dead = [worker.communicate() for worker in workers if worker.poll() is not None]
        assert not dead, dead
        assert time.monotonic() < limit
        time.sleep(0.2)


def newest_step(run: Path) -> int:
    return max(int(path.name[5:]) for path in run.glob("checkpoints/step_????????"))


@pytest.mark.slow
def test_workers_make_one_run_and_outlive_each_other(folder_data, tmp_path):
    run = tmp_path / "run"
    settings = ("--data", folder_data, "--size", "32x64", "--images", 1, "--width", "0.02", "--vgg-weights", "random",
                "--batch", 2, "--checkpoint-minutes", "0.0001")  # fmt: skip
    train_py = (ROOT / "train.py", "--out", run, "--strategy", "multi-worker")

    # A worker is killed: the chief does not wait for it for ever.
    workers = start_workers(2, *train_py, *settings, "--epochs", 100000, cwd=tmp_path)
    wait_for_step(run, 3, workers)
    assert_survivor_leaves(killed=workers[1], survivor=workers[0], name="worker 1")

    # The chief is killed: so with the worker, and --resume goes on.
    resumed_at = newest_step(run)
    workers = start_workers(2, *train_py, "--resume", cwd=tmp_path)
    wait_for_step(run, resumed_at + 3, workers)
    assert_survivor_leaves(killed=workers[0], survivor=workers[1], name="worker 0")

    # One is asked to stop: both do, after the same step.
    resumed_at = newest_step(run)
    workers = start_workers(2, *train_py, "--resume", cwd=tmp_path)
    wait_for_step(run, resumed_at + 3, workers)
    workers[1].send_signal(signal.SIGINT)
    chief, other = finish(workers)
    assert (chief[0], other[0]) == (130, 130), chief[2] + other[2]
    stopped_at = newest_step(run)
    assert f"stopped at step {stopped_at}" in chief[1]

    # And on to the end. Only the chief writes and tells.
    last = stopped_at + 2
    chief, other = finish(start_workers(2, *train_py, "--resume", "--steps", last, cwd=tmp_path))
    assert (chief[0], other[0]) == (0, 0), chief[2] + other[2]
    assert f"steps {stopped_at} to {last}" in chief[1] and f"done at step {last}" in chief[1]
    assert other[1] == ""
    assert newest_step(run) == last and (run / "generator.weights.h5").is_file()
    assert not list((run / "checkpoints").glob(".*"))
    assert len(list((run / "logs").glob("events*"))) == 4  # one for each start
    assert json.loads((run / "settings.json").read_text())["batch"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "run"]


def assert_survivor_leaves(killed: subprocess.Popen, survivor: subprocess.Popen, name: str) -> None:
    """Kill a worker; the other one ends within a minute, with one clear line."""
    killed.kill()
    start = time.monotonic()
    [(code, _, errors)] = finish([survivor], timeout=60)
    print(f"the survivor left after {time.monotonic() - start:.1f} s")
    killed.communicate()
    assert code == RESTART, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and name in lines[0] and "--resume" in lines[0], errors
    assert "Traceback" not in errors


def test_a_last_save_needs_nobody(monkeypatch):
    """A worker that is gone does not end the chief while it saves, only afterwards."""
    cluster = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0)
    codes = []
    monkeypatch.setattr(
        "crn_tf.training.distribution.Watchdog",
        lambda cluster: Watchdog(cluster, patience=0.2, interval=0.05, leave=codes.append),
    )
    monkeypatch.setattr(Distribution, "any", lambda self, flag: flag)
    distribution = Distribution(cluster=cluster)
    with distribution.watching():
        with distribution.needing_nobody():
            time.sleep(1)
            assert codes == []
        time.sleep(1)
        assert codes == [RESTART]


def test_flags_of_one_process_are_its_own():
    flags = np.array([True, False])
    assert Distribution().merged(flags).tolist() == [True, False]


def test_a_step_is_compiled_whole_only_where_that_can_be_done(monkeypatch):
    check_compiled(1, in_cluster=False)
    for replicas, in_cluster in ((2, False), (1, True)):
        with pytest.raises(UsageError, match=f"shares them among {replicas}: add --strategy single"):
            check_compiled(replicas, in_cluster)
    monkeypatch.setattr("crn_tf.training.distribution.compiler_failure", lambda: "ptxas not found")
    with pytest.raises(UserError, match=r"needs XLA's compiler, which fails here \(ptxas not found\)"):
        check_compiled(1, in_cluster=False)
