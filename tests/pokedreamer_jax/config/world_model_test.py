import dataclasses

from pokedreamer_jax.config import world_model as world_model_config


def test_sizes_by_hand():
  model = world_model_config.WorldModelConfig(
    deter=10, stoch=3, classes=4, tokens="battle:4 map:5"
  )
  assert model.token_sizes == {"battle": 4, "map": 5}
  assert list(model.token_sizes) == ["battle", "map"]
  assert (model.token_dim, model.stoch_dim, model.feat_dim) == (9, 12, 31)
  off = dataclasses.replace(model, ram="off")
  assert off.token_sizes == {}
  assert (off.token_dim, off.feat_dim) == (0, 22)
