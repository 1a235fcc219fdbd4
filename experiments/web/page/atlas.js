// The map memory: cells, windows, and the screen that it shows (as
// world_model/atlas.py, atlas_texts.py and atlas_view.py). No page, no clock.
(function (own) {
  "use strict";

  const ROWS = 9, COLUMNS = 10; // blocks of a screen
  const WIDE = COLUMNS + 2, HIGH = ROWS + 2; // of the window
  const PAGE = 8;
  const MIX = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f];
  const CHECKS = 0x99996666; // an escape

  class Atlas {
    constructor(config, arrays) {
      this.vocab = config.vocab;
      this.pages = arrays["atlas.pages"];
      this.tiles = arrays["atlas.tiles"].values;
      this.looks = arrays["atlas.looks"];
      this.boxes = arrays["atlas.boxes"];
      this.boxOf = new Map();
      if (this.boxes) arrays["atlas.texts"].values.forEach((key, at) => this.boxOf.set(key, at));
      const words = arrays["tiles.words"].values;
      this.words = new Uint32Array(words.length + 4).fill(CHECKS);
      this.words.set(words);
      // Hash -> the first tile that has it: of equal hashes that one alone is
      // ever found.
      this.byHash = new Map();
      for (let tile = this.vocab - 1; tile >= 0; tile--) {
        this.byHash.set(hash(...this.words.subarray(4 * tile, 4 * tile + 4)), tile);
      }
    }

    // The number of a cell; 0 where none is known.
    cell(map, y, x) {
      const [maps, high, wide] = this.pages.shape;
      const row = y + PAGE, column = x + PAGE;
      if (map < 0 || map >= maps || row < 0 || column < 0) return 0;
      if (row >= high * PAGE || column >= wide * PAGE) return 0;
      const page = this.pages.values[(map * high + (row >> 3)) * wide + (column >> 3)];
      return page ? page * PAGE * PAGE + (row & 7) * PAGE + (column & 7) : 0;
    }

    // Cells in sight of a place and a ring around, and their tiles as they look.
    window(map, y, x, phase) {
      const cells = new Int32Array(HIGH * WIDE);
      const tiles = new Int32Array(4 * cells.length);
      const phases = this.looks.shape[1];
      for (let r = 0, i = 0; r < HIGH; r++) {
        for (let c = 0; c < WIDE; c++, i++) {
          cells[i] = this.cell(map, y + r - 5, x + c - 5);
          for (let k = 0; k < 4; k++) {
            tiles[4 * i + k] = this.looks.values[this.tiles[4 * cells[i] + k] * phases + phase];
          }
        }
      }
      return { cells, tiles };
    }

    // The screen [360], in block order, that stands down and right by pixels
    // and is darker by some shades.
    screen(tiles, down, right, darker) {
      const found = new Int32Array(360);
      if (!down && !right && !darker) {
        for (let r = 0, i = 0; r < ROWS; r++) {
          for (let c = 0; c < COLUMNS; c++) {
            for (let k = 0; k < 4; k++) found[i++] = tiles[4 * ((r + 1) * WIDE + c + 1) + k];
          }
        }
        return found;
      }
      const grid = asGrid(tiles);
      for (let r = 0; r < 2 * ROWS; r++) {
        for (let c = 0; c < 2 * COLUMNS; c++) {
          const block = (r >> 1) * COLUMNS + (c >> 1);
          found[4 * block + 2 * (r & 1) + (c & 1)] = this.between(grid, 16 + down + 8 * r, 16 + right + 8 * c, darker);
        }
      }
      return found;
    }

    // The screen [360] with the message box of a text alone; else escapes.
    box(key) {
      const found = new Int32Array(360).fill(this.vocab);
      const at = this.boxOf.get(key);
      if (at === undefined) return found;
      const wide = this.boxes.shape[1];
      for (let i = 0; i < wide; i++) {
        found[360 - wide + i] = Math.min(this.boxes.values[at * wide + i], this.vocab);
      }
      return found;
    }

    // The tile that begins at a pixel of the window, put together from four.
    between(grid, top, left, darker) {
      const row = top >> 3, column = left >> 3;
      const down = top & 7, right = left & 7;
      for (let r = 0; r <= (down ? 1 : 0); r++) {
        for (let c = 0; c <= (right ? 1 : 0); c++) {
          if (grid[(row + r) * 2 * WIDE + column + c] === this.vocab) return this.vocab;
        }
      }
      const words = [0, 0, 0, 0];
      for (let line = 0; line < 8; line++) {
        const at = ((top + line) >> 3) * 2 * WIDE + column;
        let bits = this.line(grid[at], (top + line) & 7) >>> (2 * right);
        if (right) bits |= this.line(grid[at + 1], (top + line) & 7) << (16 - 2 * right);
        words[line >> 1] |= (darker ? lit(bits, darker) : bits & 0xffff) << (16 * (line & 1));
      }
      return this.lookup(words);
    }

    line(tile, number) {
      return (this.words[4 * tile + (number >> 1)] >>> (16 * (number & 1))) & 0xffff;
    }

    lookup(words) {
      const tile = this.byHash.get(hash(...words));
      if (tile === undefined) return this.vocab;
      for (let i = 0; i < 4; i++) {
        if (this.words[4 * tile + i] !== words[i] >>> 0) return this.vocab;
      }
      return tile;
    }

    // Shades 0..3 of a frame [144 * 160] of tiles [360] in block order.
    shades(tiles) {
      const pixels = new Uint8Array(144 * 160);
      for (let i = 0; i < 360; i++) {
        const block = i >> 2;
        const y = 16 * Math.floor(block / COLUMNS) + 8 * ((i >> 1) & 1);
        const x = 16 * (block % COLUMNS) + 8 * (i & 1);
        this.paint(pixels, 160, y, x, tiles[i]);
      }
      return pixels;
    }

    // Puts one tile into shades of a given width.
    paint(pixels, width, y, x, tile) {
      for (let line = 0; line < 8; line++) {
        const bits = this.line(tile, line);
        const at = (y + line) * width + x;
        for (let i = 0; i < 8; i++) pixels[at + i] = (bits >> (2 * i)) & 3;
      }
    }

    // What is known of a map: shades, 4 where nothing is, and where it begins.
    map(number) {
      const [, high, wide] = this.pages.shape;
      const known = [];
      for (let y = -PAGE; y < (high - 1) * PAGE; y++) {
        for (let x = -PAGE; x < (wide - 1) * PAGE; x++) {
          const cell = this.cell(number, y, x);
          const tiles = this.tiles.subarray(4 * cell, 4 * cell + 4);
          if (cell && tiles.some((tile) => tile < this.vocab)) known.push({ y, x, tiles });
        }
      }
      if (!known.length) return null;
      const ys = known.map((one) => one.y), xs = known.map((one) => one.x);
      const [top, left] = [Math.min(...ys), Math.min(...xs)];
      const rows = Math.max(...ys) - top + 1, columns = Math.max(...xs) - left + 1;
      const shades = new Uint8Array(rows * columns * 256).fill(4);
      for (const { y, x, tiles } of known) {
        for (let k = 0; k < 4; k++) {
          if (tiles[k] === this.vocab) continue;
          this.paint(shades, 16 * columns, 16 * (y - top) + 8 * (k >> 1), 16 * (x - left) + 8 * (k & 1), tiles[k]);
        }
      }
      return { top, left, rows, columns, shades };
    }
  }

  // Cells [11, 12, 4] as tiles [22, 24].
  function asGrid(tiles) {
    const grid = new Int32Array(tiles.length);
    for (let r = 0; r < 2 * HIGH; r++) {
      for (let c = 0; c < 2 * WIDE; c++) {
        const cell = (r >> 1) * WIDE + (c >> 1);
        grid[r * 2 * WIDE + c] = tiles[4 * cell + 2 * (r & 1) + (c & 1)];
      }
    }
    return grid;
  }

  // Eight pixels of two bits, each darker by some shades within 0..3.
  function lit(bits, darker) {
    let made = 0;
    for (let i = 0; i < 16; i += 2) {
      made |= Math.min(3, Math.max(0, ((bits >>> i) & 3) + darker)) << i;
    }
    return made;
  }

  function hash(a, b, c, d) {
    const m = [Math.imul(a, MIX[0]), Math.imul(b, MIX[1]) >>> 3, Math.imul(c, MIX[2]) >>> 7, Math.imul(d, MIX[3]) >>> 11];
    return Math.imul(m[0] ^ m[1] ^ m[2] ^ m[3], MIX[0]) >>> 0;
  }

  // Pixels that a screen stands down and right: registers count modulo a cell,
  // from the cell that is left towards the next one ahead; null: the nearest.
  // They are read a frame after the picture was drawn (atlas_view.py).
  own.standing = (registers, ahead, arrives = false) => {
    const drawn = (walked) => (walked === 14 ? 14 : walked - 1);
    return registers.map((pixels, axis) => {
      if (!ahead) return pixels > 8 ? pixels - 16 : pixels;
      if (arrives) return drawn(16) * ahead[axis];
      if (pixels === 0) return 0;
      return ahead[axis] > 0 ? drawn(pixels) : -drawn(16 - pixels);
    });
  };
  own.Atlas = Atlas;
  own.SCREEN = { ROWS, COLUMNS, WIDE, HIGH };
})((globalThis.PokeDreamer ??= {}));
