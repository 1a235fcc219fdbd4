// Frames of two bits a pixel: reading, comparing, and sliding between two.
// Nothing here knows of a page.

export const WIDTH = 160;
export const HEIGHT = 144;
export const DREAM = 1;
export const REAL = 2;
export const THUMBNAIL = 3;
const HEAD = 20;
const BYTES = (WIDTH * HEIGHT) / 4;
const CELL = 16; // pixels of a step on the map
// Where the player stands on the screen: it stays while the world slides.
const PLAYER = { left: 64, top: 60, right: 80, bottom: 76 };
const GREYS = [255, 153, 85, 0];

// What a message of bytes says.
export function readFrame(buffer) {
  if (buffer.byteLength !== HEAD + BYTES) throw new Error("no frame");
  const view = new DataView(buffer);
  return {
    kind: view.getUint8(0),
    acknowledge: view.getUint32(4, true),
    moment: view.getUint32(8, true),
    answers: view.getUint32(12, true),
    serverMs: view.getFloat32(16, true),
    shades: unpack(new Uint8Array(buffer, HEAD)),
  };
}

// Shades 0 to 3, row by row; the leftmost pixel is in the low bits.
export function unpack(packed) {
  const shades = new Uint8Array(WIDTH * HEIGHT);
  for (let i = 0; i < packed.length; i++) {
    const four = packed[i];
    shades[4 * i] = four & 3;
    shades[4 * i + 1] = (four >> 2) & 3;
    shades[4 * i + 2] = (four >> 4) & 3;
    shades[4 * i + 3] = four >> 6;
  }
  return shades;
}

// How many pixels of two frames differ.
export function countDifferent(one, other) {
  let count = 0;
  for (let i = 0; i < one.length; i++) count += one[i] !== other[i];
  return count;
}

function inPlayer(x, y) {
  return (
    x >= PLAYER.left && x < PLAYER.right && y >= PLAYER.top && y < PLAYER.bottom
  );
}

// Share of pixels of `after` that are not those of `before` moved by (dx, dy),
// where both are seen; what the player covers in either does not count.
function missed(before, after, dx, dy) {
  let wrong = 0;
  let all = 0;
  for (let y = Math.max(0, -dy); y < Math.min(HEIGHT, HEIGHT - dy); y++) {
    for (let x = Math.max(0, -dx); x < Math.min(WIDTH, WIDTH - dx); x++) {
      if (inPlayer(x, y) || inPlayer(x + dx, y + dy)) continue;
      all++;
      wrong += after[y * WIDTH + x] !== before[(y + dy) * WIDTH + x + dx];
    }
  }
  return wrong / all;
}

// By which step only the place moved between two frames; null where that is
// not all that happened.
export function slideOf(before, after) {
  if (countDifferent(before, after) === 0) return null;
  const still = missed(before, after, 0, 0);
  let best = null;
  let least = Math.min(0.03, still);
  for (const [dx, dy] of [[CELL, 0], [-CELL, 0], [0, CELL], [0, -CELL]]) {
    const share = missed(before, after, dx, dy);
    if (share < least) {
      best = { dx, dy };
      least = share;
    }
  }
  return best;
}

// A picture between two frames; `part` goes from 0, before, to 1, after.
export function slideFrame(before, after, slide, part) {
  const moved = Math.round(CELL * Math.min(1, Math.max(0, part)));
  if (moved === CELL) return after;
  const ox = Math.sign(slide.dx) * moved;
  const oy = Math.sign(slide.dy) * moved;
  const shades = new Uint8Array(WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const at = y * WIDTH + x;
      if (inPlayer(x, y)) {
        shades[at] = after[at];
        continue;
      }
      const bx = x + ox;
      const by = y + oy;
      const inside = bx >= 0 && bx < WIDTH && by >= 0 && by < HEIGHT;
      const ax = bx - slide.dx;
      const ay = by - slide.dy;
      const later = ax >= 0 && ax < WIDTH && ay >= 0 && ay < HEIGHT;
      // Where the player stood the later frame shows the ground.
      shades[at] = inside && !(later && inPlayer(bx, by))
        ? before[by * WIDTH + bx]
        : after[ay * WIDTH + ax];
    }
  }
  return shades;
}

// Writes a frame as RGBA; with `other`, pixels that differ from it are lit.
export function paint(rgba, shades, other = null) {
  for (let i = 0; i < shades.length; i++) {
    const grey = GREYS[shades[i]];
    if (other !== null && shades[i] !== other[i]) {
      rgba[4 * i] = 150 + (grey * 105) / 255;
      rgba[4 * i + 1] = 40 + (grey * 90) / 255;
      rgba[4 * i + 2] = 0;
    } else {
      rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = grey;
    }
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

// The largest size, in pixels of the page, that shows a pixel of the game as a
// whole number of pixels of the screen.
export function wholeSize(width, height, ratio) {
  const most = Math.min((width * ratio) / WIDTH, (height * ratio) / HEIGHT);
  const times = Math.max(1, Math.floor(most));
  return { width: (WIDTH * times) / ratio, height: (HEIGHT * times) / ratio };
}
