// Which button is held: of keys, fingers and pads the latest that is still down.

export const BUTTONS = ["down", "left", "right", "up", "a", "b", "start", "wait"];
export const NONE = -1;
const KEYS = {
  ArrowDown: 0, ArrowLeft: 1, ArrowRight: 2, ArrowUp: 3,
  KeyS: 0, KeyA: 1, KeyD: 2, KeyW: 3,
  KeyX: 4, KeyK: 4, KeyZ: 5, KeyJ: 5, Enter: 6, Space: 7,
};
// Buttons of a pad in the standard layout: A, B, start, the cross.
const PAD = { 0: 4, 1: 5, 9: 6, 12: 3, 13: 0, 14: 1, 15: 2 };
const TILT = 0.5;

export class Held {
  constructor() {
    this.down = new Map(); // who holds it -> button, the latest last
  }

  // Each returns whether something else is held than before.
  press(who, button) {
    const before = this.current;
    this.down.delete(who);
    this.down.set(who, button);
    return this.current !== before;
  }

  release(who) {
    const before = this.current;
    this.down.delete(who);
    return this.current !== before;
  }

  releaseAll() {
    const before = this.current;
    this.down.clear();
    return this.current !== before;
  }

  get current() {
    let last = NONE;
    for (const button of this.down.values()) last = button;
    return last;
  }
}

export function buttonOfKey(code) {
  return Object.hasOwn(KEYS, code) ? KEYS[code] : NONE;
}

// The button that a pad holds: the first of its buttons, else its stick.
export function buttonOfPad(pad) {
  for (const [index, button] of Object.entries(PAD)) {
    if (pad.buttons[index] && pad.buttons[index].pressed) return button;
  }
  const [x = 0, y = 0] = pad.axes;
  if (Math.max(Math.abs(x), Math.abs(y)) < TILT) return NONE;
  if (Math.abs(x) > Math.abs(y)) return x < 0 ? 1 : 2;
  return y < 0 ? 3 : 0;
}
