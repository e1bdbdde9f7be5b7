"""Files of options that the version before has printed by ``--print_config``."""

from collections import Counter

import pytest
import yaml

COMMANDS = {
    "best_of_n": ["scaling/best_of_n.py"],
    "evaluate": ["scaling.evaluate"],
    "train_reward": ["reward/train.py"],
    "benchmark": ["reward.benchmark"],
    "judge": ["reward.judge"],
    "post_train": ["rlhf/train.py"],
    "assess": ["rlhf.assess"],
    "build_listening_test": ["experiments.ab_test", "build"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_before_are_understood(before, command, name):
    """Their names may change, but no value is lost."""
    path = before / "configs" / f"{name}.yaml"
    told = command(*COMMANDS[name], "--config", path, "--print_config")
    lost = _values(path.read_text()) - _values(told)
    assert not lost


def _values(text):
    return Counter(map(repr, yaml.safe_load(text).values()))
