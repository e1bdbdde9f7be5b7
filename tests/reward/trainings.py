"""Trains as each of the given config files says, one after another, in the processes of one launch."""

import sys

from music.command import parse_command
from music.processes import Processes
from reward.train import main
from reward.train_config import TrainConfig

Processes.close = lambda _: None  # the next training meets in the same group

for path in sys.argv[1:]:
    main(parse_command(TrainConfig, ["--config", path]))
