import pytest

from pokedreamer_jax.config import behaviour as behaviour_config


def test_sources_of_the_clone_are_behaviours():
  sources = behaviour_config.CloneConfig(sources="human, policy").source_names
  assert sources == ("human", "policy")
  for wrong in ("", "human,none", "walker", "human,human", "human,"):
    with pytest.raises(ValueError, match=r"clone\.sources: .*demonstrator"):
      behaviour_config.CloneConfig(sources=wrong)
