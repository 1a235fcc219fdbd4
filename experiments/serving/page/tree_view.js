// The tree of moments on the page: a button for each knot, lines between them.

import * as frames from "./frames.js";
import { grow, layout, wayTo } from "./tree.js";

const WIDTH = 108;
const HEIGHT = 122;
const SVG = "http://www.w3.org/2000/svg";

export class TreeView {
  constructor(box, go) {
    this.box = box;
    this.go = go;
    this.tree = { knots: [], here: null };
    this.pictures = new Map();
  }

  picture(frame) {
    this.pictures.set(frame.moment, frame.shades);
  }

  set(message) {
    this.tree = { knots: message.knots, here: message.here };
    this.draw();
  }

  step(step, shades) {
    this.tree = grow(this.tree, step);
    if (shades) this.pictures.set(step.moment, shades);
    const kept = new Set(this.tree.knots.map((knot) => knot.moment));
    for (const moment of this.pictures.keys()) {
      if (!kept.has(moment)) this.pictures.delete(moment);
    }
    this.draw();
  }

  get here() {
    return this.tree.knots.find((knot) => knot.moment === this.tree.here);
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.paint();
    });
  }

  paint() {
    const { knots, here } = this.tree;
    const { places, columns, lanes } = layout(knots);
    const way = wayTo(knots, here);
    const focused = document.activeElement && document.activeElement.dataset.moment;
    const lines = document.createElementNS(SVG, "svg");
    lines.setAttribute("width", columns * WIDTH);
    lines.setAttribute("height", lanes * HEIGHT);
    lines.setAttribute("aria-hidden", "true");
    const nodes = [lines];
    for (const knot of knots) {
      const place = places.get(knot.moment);
      if (!place) continue;
      const before = places.get(knot.before);
      if (before) lines.append(this.line(before, place, way.has(knot.moment)));
      nodes.push(this.knot(knot, place, knot.moment === here));
    }
    this.box.replaceChildren(...nodes);
    this.box.style.height = `${Math.min(380, lanes * HEIGHT + 8)}px`;
    const again = focused && this.box.querySelector(`[data-moment="${focused}"]`);
    if (again) again.focus();
    const mark = this.box.querySelector(".here");
    if (mark) this.box.scrollLeft = Math.max(0, mark.offsetLeft - this.box.clientWidth + 2 * WIDTH);
  }

  line(from, to, onWay) {
    const path = document.createElementNS(SVG, "path");
    const [x, y] = [from.column * WIDTH + 92, from.lane * HEIGHT + 40];
    const [u, v] = [to.column * WIDTH, to.lane * HEIGHT + 40];
    path.setAttribute("d", `M${x} ${y} C${x + 12} ${y} ${u - 12} ${v} ${u} ${v}`);
    if (onWay) path.setAttribute("class", "way");
    return path;
  }

  knot(knot, place, isHere) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = isHere ? "knot here" : "knot";
    button.dataset.moment = knot.moment;
    if (isHere) button.setAttribute("aria-current", "true");
    button.style.left = `${place.column * WIDTH}px`;
    button.style.top = `${place.lane * HEIGHT}px`;
    const name = knot.name || (knot.follows ? "resynced" : "");
    const canvas = document.createElement("canvas");
    canvas.width = frames.WIDTH;
    canvas.height = frames.HEIGHT;
    const shades = this.pictures.get(knot.moment);
    if (shades) {
      const context = canvas.getContext("2d");
      const image = context.createImageData(frames.WIDTH, frames.HEIGHT);
      frames.paint(image.data, shades);
      context.putImageData(image, 0, 0);
    }
    const label = document.createElement("span");
    label.textContent = name || `step ${knot.steps}`;
    const more = document.createElement("span");
    more.className = "quiet";
    more.textContent = name ? `step ${knot.steps}` : `luck ${knot.luck % 10000}`;
    button.setAttribute("aria-label",
      `${isHere ? "Here: " : ""}${name} step ${knot.steps}, luck ${knot.luck}`);
    button.append(canvas, label, more);
    button.onclick = () => this.go(knot.moment);
    return button;
  }
}
