// The page's functions that know of no page; run by page_functions_test.py.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, example] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`));
const frames = await load("frames");
const { Held, NONE, buttonOfKey, buttonOfPad } = await load("held");
const { grow, layout, wayTo } = await load("tree");
const { Recent, line } = await load("numbers");

// A frame that the server packed, and what it shows.
const { shades, ...head } = frames.readFrame(
  new Uint8Array(readFileSync(`${example}.frame`)).buffer);
assert.deepEqual(head, { kind: 1, acknowledge: 8, moment: 7, answers: 9, serverMs: 1.5 });
assert.deepEqual(shades, new Uint8Array(readFileSync(`${example}.shades`)));
assert.throws(() => frames.readFrame(new ArrayBuffer(12)));

// A world of noise in which the player walks: the screen slides.
const world = Uint8Array.from({ length: 300 * 300 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 15) & 3);
const view = (left, top, player) => {
  const seen = new Uint8Array(160 * 144);
  for (let y = 0; y < 144; y++) {
    for (let x = 0; x < 160; x++) {
      const inside = x >= 64 && x < 80 && y >= 60 && y < 76;
      seen[y * 160 + x] = inside ? player : world[(top + y) * 300 + left + x];
    }
  }
  return seen;
};
const before = view(50, 60, 1);
for (const [dx, dy] of [[16, 0], [-16, 0], [0, 16], [0, -16]]) {
  const after = view(50 + dx, 60 + dy, 2);
  const slide = frames.slideOf(before, after);
  assert.deepEqual(slide, { dx, dy });
  for (let moved = 0; moved <= 16; moved++) {
    const between = frames.slideFrame(before, after, slide, moved / 16);
    const truth = view(50 + (dx * moved) / 16, 60 + (dy * moved) / 16, 2);
    assert.ok(frames.countDifferent(between, truth) <= 16 * 16, `${dx} ${dy} ${moved}`);
  }
  assert.equal(frames.slideFrame(before, after, slide, 1), after);
}
assert.equal(frames.slideOf(before, before), null);
assert.equal(frames.slideOf(before, view(58, 60, 1)), null); // half a cell
assert.equal(frames.slideOf(before, new Uint8Array(160 * 144)), null);
const blank = new Uint8Array(160 * 144).fill(3);
assert.equal(frames.slideOf(new Uint8Array(160 * 144), blank), null);

// Differences are lit, and nothing else is coloured.
const one = new Uint8Array(160 * 144);
const other = one.slice();
other[5] = 2;
assert.equal(frames.countDifferent(one, other), 1);
const rgba = frames.paint(new Uint8ClampedArray(4 * one.length), other, one);
assert.deepEqual([...rgba.slice(0, 4)], [255, 255, 255, 255]);
assert.ok(rgba[20] > rgba[22] + 100);

// Whole pixels, on screens of any density.
for (const ratio of [1, 1.25, 1.5, 2, 3]) {
  for (const width of [160, 328, 700, 2560]) {
    const size = frames.wholeSize(width, 2000, ratio);
    const times = (size.width * ratio) / 160;
    assert.ok(Math.abs(times - Math.round(times)) < 1e-9 && times >= 1);
    assert.ok(size.width <= width || times === 1);
    assert.ok(Math.abs((size.height * ratio) / 144 - times) < 1e-9);
  }
}

// The latest button that is down is held.
const held = new Held();
assert.equal(held.current, NONE);
assert.ok(held.press("KeyA", 1));
assert.ok(held.press("finger1", 3));
assert.ok(!held.release("KeyA"));
assert.equal(held.current, 3);
assert.ok(held.press("pad0", 4) && held.release("pad0"));
assert.ok(held.releaseAll() && held.current === NONE);
assert.equal(buttonOfKey("ArrowUp"), 3);
assert.equal(buttonOfKey("toString"), NONE);
const pad = { buttons: Array.from({ length: 16 }, () => ({ pressed: false })), axes: [0, 0] };
assert.equal(buttonOfPad(pad), NONE);
pad.axes = [-0.2, 0.9];
assert.equal(buttonOfPad(pad), 0);
pad.buttons[14].pressed = true;
assert.equal(buttonOfPad(pad), 1);

// The tree: an end moves along, what is worth keeping stays.
const knot = (moment, before, more = {}) => ({
  moment, before, steps: moment, name: "", follows: false, luck: 0, agreed: 0, ...more,
});
let tree = { knots: [knot(0, null)], here: 0 };
tree = grow(tree, { moment: 1, steps: 1, luck: 0, agreed: 1 });
tree = grow(tree, { moment: 2, steps: 2, luck: 0, agreed: 2 });
assert.deepEqual(tree.knots.map((k) => [k.moment, k.before]), [[0, null], [2, 0]]);
tree.knots[1].name = "kept";
tree = grow(tree, { moment: 3, steps: 3, luck: 0, agreed: 3 });
assert.deepEqual(tree.knots.map((k) => [k.moment, k.before]), [[0, null], [2, 0], [3, 2]]);
assert.deepEqual(grow(tree, { moment: 2 }).here, 2);
const knots = [knot(0, null), knot(1, 0), knot(2, 1), knot(3, 1), knot(4, 0), knot(5, 3)];
const { places, columns, lanes } = layout(knots);
assert.deepEqual([columns, lanes], [4, 3]);
const taken = new Set([...places.values()].map((p) => `${p.column},${p.lane}`));
assert.equal(taken.size, knots.length);
assert.deepEqual([...wayTo(knots, 5)].sort(), [0, 1, 3, 5]);
assert.equal(wayTo([knot(1, 1)], 1).size, 1); // not for ever

const recent = new Recent(100);
assert.equal(recent.quantile(0.5), null);
for (let i = 1; i <= 300; i++) recent.add(i);
assert.deepEqual([recent.quantile(0.5), recent.quantile(0.99)], [251, 300]);
assert.deepEqual(line([0, 1], 2, 10, 4, 0, 1), [[0, 4], [10, 0]]);
console.log("ok");
