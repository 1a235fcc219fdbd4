// What the model believes: facts beside the true ones, the map, the policy, and
// lines along the way.

import { BUTTONS } from "./held.js";
import { line } from "./numbers.js";

const MOST = 120; // steps that the lines show
const ROWS = [
  ["Place", (f) => f.running === false ? "title screen" : place(f.place)],
  ["Looks", (f) => (f.place ? f.place.facing : "")],
  ["HP", (f) => outOf(f.hp, f.max_hp)],
  ["Level", (f) => f.level],
  ["Badges", (f) => f.badges],
  ["Party", (f) => f.party],
  ["Species", (f) => f.owned],
  ["Battle", (f) => f.battle || "none"],
  ["Enemy", (f) => enemy(f.enemy)],
];

function place(at) {
  return at ? `${at.name} ${at.x}, ${at.y}` : "";
}

function outOf(value, most) {
  if (value === undefined) return "";
  return most === undefined ? `${value}` : `${value} of ${most}`;
}

function enemy(who) {
  if (!who) return "";
  const name = who.name || "";
  const level = who.level === undefined ? "" : ` level ${who.level},`;
  return `${name}${level} ${outOf(who.hp, who.max_hp)}`.trim();
}

function made(name, text = "", className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

export function showFacts(body, beliefs) {
  const { dream = {}, real = null } = beliefs;
  body.replaceChildren();
  for (const [label, read] of ROWS) {
    const believed = read(dream);
    const truth = real ? read(real) : "";
    if (believed === undefined && truth === undefined) continue;
    const row = made("tr");
    const head = made("th", label);
    head.scope = "row";
    row.append(head, made("td", `${believed ?? ""}`), made("td", `${truth ?? ""}`));
    if (real && `${believed}` !== `${truth}`) row.className = "other";
    body.append(row);
  }
}

export function showOdds(box, beliefs) {
  box.replaceChildren();
  if (!beliefs.odds) return;
  const best = beliefs.odds.indexOf(Math.max(...beliefs.odds));
  beliefs.odds.forEach((share, i) => {
    const column = made("div", BUTTONS[i], i === best ? "best" : "");
    const bar = made("i");
    bar.style.height = `${Math.max(1, Math.round(32 * share))}px`;
    column.append(bar);
    column.title = `${Math.round(100 * share)} %`;
    box.append(column);
  });
  const words = beliefs.odds.map((share, i) => `${BUTTONS[i]} ${Math.round(100 * share)} %`);
  box.setAttribute("aria-label", `The policy would press: ${words.join(", ")}`);
}

export class Atlas {
  constructor(canvas) {
    this.canvas = canvas;
    this.maps = new Map();
    this.images = new Map();
  }

  know(maps) {
    this.maps = new Map(maps.map((map) => [map.id, map]));
    this.images.clear();
    this.canvas.parentElement.hidden = !maps.length;
  }

  show(beliefs) {
    const at = beliefs.dream && beliefs.dream.place;
    const map = at && this.maps.get(at.map);
    if (!map) {
      this.canvas.width = this.canvas.height = 1;
      return;
    }
    let image = this.images.get(map.id);
    if (!image) {
      image = new Image();
      image.onload = () => this.show(this.last);
      image.src = `/map/${map.id}.png`;
      this.images.set(map.id, image);
    }
    this.last = beliefs;
    this.canvas.width = map.columns * 16;
    this.canvas.height = map.rows * 16;
    const context = this.canvas.getContext("2d");
    if (image.complete && image.naturalWidth) context.drawImage(image, 0, 0);
    const real = beliefs.real && beliefs.real.place;
    if (real && real.map === map.id && beliefs.real.running !== false) {
      this.mark(context, map, real, "#c0500f", 7);
    }
    this.mark(context, map, at, "#1f8f86", 4);
    this.canvas.setAttribute("aria-label",
      `The map ${at.name} as the model remembers it; the dream is at column ${at.x}, row ${at.y}`);
  }

  mark(context, map, at, colour, width) {
    const x = (at.x - map.left) * 16;
    const y = (at.y - map.top) * 16;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x - 4, y - 4, 24, 24);
  }
}

export class Way {
  constructor(canvas, words) {
    this.canvas = canvas;
    this.words = words;
    this.rows = [];
  }

  add(step) {
    const before = this.rows[this.rows.length - 1];
    if (before && before.moment === step.moment) this.rows.pop();
    else if (before && step.before !== before.moment) this.rows = [];
    const { beliefs } = step;
    const surprise = beliefs.surprise;
    this.rows.push({
      moment: step.moment,
      value: beliefs.value,
      reward: step.action === null ? 0 : beliefs.reward,
      surprise: surprise ? surprise.picture + surprise.facts : null,
    });
    if (this.rows.length > MOST) this.rows.shift();
    this.tell(beliefs);
  }

  tell(beliefs) {
    const words = [];
    if (beliefs.value !== undefined) words.push(`value ${beliefs.value.toFixed(2)}`);
    words.push(`reward ${beliefs.reward.toFixed(2)}`);
    if (beliefs.surprise) {
      const { picture, facts } = beliefs.surprise;
      words.push(`surprise ${picture.toFixed(2)} of the picture, ${facts.toFixed(2)} of the facts (nats)`);
    }
    for (const [name, amount] of Object.entries(beliefs.paid || {})) {
      words.push(`${name.replace("_", " ")} ${amount}`);
    }
    this.words.textContent = words.join(" · ");
    this.canvas.setAttribute("aria-label", `Along the way: ${words.join(", ")}`);
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    if (!width) return;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const surprises = this.rows.map((row) => row.surprise || 0);
    const most = Math.max(2, ...surprises);
    context.fillStyle = colour("--warm");
    line(surprises, MOST, width - 4, 28, 0, most).forEach(([x, y]) => {
      context.fillRect(x, height - 28 + y, 3, 28 - y);
    });
    const rewards = this.rows.map((row) => row.reward);
    context.fillStyle = colour("--good");
    line(rewards, MOST, width - 4, 1, 0, 1).forEach(([x], i) => {
      if (rewards[i] > 0.05) context.fillRect(x, 0, 3, Math.min(height - 34, 6 + 12 * rewards[i]));
    });
    const values = this.rows.map((row) => row.value);
    if (!values.length || values[0] === undefined) return;
    const points = line(values, MOST, width - 4, height - 44,
      Math.min(...values) - 0.05, Math.max(...values) + 0.05);
    context.strokeStyle = colour("--accent");
    context.lineWidth = 2;
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y + 6) : context.moveTo(x, y + 6)));
    context.stroke();
  }
}
