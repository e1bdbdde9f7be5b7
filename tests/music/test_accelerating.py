"""What accelerate's configuration of another project does to a training: nothing, or one line."""

import pytest
import torch
from accelerate.state import AcceleratorState

from music.distributed.accelerating import in_force, make_accelerator, settle_environment
from music.errors import InputError
from music.processes import Processes

LAUNCH = {  # what `accelerate launch` sets where nobody has asked for anything
    "ACCELERATE_USE_CPU": "False",
    "ACCELERATE_MIXED_PRECISION": "no",
    "ACCELERATE_DYNAMO_BACKEND": "NO",
    "ACCELERATE_DYNAMO_MODE": "default",
    "ACCELERATE_DYNAMO_USE_FULLGRAPH": "False",
    "ACCELERATE_CPU_AFFINITY": "1",
}


@pytest.fixture
def fresh(monkeypatch):
    """Let the environment be set, and accelerate begin anew before and after."""
    AcceleratorState._reset_state(True)
    yield monkeypatch
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_options_decide(fresh, capsys, precision):
    fresh.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    fresh.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    fresh.setenv("ACCELERATE_TORCH_DEVICE", "meta")
    fresh.setenv("ACCELERATE_OF_A_LATER_VERSION", "1")
    accelerator = make_accelerator(Processes({}), torch.device("cpu"), precision)
    found = in_force(accelerator)
    assert found.pop("distributed_type") == "NO"
    assert found == {
        "mixed_precision": precision,
        "num_processes": 1,
        "device": "cpu",
    }
    assert accelerator.gradient_accumulation_steps == 1
    weight = torch.ones(1, requires_grad=True)
    accelerator.backward(weight.sum())
    assert weight.grad.item() == 1  # accelerate divides by the steps that it accumulates
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "ACCELERATE_MIXED_PRECISION=fp16" in told
    assert "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4" in told


def test_a_training_in_another_precision_may_follow_in_the_same_process(fresh):
    for precision in ("no", "bf16", "bf16", "no"):
        made = make_accelerator(Processes({}), torch.device("cpu"), precision)
        assert made.mixed_precision == precision
    inner = make_accelerator(Processes({}), torch.device("cpu"), "bf16", own_autocast=True)
    assert inner.mixed_precision == "no"


def test_nothing_is_said_of_a_plain_launch():
    environment = {**LAUNCH, "HOME": "/root"}
    assert settle_environment(environment, "no", "cpu") == []
    assert environment == {
        "HOME": "/root",
        "ACCELERATE_CPU_AFFINITY": "1",
        "ACCELERATE_MIXED_PRECISION": "no",
        "ACCELERATE_TORCH_DEVICE": "cpu",
        "ACCELERATE_USE_CPU": "true",
    }
    assert settle_environment({**LAUNCH}, "bf16", "cuda") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_USE_MEGATRON_LM", "true"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
        ("ACCELERATE_USE_FSDP", "true"),
    ],
)
def test_what_no_option_decides_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name}={value}.*unset it"):
        settle_environment({**LAUNCH, name: value}, "no", "cpu")


def test_processes_that_share_weights_read_them_all():
    environment = {**LAUNCH, "ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    settle_environment(environment, "no", "cuda", takes_fsdp=True)
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    assert environment["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"


def test_a_processor_asked_for_by_accelerate_alone_is_not_taken_in_silence():
    assert settle_environment({"ACCELERATE_USE_CPU": "true"}, "no", "cuda") == ["ACCELERATE_USE_CPU=true"]
