// Two clips at a time, and which of them is said to be dreamt.

import { HEIGHT, WIDTH, paint, unpack, wholeSize } from "./frames.js";

const $ = (id) => document.getElementById(id);
const STEP_MS = 402;
const BYTES = (WIDTH * HEIGHT) / 4;
const AGAIN_MS = 1500;
const SIDES = ["left", "right"];

let key = "";
let asked = null; // number, of, steps, buttons
let clips = null; // of each side its frames
let shownMs = 0; // when the question was first seen
let beganMs = 0; // when the clips began
let drawn = -1;
let busy = false;

function status(words, good = false) {
  $("status").textContent = words;
  $("status").className = good ? "pill good" : "pill warm";
}

async function post(path, value) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(value) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function begin() {
  try {
    const told = await post("/sitting", {});
    if (told.loading) {
      status("clips are being made");
      setTimeout(begin, AGAIN_MS);
      return;
    }
    key = told.key;
    await take(told);
  } catch (error) {
    status("no connection; trying again");
    setTimeout(begin, AGAIN_MS);
  }
}

async function take(told) {
  asked = told;
  clips = null;
  const over = Object.hasOwn(told, "result");
  $("ask").hidden = over;
  $("end").hidden = !over;
  if (over) {
    status("answered", true);
    showResult(told.result);
    return;
  }
  status(`${told.number + 1} of ${told.of}`, true);
  const answer = await fetch("/clips", { headers: { "X-Sitting": key } });
  if (!answer.ok) throw new Error(await answer.text());
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const count = told.steps + 1;
  if (bytes.length !== 2 * count * BYTES) throw new Error("no clips");
  clips = SIDES.map((_, side) => Array.from({ length: count }, (_, i) => {
    const start = (side * count + i) * BYTES;
    return unpack(bytes.subarray(start, start + BYTES));
  }));
  shownMs = performance.now();
  $("told").textContent = `Question ${told.number + 1} of ${told.of}, ${told.steps} steps.`;
  fit();
  play();
}

function play() {
  beganMs = performance.now();
  drawn = -1;
}

function draw() {
  requestAnimationFrame(draw);
  if (!clips) return;
  const pace = STEP_MS / Number($("speed").value);
  const step = Math.min(asked.steps, Math.floor((performance.now() - beganMs) / pace));
  if (step === drawn) return;
  drawn = step;
  SIDES.forEach((side, i) => {
    const context = $(side).getContext("2d");
    const image = context.createImageData(WIDTH, HEIGHT);
    paint(image.data, clips[i][step]);
    context.putImageData(image, 0, 0);
  });
  $("pressed").textContent = step === 0
    ? "start" : `step ${step} of ${asked.steps}: ${asked.buttons[step - 1]}`;
}

async function say(said) {
  if (!clips || busy) return;
  busy = true;
  const seconds = (performance.now() - shownMs) / 1000;
  try {
    await take(await post("/answer", { key, number: asked.number, said, seconds }));
  } catch (error) {
    status(`not taken: ${error.message.trim().slice(0, 80)}`);
    key = "";
    setTimeout(begin, AGAIN_MS); // the server was started anew
  } finally {
    busy = false;
  }
}

function showResult(result) {
  const rows = [];
  const names = { dream: "dream beside the game", real: "the game beside itself" };
  for (const [kind, words] of Object.entries(names)) {
    for (const [length, share] of Object.entries(result[kind] || {})) {
      rows.push([words, length, share]);
    }
  }
  if (result.said_left) rows.push(["said left", "all", result.said_left]);
  $("result").replaceChildren(...rows.map(([words, length, share]) => {
    const row = document.createElement("tr");
    const cells = [words, length, share.value.toFixed(2),
      `${share.low.toFixed(2)} to ${share.high.toFixed(2)}`, `${share.n}`];
    row.replaceChildren(...cells.map((text, i) => {
      const cell = document.createElement(i === 0 ? "th" : "td");
      if (i === 0) cell.scope = "row";
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

function fit() {
  for (const side of SIDES) {
    const width = $(side).parentElement.clientWidth;
    if (!width) continue;
    const size = wholeSize(width, Math.max(144, innerHeight - 300), devicePixelRatio || 1);
    $(side).style.width = `${size.width}px`;
    $(side).style.height = `${size.height}px`;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof Element && event.target.closest("select")) return;
  if (event.code === "ArrowLeft") say("left");
  else if (event.code === "ArrowRight") say("right");
  else if (event.code === "Space" && !event.target.closest?.("button")) play();
  else return;
  event.preventDefault();
});
for (const side of SIDES) $(`say-${side}`).addEventListener("click", () => say(side));
$("again").addEventListener("click", play);
$("anew").addEventListener("click", begin);
$("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});
addEventListener("resize", fit);
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
setTheme(localStorage.getItem("theme") || (dark ? "dark" : "light"));
draw();
begin();
