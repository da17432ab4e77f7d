"""Run names for people: an adjective and an animal. Not unique, and nothing depends on them: the id does."""

from __future__ import annotations

import secrets

_ADJECTIVES = tuple(
    """
able amber agile ancient azure bold brave brisk bright calm candid clever cosmic crimson curious daring deft
eager early elegant fabled fair fancy fearless fleet fond free fresh gentle gilded glad golden grand happy hardy
honest humble icy jolly keen kind lively loyal lucid lucky mellow merry mighty mild misty modest neat nimble
noble patient placid polite proud quick quiet rapid regal robust rosy sage serene silent silver sleek smart
snowy solid spry steady sturdy subtle sunny swift tidy tranquil true trusty upbeat valiant vivid warm wise witty
zesty
""".split()  # noqa: SIM905 - a list of words reads better as text
)
_ANIMALS = tuple(
    """
alpaca badger beaver bison bobcat buffalo camel caribou cheetah cobra condor cougar coyote crane cricket crow
deer dingo dolphin dove duck eagle egret elk falcon ferret finch fox frog gazelle gecko gibbon goose gull hare
hawk heron hornet horse ibex ibis iguana impala jackal jaguar jay kestrel koala lark lemur leopard lion lizard
llama lobster lynx macaw magpie marlin marten meerkat mole moose moth newt ocelot octopus orca osprey otter owl
panda panther parrot pelican penguin pheasant pigeon puffin puma quail rabbit raccoon raven robin salmon seal
shark sparrow squid stork swallow swan tapir tiger toucan trout turtle viper walrus weasel whale wolf wombat
wren
""".split()  # noqa: SIM905 - a list of words reads better as text
)


def new_name() -> str:
    """Two random words, such as `swift-otter`."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_ANIMALS)}"
