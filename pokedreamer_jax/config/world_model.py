"""Configuration of the world model: what its state holds, networks, losses.

Standard library only, as all configuration (`config.py`).
"""

import dataclasses
import math

from pokedreamer_jax import specs
from pokedreamer_jax.config import bounds

# RAM tokens and their number of values; larger values are clipped to the last.
# Order matters: a token may depend on those before it (see `tokens.py`).
PRACTICE_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 map:32 y:64 x:64 facing:4 control:2 "
  "badges:9 capture_items:8 party_size:7 dex_owned:32 level:32 "
  "enemy_species:32 enemy_hp:64 hp:64"
)
# For records of schema version 3 of chapter one, which has no clocks.
CHAPTER_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 map:32 y:64 x:64 facing:4 control:2 "
  "scroll_y:16 scroll_x:16 badges:9 event_flags:16 capture_items:8 "
  "party_size:7 dex_owned:32 "
  "dex_seen:32 level:32 hp:64 active_slot:6 active_max_hp:64 active_hp:64 "
  "enemy_species:32 enemy_level:32 enemy_max_hp:64 enemy_hp:64 move_item:5 "
  "text:64"
)
# For records of schema version 7 of the great vale: what its pictures show, and
# what decides its progress. Sizes clip bars that are more than 23 pixels too
# long, 316 of 104,139 recorded rows.
VALE_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 menu_wait:22 map:32 y:64 x:64 "
  "facing:4 control:2 arriving:2 shade:7 scroll_y:16 scroll_x:16 badges:4 "
  "event_flags:48 capture_items:24 heal_items:16 party_size:7 dex_owned:21 "
  "dex_seen:21 level:32 hp:72 active_slot:6 active_species:21 "
  "active_level:32 active_max_hp:72 active_hp:72 own_slide:24 "
  "enemy_species:21 enemy_level:32 enemy_max_hp:56 enemy_hp:56 enemy_slide:24 "
  "move_item:5 text:128 text2:96 letters:40 text_wait:38 "
  "blink_wait:31 tile_look:168 figure_look:62"
)
# Tokens that say which text is shown.
TEXT_TOKENS = ("text", "text2", "letters")
# And those that tell message boxes apart.
BOX_TOKENS = (*TEXT_TOKENS, "menu_item")
# Tokens that are clocks and go round: how many phases they have, and how many
# frames each lasts. Pictures show the phase alone.
CLOCKS = {
  **{"tile_clock": (8, 21), "figure_clock": (2, 31)},  # as memory counts
  **{"tile_look": (8, 21), "figure_look": (2, 31)},  # as they are seen
}
POKEMON_RED_TOKENS = (
  "battle:4 dialog:2 menu:2 menu_item:8 map:256 y:160 x:96 facing:4 control:2 "
  "badges:9 capture_items:32 party_size:7 dex_owned:152 level:101 "
  "enemy_species:256 enemy_hp:128 hp:128"
)
# RAM heads and their number of bins (see `ram_heads.py`).
PRACTICE_RAM_HEADS = (
  "hp_share:17 xp:33 badges:9 dex_owned:32 dex_seen:32 enemy_species:32 "
  "enemy_hp:64 enemy_level:32 money:33 event_flags:33"
)
POKEMON_RED_RAM_HEADS = (
  "hp_share:33 xp:65 badges:9 dex_owned:152 dex_seen:152 enemy_species:256 "
  "enemy_hp:128 enemy_level:101 money:65 event_flags:65"
)
# To be added where RAM tokens are off and nothing else says where one is.
PRACTICE_PLACE_HEADS = "map:32 y:64 x:64 facing:4 battle:4 dialog:2"
POKEMON_RED_PLACE_HEADS = "map:256 y:160 x:96 facing:4 battle:4 dialog:2"
RAM_MODES = ("given", "inferred", "place", "off")
# HP bars that a decoder may be told the length of: HP, its maximum, and how far
# the bar still has to go, which the state need not have.
BARS = (
  ("active_hp", "active_max_hp", "own_slide"),
  ("enemy_hp", "enemy_max_hp", "enemy_slide"),
)
BAR_PIXELS = 48
BARS_DIM = len(BARS) * (BAR_PIXELS + 1)
CODECS = ("dictionary", "pixels")  # see `codecs.py`
COMPUTE_DTYPES = ("float32", "bfloat16")
FAMILIES = ("v3", "v2")  # our networks, and the published ones
ACTION_ALIGNMENTS = ("previous", "published")
ATLASES = ("off", "counted")
ATLAS_PAGE = 64  # cells
ANNEALED = ("gumbel", "sampled", "most_likely")


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
  """Sizes and loss weights of the world model."""

  # State.
  deter: int = 256  # GRU units
  stoch: int = 16  # categorical variables
  classes: int = 16  # classes of each
  tokens: str = PRACTICE_TOKENS  # RAM variables in the state, `name:size`
  # Whether tokens are predicted by their change beside their value.
  relative_tokens: bool = False
  # Whether changes are part of the chain between tokens, beside values.
  chain_changes: bool = False
  # Whether a clock may be set to its last phase, beside going on (see
  # `relative_tokens.py`).
  clock_sets: bool = False
  # Whether what tokens owe to those before them is stored without the half of
  # its matrix that is never read.
  packed_chain: bool = False
  # Tokens that blocks of an atlas' decoder read through the layer of the state
  # alone, not directly as well: those that pictures show nowhere, or that are
  # told otherwise. Texts that are copied, and bars, need not be named; who is
  # not among the tokens is passed over.
  unseen_tokens: str = "menu_wait text_wait"
  # Whether the decoder is told how long the HP bars are (see `hp_bars.py`),
  # where the state has the tokens that say it.
  hp_bars: bool = False
  # Tokens of observed frames: given, inferred from the frame, the same with the
  # place believed (see `place_belief.py`), or none.
  ram: str = "given"
  # Memory variables read off the features, `name:size` (see `ram_heads.py`).
  ram_heads: str = ""
  ram_heads_gradient: bool = True  # whether their loss shapes the features
  # Networks.
  hidden: int = 256  # units of every hidden layer
  encoder: str = "dictionary"  # frames come in as tile numbers or as pixels
  decoder: str = "dictionary"  # and go out so
  tile_vocab: int = 400  # tiles in the dictionary, the escape not counted
  tile_units: int = 32  # embedding of an 8x8 tile
  block_units: int = 32  # embedding of a 16x16 block of 2x2 tiles
  # Map memory that decoder and step read (see `atlas.py`): none, or the tiles
  # most often seen at every place, counted over the training rows.
  atlas: str = "off"
  atlas_cells: int = 16384  # cells it can hold, the unknown one's page counted
  atlas_units: int = 16  # learned vector of each cell
  # Share of the cells and boxes that training hides, so that what is not known
  # is learned.
  atlas_hidden: float = 0.1
  # Message boxes it can hold as well (see `atlas_texts.py`), one of each text
  # and place of a cursor, where the state has the token `text`; 0: none, and
  # then the token `letters` is always 0.
  atlas_boxes: int = 0
  # Two of its pieces, to be left out one by one; without an atlas neither is
  # there, whatever these say. Whether the step reads the cells around,
  atlas_around: bool = True
  # and whether the decoder copies tiles: else it draws all of them, from
  # features that still read the cells.
  atlas_copies: bool = True
  # Whether a block's features in the atlas' decoder are also made of those of
  # the eight blocks around.
  block_mix: bool = False
  unimix: float = 0.01  # uniform share of every categorical (DreamerV3)
  # What the networks calculate in; parameters, losses and what leaves a network
  # are float32. bfloat16 pays on accelerators, and on a CPU costs time.
  compute_dtype: str = "float32"
  # Loss weights; image and token losses are sums of nats per frame.
  image_scale: float = 0.2
  token_scale: float = 2.0
  infer_scale: float = 0.5  # tokens guessed from pixels
  dyn_scale: float = 1.0
  rep_scale: float = 0.1
  free_nats: float = 0.1
  reward_scale: float = 1.0
  cont_scale: float = 1.0
  ram_scale: float = 1.0  # of the sum over all RAM heads
  family: str = "v3"
  # Which action a row's step takes: that of the row before, or the row's own,
  # chosen after its frame, as the published weights were trained.
  action_alignment: str = "previous"
  # Family v2 alone; it takes no tokens, tiles, unimix and loss weights.
  channels: int = 32  # of the first halving; doubled by each of three more
  head_units: int = 256  # hidden units of the reward and continue heads
  # Of the KL, in nats, beside the mean squared error of a pixel, which is 0.13
  # for one grey picture: as published, 1, latents soon hold next to nothing.
  kl_scale: float = 1.0
  kl_alpha: float = 0.8  # share of the KL that trains the prior
  # Gumbel-softmax in training, linear from start to end over so many updates;
  # a start of 0 is the plain straight-through gradient from the first one on.
  temperature_start: float = 1.0
  temperature_end: float = 1.0
  temperature_steps: int = 0
  # After these updates: Gumbel-softmax at the last temperature, or the plain
  # straight-through gradient (that of the probabilities) on samples or, as the
  # published fall-back, on the most likely classes.
  annealed: str = "gumbel"

  def __post_init__(self):
    bounds.at_least(self, 1, "deter", "stoch", "hidden", "tile_vocab")
    bounds.at_least(self, 1, "tile_units", "block_units")
    self._check_family()
    bounds.at_least(self, 2, "classes")
    bounds.one_of(self, "ram", RAM_MODES)
    bounds.one_of(self, "encoder", CODECS)
    bounds.one_of(self, "decoder", CODECS)
    bounds.one_of(self, "compute_dtype", COMPUTE_DTYPES)
    # Without a uniform share a probability of 0 makes the KL infinite.
    if not 0.0 < self.unimix < 1.0:
      raise ValueError(
        f"world_model.unimix: {self.unimix}, expected between 0 and 1"
      )
    _sizes("world_model.tokens", self.tokens)  # raises where unreadable
    if self.chain_changes and not self.relative_tokens:
      raise ValueError(
        "world_model.chain_changes: True, without world_model.relative_tokens "
        "there are no changes, expected False"
      )
    if self.clock_sets and not self.relative_tokens:
      raise ValueError(
        "world_model.clock_sets: True, without world_model.relative_tokens "
        "there are no changes, expected False"
      )
    self._check_atlas()
    lacks = sorted({"map", "y", "x"} - set(self.token_sizes))
    if self.ram == "place" and lacks:
      raise ValueError(
        f"world_model.ram: 'place', the state has no tokens {lacks}, expected "
        "'given', 'inferred' or 'off'"
      )
    _ = self.ram_head_sizes

  def _check_family(self) -> None:
    bounds.one_of(self, "family", FAMILIES)
    bounds.one_of(self, "action_alignment", ACTION_ALIGNMENTS)
    bounds.at_least(self, 1, "channels", "head_units")
    bounds.at_least(self, 0, "temperature_steps", "kl_scale")
    if self.family == "v2" and self.ram != "off":
      raise ValueError(
        f"world_model.ram: {self.ram!r}, family v2 has no RAM tokens, "
        "expected 'off'"
      )
    if self.family == "v2" and self.compute_dtype != "float32":
      raise ValueError(
        f"world_model.compute_dtype: {self.compute_dtype!r}, family v2 "
        "calculates as published, expected 'float32'"
      )
    if not 0.0 <= self.kl_alpha <= 1.0:
      raise ValueError(f"world_model.kl_alpha: {self.kl_alpha}, expected 0..1")
    bounds.at_least(self, 0, "temperature_start")
    bounds.one_of(self, "annealed", ANNEALED)
    if self.temperature_end <= 0.0:
      # The gradient of a softmax this cold has no bound.
      raise ValueError(
        f"world_model.temperature_end: {self.temperature_end}, expected above "
        "0 (world_model.annealed says what follows)"
      )

  def _check_atlas(self) -> None:
    bounds.one_of(self, "atlas", ATLASES)
    bounds.at_least(self, 2 * ATLAS_PAGE, "atlas_cells")
    bounds.at_least(self, 1, "atlas_units")
    if not 0.0 <= self.atlas_hidden < 1.0:
      raise ValueError(
        f"world_model.atlas_hidden: {self.atlas_hidden}, expected 0 to below 1"
      )
    if self.atlas_cells % ATLAS_PAGE:
      raise ValueError(
        f"world_model.atlas_cells: {self.atlas_cells}, expected a multiple of "
        f"{ATLAS_PAGE}"
      )
    bounds.at_least(self, 0, "atlas_boxes")
    self._check_texts()
    if not self.has_atlas:
      return
    lacks = sorted({"map", "y", "x"} - set(self.token_sizes))
    if self.family == "v2":
      reason = "family v2 has no map memory"
    elif self.decoder != "dictionary":
      reason = f"decoder {self.decoder!r} shows no tiles of the dictionary"
    elif lacks:
      reason = f"the state has no tokens {lacks}, so no place"
    elif self.tile_vocab >= 1 << 16:
      reason = f"tile_vocab {self.tile_vocab} is not below {1 << 16}"
    else:
      return
    raise ValueError(
      f"world_model.atlas: {self.atlas!r}, {reason}, expected 'off'"
    )

  def _check_texts(self) -> None:
    sizes = self.token_sizes
    if self.atlas_boxes >= 1 << 16:
      raise ValueError(
        f"world_model.atlas_boxes: {self.atlas_boxes}, expected below {1 << 16}"
      )
    if "letters" in sizes and "text" not in sizes:
      raise ValueError(
        "world_model.tokens: 'letters' without 'text', expected both"
      )
    boxes = math.prod(sizes.get(name, 1) for name in BOX_TOKENS)
    if boxes >= 1 << 31:  # each has a number of 32 bits
      raise ValueError(
        f"world_model.tokens: {' x '.join(n for n in BOX_TOKENS if n in sizes)}"
        f" are {boxes} message boxes, expected below {1 << 31}"
      )

  def check_reward_terms(self) -> None:
    """Raises ValueError where dreams cannot be judged by reward terms."""
    if self.family == "v2":
      raise ValueError(
        "world_model.family: 'v2' predicts one scalar reward, not the "
        f"{specs.NUM_REWARD_TERMS} reward terms that policies are trained on, "
        "expected 'v3'"
      )

  @property
  def token_sizes(self) -> dict[str, int]:
    """Name -> number of values, in order; empty where RAM is off."""
    if self.ram == "off":
      return {}
    return _sizes("world_model.tokens", self.tokens)

  @property
  def infers_tokens(self) -> bool:
    """Whether tokens of observed frames are inferred, not read from memory."""
    return self.ram in ("inferred", "place")

  @property
  def ram_head_sizes(self) -> dict[str, int]:
    """Name -> number of bins of every RAM head, in order."""
    return _sizes("world_model.ram_heads", self.ram_heads)

  @property
  def has_dictionary(self) -> bool:
    """Whether frames go through the tile dictionary, in or out."""
    tiled = "dictionary" in (self.encoder, self.decoder)
    return tiled and self.family == "v3"

  @property
  def has_atlas(self) -> bool:
    """Whether decoder and step read a map memory."""
    return self.atlas != "off"

  @property
  def num_boxes(self) -> int:
    """Message boxes that the atlas can hold; 0 where nothing tells texts."""
    known = self.has_atlas and "text" in self.token_sizes
    return self.atlas_boxes if known else 0

  @property
  def copies_boxes(self) -> bool:
    """Whether the decoder copies what the atlas holds of message boxes."""
    return self.atlas_copies and self.num_boxes > 0

  @property
  def reads_around(self) -> bool:
    """Whether the recurrent step reads the cells around."""
    return self.has_atlas and self.atlas_around

  @property
  def has_bars(self) -> bool:
    """Whether the decoder is told how long the HP bars are."""
    needed = {name for now, most, _ in BARS for name in (now, most)}
    return self.hp_bars and needed <= set(self.token_sizes)

  @property
  def token_dim(self) -> int:
    """Length `R` of the concatenated one-hot tokens."""
    return sum(self.token_sizes.values())

  @property
  def stoch_dim(self) -> int:
    """Length of the flattened categorical state."""
    return self.stoch * self.classes

  @property
  def feat_dim(self) -> int:
    """Length `F` of the features that heads and policies read."""
    return self.deter + self.stoch_dim + self.token_dim


def _sizes(field: str, text: str) -> dict[str, int]:
  """Name -> size of `name:size ...`, in order."""
  sizes: dict[str, int] = {}
  for item in text.split():
    name, _, size = item.partition(":")
    if not size.isdigit() or int(size) < 2:
      raise ValueError(f"{field}: {item!r}, expected name:size with size >= 2")
    if name in sizes:
      raise ValueError(f"{field}: {name!r} is there twice")
    sizes[name] = int(size)
  return sizes
