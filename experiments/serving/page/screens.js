// The two screens: the dream, which slides, and the real game with what differs.

import * as frames from "./frames.js";

const SLIDE_MS = 200; // half a step of real time
const calm = matchMedia("(prefers-reduced-motion: reduce)");

class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.image = this.context.createImageData(frames.WIDTH, frames.HEIGHT);
  }

  draw(shades, other = null) {
    frames.paint(this.image.data, shades, other);
    this.context.putImageData(this.image, 0, 0);
  }

  fit(width, height) {
    const size = frames.wholeSize(width, height, devicePixelRatio || 1);
    this.canvas.style.width = `${size.width}px`;
    this.canvas.style.height = `${size.height}px`;
  }
}

export class Screens {
  // `drawn(frame)` is called once a dream's frame is on the screen.
  constructor(dream, real, drawn) {
    this.dream = new Screen(dream);
    this.real = new Screen(real);
    this.drawn = drawn;
    this.lights = true;
    this.now = null; // frame of the dream that is drawn
    this.latest = null; // the last one that came
    this.seen = null; // frame of the real game
    this.slide = null;
    this.waiting = [];
    this.asked = false;
  }

  showDream(frame) {
    this.latest = frame;
    this.waiting.push(frame);
    this.ask();
  }

  showReal(frame) {
    this.seen = frame;
    this.ask();
  }

  forgetReal() {
    this.seen = null;
    this.ask();
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame((time) => this.paint(time));
  }

  paint(time) {
    this.asked = false;
    const drawn = this.waiting;
    this.waiting = [];
    for (const frame of drawn) {
      const before = this.now;
      this.now = frame;
      const moved = before && !calm.matches && drawn.length === 1
        ? frames.slideOf(before.shades, frame.shades) : null;
      // It has begun to move when it is first drawn: the key shows at once.
      this.slide = moved && { moved, from: before.shades, start: time - 16 };
    }
    if (this.now) this.paintDream(time);
    this.paintReal();
    for (const frame of drawn) this.drawn(frame);
  }

  paintDream(time) {
    if (!this.slide) {
      this.dream.draw(this.now.shades);
      return;
    }
    const part = (time - this.slide.start) / SLIDE_MS;
    const { from, moved } = this.slide;
    this.dream.draw(frames.slideFrame(from, this.now.shades, moved, part));
    if (part >= 1) this.slide = null;
    else this.ask();
  }

  paintReal() {
    const same = this.seen && this.now && this.seen.moment === this.now.moment;
    if (!this.seen) {
      this.real.draw(new Uint8Array(frames.WIDTH * frames.HEIGHT));
    } else {
      const other = this.lights && same ? this.now.shades : null;
      this.real.draw(this.seen.shades, other);
    }
  }

  // Pixels that differ now; null where the two are not of one moment.
  different() {
    if (!this.seen || !this.now || this.seen.moment !== this.now.moment) return null;
    return frames.countDifferent(this.seen.shades, this.now.shades);
  }
}
