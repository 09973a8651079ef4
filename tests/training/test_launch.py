"""How a process finds out that it is one of several."""

import pytest

from minform_cli.errors import InputError
from minform_cli.training.launch import Launch, launched

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node-0", "MASTER_PORT": "29500"}


def test_without_a_launcher_there_is_no_launch():
    assert launched({}) is None


def test_what_torchrun_sets_is_understood():
    assert launched(TORCHRUN) == Launch(rank=3, world_size=4, local_rank=1, address="node-0", port=29500)


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("WORLD_SIZE", "-1"), ("MASTER_PORT", ""), ("RANK", "4")])
def test_a_broken_environment_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        launched(TORCHRUN | {name: value})
