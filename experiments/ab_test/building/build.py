"""Build a study: a blinded folder for raters, and the key to it.

1. Each system offers a clip for each prompt: the best of its pool by the reward, or the first of a folder
   (`experiments.ab_test.building.systems`). The prompts that all systems have are taken, or a sample of them.
2. The design is drawn (`experiments.ab_test.building.design`): pairs, blocks, orders, sides.
3. All clips of a prompt are cut to the length of the shortest, faded and brought to one loudness, then written in one
   format under names that are drawn (`experiments.ab_test.building.sounds`).
4. Spoilt copies make trials whose answer is known; clips against themselves show who always prefers one side.

OUTPUT holds ``blinded/``, which can be put on a server, and ``key.json`` and ``run.json``, which must not.
"""

import dataclasses
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.ab_test.building import design
from experiments.ab_test.building.check import leaks_in_texts
from experiments.ab_test.building.config import CONSENT, TITLE, Build
from experiments.ab_test.building.rendering import Renderer
from experiments.ab_test.building.sounds import FORMATS, huggins_trial, level_noise
from experiments.ab_test.building.systems import (
    Source,
    System,
    find_sources,
    parse_systems,
    prompts_of,
    shared_prompts,
)
from experiments.ab_test.study import (
    AUDIO,
    BLINDED,
    CLEAN,
    KEY,
    SPOILT,
    STUDY,
    HeadphoneTrial,
    Key,
    KeyPrompt,
    KeyTrial,
    Settings,
    Study,
    StudyPrompt,
    Trial,
    Turn,
    write_record,
)
from music.clips import read_header
from music.durable import make_folder, writing
from music.errors import InputError
from music.paths import exists
from music.prompts import Prompt, load_prompts
from music.provenance import claim_folder, write_run_record
from reward import RewardWeights
from reward.composition import load_composed

_HEADPHONE_TRIALS = 3
_KNOWN_PER_RATER = 3  # trials that check raters, for each that one rater hears


@dataclass
class Builder:
    """Makes one study: the audio is written at once, trials are collected.

    Attributes
    ----------
    options
        What was asked for.
    systems
        Systems to compare.
    sources
        Clip of each system, by prompt id and system.
    prompts
        Prompts of `sources`, by id.
    """

    options: Build
    systems: Sequence[System]
    sources: Mapping[str, Mapping[str, Source]]
    prompts: Mapping[str, Prompt]

    def __post_init__(self) -> None:
        """Draw which prompts are heard, and their names."""
        self.seed = secrets.randbits(63) if self.options.seed is None else self.options.seed
        self._random = random.Random(self.seed)
        ids, sample = sorted(self.prompts), self.options.sample
        self.ids = ids if sample is None else sorted(self._random.sample(ids, sample))
        self._names = {prompt: self._name() for prompt in self.ids}
        self._files: dict[str, dict[str, str]] = {}  # of each prompt id and system
        self._trials: dict[str, Trial] = {}
        self._key_trials: dict[str, KeyTrial] = {}

    def build(self) -> tuple[Study, Key]:
        """Draw the design, write the audio, and return study and key."""
        options, names = self.options, [system.name for system in self.systems]
        pairs = design.choose_pairs(len(self.ids), len(names), options.pairs_per_prompt, self._random)
        caught, doubled = self._some_prompts(options.catches), self._some_prompts(options.identicals)
        practised = self._random.choice(self.ids)
        headers = [read_header(one.path) for prompt in self.ids for one in self.sources[prompt].values()]
        channels = 1 if all(header.channels == 1 for header in headers) else 2
        renderer = Renderer(options, channels, self._random)
        prompts = {}
        for place, prompt in enumerate(self.ids):
            heard = {
                names[one] for pair in pairs if pair.prompt == place for one in (pair.first, pair.second)
            }
            sources = {name: self.sources[prompt][name] for name in names if name in heard}
            self._files[prompt] = renderer.prompt(prompt, sources, spoil=prompt in (*caught, practised))
            wanted = self.prompts[prompt]
            reference = renderer.reference(wanted.reference) if wanted.reference else ""
            prompts[self._names[prompt]] = StudyPrompt(wanted.text, wanted.lyrics, reference)
        schedules = self._schedules(pairs, caught, doubled)
        practice = self._catch("practice", practised)
        headphones = []
        for _ in range(_HEADPHONE_TRIALS):
            right, seed = self._random.randrange(3), self._random.getrandbits(32)
            file = renderer.sound(huggins_trial(right, options.sample_rate, seed))
            headphones.append(HeadphoneTrial(file, right))
        volume = renderer.sound(level_noise(options.sample_rate, self._random.getrandbits(32)))
        settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)}
        study = Study(
            id=self._name(),
            settings=Settings(**settings | {"consent": options.consent_text()}),
            prompts=_sorted(prompts),
            clips=_sorted(renderer.clips),
            trials=_sorted(self._trials),
            practice=practice,
            headphones=headphones,
            volume=volume,
            schedules=schedules,
        )
        known = {self._names[name]: KeyPrompt(name, dict(self.prompts[name].facts)) for name in self.ids}
        key = Key(
            study=study.id,
            seed=self.seed,
            systems={system.name: system.place for system in self.systems},
            prompts=_sorted(known),
            clips=_sorted(renderer.key_clips),
            trials=_sorted(self._key_trials),
        )
        return study, key

    def _schedules(
        self, pairs: Sequence[design.PlannedPair], caught: Sequence[str], doubled: Sequence[str]
    ) -> list[list[Turn]]:
        options, names = self.options, [system.name for system in self.systems]
        trials = [
            self._trial("pair", self.ids[pair.prompt], names[pair.first], names[pair.second])
            for pair in pairs
        ]
        blocks = design.split_blocks(pairs, options.trials_per_rater)
        catch = [self._catch("catch", prompt) for prompt in caught]
        identical = []
        for prompt in doubled:
            name = self._random.choice([name for name in names if name in self._files[prompt]])
            identical.append(self._trial("identical", prompt, name, name))
        repeats = min(options.repeats, min(map(len, blocks)) // 3)
        checks = design.Checks(catch, identical, options.catches, options.identicals, repeats)
        named = [[trials[place] for place in block] for block in blocks]
        return design.schedules(named, options.raters, checks, self._random)

    def _name(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def _some_prompts(self, per_rater: int) -> list[str]:
        return self._random.sample(self.ids, min(len(self.ids), _KNOWN_PER_RATER * per_rater))

    def _trial(self, kind: str, prompt: str, first: str, second: str) -> str:
        name, files = self._name(), self._files[prompt]
        self._trials[name] = Trial(self._names[prompt], files[first], files[second])
        self._key_trials[name] = KeyTrial(kind, first, second)
        return name

    def _catch(self, kind: str, prompt: str) -> str:
        return self._trial(kind, prompt, *self._random.sample((CLEAN, SPOILT), 2))


def main(options: Build) -> None:
    """Find the clips, write the study and say what is in it."""
    claim_folder(options.output, options)
    systems = parse_systems(options.systems)
    if {CLEAN, SPOILT} & {system.name for system in systems}:
        raise InputError(
            "clean and spoilt are sides of trials that check raters: give the system another name"
        )
    blinded = options.output / BLINDED
    if exists(blinded / STUDY):
        raise InputError(f"{options.output} holds a study already: choose another --output folder")
    prompts = load_prompts(options.prompts) if options.prompts else prompts_of(systems)
    shared, generators = shared_prompts(systems, prompts)
    if options.sample is not None and options.sample > len(shared):
        raise InputError(f"--sample {options.sample}: only {len(shared)} prompts have a clip of every system")
    refuse_revealing_texts(options, systems, shared, generators)
    choosing = any(system.n is not None and system.n > 1 for system in systems)
    if options.weights:
        RewardWeights.parse(options.weights)
    scorer, reward = load_composed(options) if choosing else (None, RewardWeights())
    sources = find_sources(systems, shared, reward, scorer)
    builder = Builder(options, systems, sources, {prompt.id: prompt for prompt in shared})
    _clear(blinded / AUDIO)
    study, key = builder.build()
    for path in (*(blinded / AUDIO).iterdir(), blinded / AUDIO):
        os.utime(path, (0, 0))  # the order of writing would tell systems apart
    write_record(options.output / KEY, key)
    write_record(blinded / STUDY, study)
    facts = summary(study, key) | {"prompts_without_a_clip_of_every_system": len(prompts) - len(sources)}
    hash_of_scorer = scorer.hash if scorer else None
    write_run_record(options.output, options, scorer=hash_of_scorer, **facts)
    print(json.dumps({"output": str(options.output), **facts}, indent=1))


def refuse_revealing_texts(
    options: Build, systems: Sequence[System], prompts: Sequence[Prompt], generators: Mapping[str, set[str]]
) -> None:
    """`InputError` if a text that raters read holds the name of a system or generator.

    Parameters
    ----------
    options
        What was asked for.
    systems, prompts
        What is compared, for which prompts.
    generators
        What has made the clips of each prompt, by its id.
    """
    named, places = [system.name for system in systems], [system.place for system in systems]
    made = set().union(*generators.values()) - {"", *named}
    own = {"--title": (options.title, TITLE), "the consent": (options.consent_text(), CONSENT)}
    own["--completion_code"] = (options.completion_code, "")
    texts = {place: text for place, (text, usual) in own.items() if text != usual}
    for found in leaks_in_texts(texts, {*named, *places, *made}):
        raise InputError(f"{found}, which would tell raters what they hear: word it otherwise")
    heard = {f"the text of prompt {one.id!r}": one.text for one in prompts}
    heard |= {f"the lyrics of prompt {one.id!r}": one.lyrics for one in prompts}
    for found in leaks_in_texts(heard, named):
        raise InputError(f"{found}, the name of a system: give that another name, or leave the prompt out")
    for found in leaks_in_texts(heard, places):
        raise InputError(f"{found}, the folder of a system: give that another name, or leave the prompt out")
    for found in leaks_in_texts(heard, made):
        raise InputError(f"{found}, the name of a generator: leave that prompt out")


def summary(study: Study, key: Key) -> dict[str, object]:
    """Return the counts of a study."""
    pairs = {name: one for name, one in key.trials.items() if one.kind == "pair"}
    met = Counter(" / ".join(sorted((one.first, one.second))) for one in pairs.values())
    same = sum(study.trials[name].first == study.trials[name].second for name in pairs)
    return {
        "prompts": len(study.prompts),
        "pairs": len(pairs),
        "pairs_of_systems": _sorted(met),
        "pairs_in_which_both_systems_chose_the_same_clip": same,
        "turns_of_a_rater": max(map(len, study.schedules)),
        "raters": len(study.schedules),
    }


def _clear(folder: Path) -> None:
    """Remove what a build that was killed has left."""
    make_folder(folder)
    with writing(folder):
        for path in folder.iterdir():
            if path.is_file() and path.suffix[1:] in FORMATS:
                path.unlink()


def _sorted(found: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(found.items()))
