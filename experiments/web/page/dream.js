// A dream, one step at a time, and what it shows: world_model/imagination.py
// and the decoder of networks/atlas_reader.py, for one dream. One-hots are
// numbers here, and sums over them sums of rows. No page, no clock.
//
// A state is { deter [D], stoch [S] classes, tokens [M] values }.
(function (own) {
  "use strict";

  const { ROWS, COLUMNS, WIDE } = own.SCREEN;
  // Where a block's cell and its neighbours stand in the window.
  const SHIFTS = [[1, 1], [0, 1], [2, 1], [1, 0], [1, 2]];
  const NEAR = [[0, 0], [1, 0], [0, -1], [0, 1], [-1, 0]];

  class Dream {
    constructor(config, arrays) {
      this.config = config;
      this.arrays = arrays;
      this.atlas = new own.Atlas(config, arrays);
      this.sizes = config.tokens.map((token) => token.size);
      this.starts = [];
      this.sizes.reduce((at, size) => (this.starts.push(at), at + size), 0);
      this.tokenDim = this.sizes.reduce((a, b) => a + b, 0);
      this.aroundVectors = config.around && this.vectors("rssm.around.CellEmbedding_0");
      this.seenVectors = this.vectors("decoder.embedding");
    }

    part(name) {
      const found = this.arrays[name];
      if (!found) throw new Error(`weights: no ${name}`);
      return found;
    }

    vectors(name) {
      return own.cellVectors(this.part(`${name}.cells`), this.part(`${name}.Dense_0.kernel`));
    }

    hidden(total, name) {
      return own.silu(own.norm(total, this.part(name)));
    }

    // Where the one-hots of tokens are 1, after `first` other numbers.
    tokenRows(tokens, first = 0, upTo = tokens.length) {
      const rows = [];
      for (let i = 0; i < upTo; i++) rows.push(first + this.starts[i] + tokens[i]);
      return rows;
    }

    stochRows(stoch, first = 0) {
      return Array.from(stoch, (value, i) => first + i * this.config.classes + value);
    }

    token(state, at) {
      return at < 0 ? 0 : state.tokens[at];
    }

    // The next state. `uniform` draws a number in 0..1; null takes what is most
    // likely. `told`, if given, receives logits.
    step(state, action, uniform = null, told = null) {
      const { config } = this;
      const deter = this.recur(state, action);
      const logits = this.tokenOutputs(deter);
      const tokens = this.drawTokens(logits, state.tokens, uniform);
      const x = own.addDense(own.begin(config.hidden), this.part("rssm.prior_net.Dense_0.kernel"), deter);
      own.addRows(x, this.part("rssm.prior_net.Dense_0.kernel"), this.tokenRows(tokens, config.deter));
      this.hidden(x, "rssm.prior_net.RMSNorm_0.scale");
      const prior = own.begin(config.stoch * config.classes, this.part("rssm.prior_net.Dense_1.bias"));
      own.addDense(prior, this.part("rssm.prior_net.Dense_1.kernel"), x);
      const stoch = new Int32Array(config.stoch);
      for (let i = 0; i < config.stoch; i++) {
        const [start, stop] = [i * config.classes, (i + 1) * config.classes];
        stoch[i] = uniform ? own.draw(own.softmax(prior, start, stop), uniform()) : own.largest(prior, start, stop);
      }
      if (told) Object.assign(told, { tokens: logits.subarray(0, this.tokenDim), prior });
      return { deter, stoch, tokens };
    }

    recur(state, action) {
      const { config } = this;
      const x = own.addRows(own.begin(config.hidden), this.part("rssm.stoch_in.kernel"), this.stochRows(state.stoch));
      const known = [...this.tokenRows(state.tokens), this.tokenDim + action];
      own.addRows(x, this.part("rssm.known_in.kernel"), known);
      if (config.around) this.addAround(x, state, action, known);
      this.hidden(x, "rssm.norm_in.scale");
      const gates = own.addDense(own.begin(3 * config.deter), this.part("rssm.gates.kernel"), state.deter);
      own.addDense(gates, this.part("rssm.gates.kernel"), x, config.deter);
      own.norm(gates, this.part("rssm.norm_gates.scale"));
      const deter = new Float32Array(config.deter);
      const n = config.deter;
      for (let i = 0; i < n; i++) {
        const candidate = Math.tanh(own.sigmoid(gates[i]) * gates[n + i]);
        const update = own.sigmoid(gates[2 * n + i] - 1);
        deter[i] = update * candidate + (1 - update) * state.deter[i];
      }
      return deter;
    }

    // What the cells around a place add to the hidden layer.
    addAround(total, state, action, known) {
      const { config } = this;
      const [map, y, x] = config.place.map((at) => state.tokens[at]);
      const ahead = config.ahead[action] || config.looks[this.token(state, config.facing)] || [0, 0];
      const steps = [...NEAR, ahead, [2 * ahead[0], 2 * ahead[1]]];
      const units = config.tile_units;
      const seen = new Float64Array(steps.length * units);
      steps.forEach(([down, right], i) => {
        const cell = this.atlas.cell(map, y + down, x + right);
        const tiles = this.atlas.tiles.subarray(4 * cell, 4 * cell + 4);
        this.embed(seen, i * units, units, "rssm.around.CellEmbedding_0.table", this.aroundVectors, cell, tiles);
      });
      own.silu(seen);
      const hidden = own.addRows(own.begin(config.hidden), this.part("rssm.around.Dense_0.kernel"), known);
      own.addDense(hidden, this.part("rssm.around.Dense_0.kernel"), seen, this.tokenDim + config.ahead.length);
      this.hidden(hidden, "rssm.around.RMSNorm_0.scale");
      own.addDense(total, this.part("rssm.around.Dense_1.kernel"), hidden);
    }

    // Adds a cell's embedding to numbers that begin at `at`.
    embed(total, at, units, table, vectors, cell, tiles) {
      const rows = this.part(table).values;
      const first = cell * units;
      for (let j = 0; j < units; j++) total[at + j] += vectors[first + j];
      for (let k = 0; k < 4; k++) {
        const row = (k * (this.config.vocab + 1) + tiles[k]) * units;
        for (let j = 0; j < units; j++) total[at + j] += rows[row + j];
      }
    }

    // Logits of every token, then scores of changes; before what each token owes
    // to those before it.
    tokenOutputs(deter) {
      const { config } = this;
      const x = own.addDense(own.begin(config.hidden), this.part("rssm.token_net.Dense_0.kernel"), deter);
      this.hidden(x, "rssm.token_net.RMSNorm_0.scale");
      const bias = this.part("rssm.token_net.Dense_1.bias");
      const outputs = own.addDense(own.begin(bias.values.length, bias), this.part("rssm.token_net.Dense_1.kernel"), x);
      return outputs;
    }

    // Adds the scores of a token's changes where they lead to; `score` is where
    // they stand.
    addChanges(outputs, i, last, score) {
      for (let value = 0; value < this.sizes[i]; value++) {
        const row = this.changeRow(i, last, value, score);
        if (row >= 0) outputs[this.starts[i] + value] += outputs[row];
      }
    }

    // Which row of the chain a token's change has, -1 if none.
    changeRow(i, last, value, score) {
      const { size, low, high, cycle, sets } = this.config.tokens[i];
      const turned = (at, length) => ((at % length) + length) % length;
      let at = value - last - low;
      if (cycle) at = turned(at, size);
      if (at >= 0 && at <= high - low) return score + at;
      if (!sets || value < (sets.phases - 1) * sets.wait) return -1;
      const waited = turned(value - last - sets.low, sets.wait);
      return waited <= sets.high - sets.low ? score + high - low + 1 + waited : -1;
    }

    // How many scores a token's changes have.
    changes(i) {
      const { low, high, sets } = this.config.tokens[i];
      return high - low + 1 + (sets ? sets.high - sets.low + 1 : 0);
    }

    // Draws every token given those before it; completes the logits.
    drawTokens(outputs, last, uniform) {
      const { config } = this;
      const chain = this.part("chain.kernel");
      const width = chain.shape[1];
      const tokens = new Int32Array(this.sizes.length);
      const rows = [];
      let score = this.tokenDim;
      this.sizes.forEach((size, i) => {
        const start = this.starts[i];
        const stop = start + size;
        const scores = config.relative ? this.changes(i) : 0;
        const owe = (from, to) => {
          for (const row of rows) {
            const a = row * width;
            for (let j = from; j < to; j++) outputs[j] += chain.values[a + j];
          }
        };
        owe(start, stop);
        if (config.chained) owe(score, score + scores);
        if (config.relative) this.addChanges(outputs, i, last[i], score);
        tokens[i] = uniform ? own.draw(own.softmax(outputs, start, stop), uniform()) : own.largest(outputs, start, stop);
        rows.push(start + tokens[i]);
        if (config.chained) {
          const row = this.changeRow(i, last[i], tokens[i], score);
          if (row >= 0) rows.push(row);
        }
        score += scores;
      });
      return tokens;
    }

    // The most likely tiles [360] of a state, in block order.
    tiles(state, told = null) {
      const found = this.decode(state);
      const { config } = this;
      const tiles = new Int32Array(360);
      const logits = told ? new Float64Array(360 * (config.vocab + 1)) : null;
      const copied = new Float64Array(SHIFTS.length + (this.config.texts ? 1 : 0));
      for (let i = 0; i < 360; i++) {
        const at = found.x.subarray(i * config.tile_units, (i + 1) * config.tile_units);
        const drawn = this.shareOfCopies(found, at, i, copied);
        if (told) logits.set(this.drawn(at), i * (config.vocab + 1));
        tiles[i] = this.likeliest(found, at, i, copied, drawn);
      }
      if (told) Object.assign(told, { logits, shift: found.shift, gates: found.gates });
      return tiles;
    }

    // Features of tiles and what may be copied.
    decode(state) {
      const { config } = this;
      const [map, y, x] = config.place.map((at) => state.tokens[at]);
      let phase = 0;
      for (const { token, phases, wait } of config.clocks) {
        phase = phase * phases + Math.floor(state.tokens[token] / wait);
      }
      const { cells, tiles } = this.atlas.window(map, y, x, phase);
      const ahead = config.facing < 0 ? null : config.looks[this.token(state, config.facing)];
      const scroll = config.scroll.map((at) => this.token(state, at));
      const [down, right] = own.standing(scroll, ahead, this.token(state, config.arriving) > 0);
      const light = config.shades[this.token(state, config.shade)];
      const screen = this.atlas.screen(tiles, down, right, light);
      const { others, direct } = this.others(state);
      const hot = [...this.stochRows(state.stoch, config.deter)];
      for (const row of others) hot.push(config.deter + config.stoch * config.classes + row);
      const read = (outputs, name) => {
        const total = own.begin(outputs, this.arrays[`${name}.bias`]);
        own.addDense(total, this.part(`${name}.kernel`), state.deter);
        return own.addRows(total, this.part(`${name}.kernel`), hot);
      };
      const hidden = this.hidden(read(config.hidden, "decoder.state_in"), "decoder.state_norm.scale");
      const units = config.block_units;
      let blocks = own.addDense(own.begin(ROWS * COLUMNS * units), this.part("decoder.state_out.kernel"), hidden);
      own.addRows(blocks, this.part("decoder.token_out.kernel"), direct);
      this.addSeen(blocks, cells, tiles, read(SHIFTS.length, "decoder.shift"), read(ROWS * COLUMNS, "decoder.block"));
      own.silu(own.norm(blocks, this.part("decoder.block_norm.scale")));
      if (config.mix) blocks = this.mixed(blocks);
      const features = new Float64Array(360 * config.tile_units);
      const wide = 4 * config.tile_units;
      for (let i = 0; i < ROWS * COLUMNS; i++) {
        const total = own.begin(wide, this.part("decoder.tile_in.bias"));
        own.addDense(total, this.part("decoder.tile_in.kernel"), blocks.subarray(i * units, (i + 1) * units));
        features.set(own.silu(total), i * wide);
      }
      const shift = config.copies ? read(SHIFTS.length + (config.texts ? 1 : 0), "decoder.copy_shift") : null;
      const box = config.texts ? this.atlas.box(this.boxKey(state)) : null;
      return { x: features, tiles, screen, shift, box, gates: new Float64Array(360) };
    }

    boxKey(state) {
      return this.config.told.reduce((key, { token, size }) => key * size + state.tokens[token], 0);
    }

    // Rows of the tokens beside the place, and of the HP bars; and those of the
    // ones among them that reach every block.
    others(state) {
      const others = [], direct = [];
      let at = 0, reached = 0;
      const add = (row, size, reaches) => {
        others.push(at + row);
        at += size;
        if (!reaches) return;
        direct.push(reached + row);
        reached += size;
      };
      for (const { token, size, wait, direct: reaches } of this.config.shown) {
        add(Math.floor(state.tokens[token] / wait), size, reaches);
      }
      const whole = this.config.bar_pixels;
      for (const [now, most, slide] of this.config.bars) {
        const [hp, all] = [state.tokens[now], Math.max(state.tokens[most], 1)];
        let pixels = Math.floor((hp * whole) / all);
        if (hp > 0 && pixels === 0) pixels = 1;
        add(Math.min(pixels + this.token(state, slide), whole), whole + 1, true);
      }
      return { others, direct };
    }

    // Adds what the map shows of every block, through its gates.
    addSeen(blocks, cells, tiles, shift, shut) {
      const units = this.config.block_units;
      const embedded = new Float64Array(cells.length * units);
      for (let i = 0; i < cells.length; i++) {
        this.embed(embedded, i * units, units, "decoder.embedding.table", this.seenVectors, cells[i], tiles.subarray(4 * i, 4 * i + 4));
      }
      for (let r = 0, block = 0; r < ROWS; r++) {
        for (let c = 0; c < COLUMNS; c++, block++) {
          const open = own.sigmoid(1 + shut[block]);
          SHIFTS.forEach(([row, column], i) => {
            const gate = open * (shift[i] + (i === 0 ? 1 : 0));
            const at = ((r + row) * WIDE + c + column) * units;
            for (let j = 0; j < units; j++) blocks[block * units + j] += gate * embedded[at + j];
          });
        }
      }
    }

    // Blocks with what the eight around them add.
    mixed(blocks) {
      const units = this.config.block_units;
      const made = new Float64Array(blocks);
      const near = new Float64Array(9 * units);
      for (let block = 0; block < ROWS * COLUMNS; block++) {
        near.fill(0);
        for (let k = 0; k < 9; k++) {
          const r = Math.floor(block / COLUMNS) + Math.floor(k / 3) - 1;
          const c = (block % COLUMNS) + (k % 3) - 1;
          if (r < 0 || r >= ROWS || c < 0 || c >= COLUMNS) continue;
          const at = (r * COLUMNS + c) * units;
          near.set(blocks.subarray(at, at + units), k * units);
        }
        const total = own.begin(units, this.part("decoder.mix_in.bias"));
        own.silu(own.addDense(total, this.part("decoder.mix_in.kernel"), near));
        for (let j = 0; j < units; j++) made[block * units + j] += total[j];
      }
      return made;
    }

    candidate(found, tile, k) {
      if (k === 0) return found.screen[tile];
      if (k === SHIFTS.length) return found.box[tile];
      const block = tile >> 2;
      const [row, column] = SHIFTS[k];
      const at = (Math.floor(block / COLUMNS) + row) * WIDE + (block % COLUMNS) + column;
      return found.tiles[4 * at + (tile & 3)];
    }

    // Fills in how likely each candidate is copied; returns the share drawn.
    shareOfCopies(found, x, tile, copied) {
      copied.fill(0);
      if (!this.config.copies) return 1;
      const kernel = this.part("decoder.copy_gate.kernel").values;
      let gate = this.part("decoder.copy_gate.bias").values[0];
      for (let j = 0; j < x.length; j++) gate += x[j] * kernel[j];
      found.gates[tile] = gate;
      let most = -Infinity, total = 0;
      for (let k = 0; k < copied.length; k++) {
        if (this.candidate(found, tile, k) < this.config.vocab) most = Math.max(most, found.shift[k]);
      }
      if (most === -Infinity) return 1;
      for (let k = 0; k < copied.length; k++) {
        if (this.candidate(found, tile, k) >= this.config.vocab) continue;
        total += copied[k] = Math.exp(found.shift[k] - most);
      }
      for (let k = 0; k < copied.length; k++) copied[k] *= own.sigmoid(gate) / total;
      return own.sigmoid(-gate);
    }

    drawn(x) {
      const total = own.begin(this.config.vocab + 1, this.part("decoder.tile_logits.bias"));
      return own.addDense(total, this.part("decoder.tile_logits.kernel"), x);
    }

    likeliest(found, x, tile, copied, drawn) {
      const shares = new Map();
      for (let k = 0; k < copied.length; k++) {
        if (!copied[k]) continue;
        const value = this.candidate(found, tile, k);
        shares.set(value, (shares.get(value) || 0) + copied[k]);
      }
      let best = -1, first = 0, second = 0;
      for (const [value, share] of shares) {
        if (share > first) [best, first, second] = [value, share, first];
        else second = Math.max(second, share);
      }
      // Even all that is drawn could not make another one as likely.
      if (first > second + drawn) return best;
      const probs = own.softmax(this.drawn(x));
      best = own.largest(probs);
      first = (shares.get(best) || 0) + drawn * probs[best];
      for (const [value, share] of shares) {
        const total = share + drawn * probs[value];
        if (total > first) [best, first] = [value, total];
      }
      return best;
    }
  }

  // The dream that an exported model holds.
  own.open = async (packed) => new Dream(packed.config, await own.unpack(packed));

  // The states that an export begins with: { name, state }.
  own.readStart = ({ name, deter, stoch, tokens }) => ({
    name,
    state: { deter: Float32Array.from(deter), stoch: Int32Array.from(stoch), tokens: Int32Array.from(tokens) },
  });
})((globalThis.PokeDreamer ??= {}));
