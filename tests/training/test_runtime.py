"""Device, threads and seeds."""

import pytest
import torch

from minform_cli import __version__
from minform_cli.errors import InputError, MachineError
from minform_cli.models.parts.products import told
from minform_cli.report.notes import machine
from minform_cli.training.runtime import choose_device, derive_seed, deterministic, device_seeder, environment, runtime


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_an_error_and_never_falls_back(no_accelerator: None, name: str) -> None:
    with pytest.raises(InputError, match=rf"--device {name}: .*accepted: auto, cpu$"):
        choose_device(name)


def test_auto_says_what_it_chose(no_accelerator: None) -> None:
    assert choose_device("auto") == (torch.device("cpu"), "device: cpu (auto: no CUDA or MPS device here)")


def test_auto_takes_an_accelerator_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == (torch.device("cuda"), "device: cuda (auto)")


def test_a_cuda_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1")[0] == torch.device("cuda:1")
    with pytest.raises(InputError, match=r"this machine has 2 CUDA"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["tpu", "cpu:1", "cuda:x", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"--device: unknown device .*accepted: auto, cpu, cuda, mps"):
        choose_device(name)


def test_threads_and_random_state_are_left_as_they_were() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with runtime("cpu", 1) as used:
        assert used.threads == torch.get_num_threads() == 1
        torch.manual_seed(99)
        torch.rand(7)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.rand(2), expected)
    torch.set_num_threads(1)


@pytest.mark.parametrize("before", [(False, False), (True, True)])
def test_on_a_gpu_nothing_that_is_not_deterministic_is_let_off_with_a_warning(before: tuple[bool, bool]) -> None:
    def found() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
            with deterministic(torch.device("cuda")):
                assert found() == (True, False)
            monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
        assert found() == before
        with deterministic(torch.device("cpu")):
            assert found() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_no_threads_are_refused() -> None:
    with pytest.raises(InputError, match="threads: 0"), runtime("cpu", 0):
        pass


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_memory_that_runs_out_is_the_machines_failure(error: Exception) -> None:
    with pytest.raises(MachineError, match=r"out of memory on cpu; try a smaller train.batch_size"), runtime("cpu", 1):
        raise error


def test_memory_that_really_runs_out_is_the_machines_failure() -> None:
    with pytest.raises(MachineError, match="out of memory"), runtime("cpu", 1):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="ours"), runtime("cpu", 1):
        raise RuntimeError("ours")


def test_seeds_are_the_same_everywhere_and_differ_by_every_part_of_the_key() -> None:
    assert derive_seed(0, "step", 0) == 4433896974232160741  # golden: a change here changes every result
    keys = [(s, p, n) for s in range(20) for p in ("step", "weights") for n in range(50)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= derive_seed(*key) < 2**63 for key in keys)


def test_the_device_seeder_seeds_as_torch_does() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    device_seeder(torch.device("cpu"))(5)
    assert torch.equal(torch.rand(3), expected)


def test_the_environment_names_versions_and_device_and_no_host() -> None:
    with runtime("cpu", 1) as used:
        found = environment(used)
    assert found["minform"] == __version__ and found["torch"] == torch.__version__
    assert (found["device"], found["threads"], found["processes"]) == ("cpu", 1, 1)
    said = {"minform", "python", "torch", "platform", "device", "device_name", "threads", "processes", "attention"}
    assert set(found) == said


@pytest.mark.parametrize(("preferred", "said"), [(True, ", attention by products up to 65 tokens"), (False, "")])
def test_a_result_says_how_attention_was_computed(monkeypatch: pytest.MonkeyPatch, preferred: bool, said: str) -> None:
    monkeypatch.setattr("minform_cli.models.parts.products.preferred", lambda: preferred)
    with runtime("cpu", 1) as used:
        found = environment(used)
    assert found["attention"] == ("products up to 65 tokens" if preferred else "fused")
    assert machine(found) == f"cpu, 1 thread{said}"
    assert machine({"device": "cpu", "threads": 1}) == "cpu, 1 thread", "of an earlier version"
    assert told(torch.device("cuda")) == "fused"
