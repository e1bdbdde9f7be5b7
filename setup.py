"""What pyproject.toml has no words for: the lab's models lie in `assets/lab` and are installed inside `music`."""

from setuptools import find_packages, setup

PACKAGES = ("music", "generators", "reward", "scaling", "rlhf", "experiments")

setup(
    packages=[
        *find_packages(include=[f"{name}{rest}" for name in PACKAGES for rest in ("", ".*")]),
        "music.assets.lab",
    ],
    package_dir={"music.assets.lab": "assets/lab"},
)
