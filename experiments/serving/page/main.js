// Puts the page together: what is pressed goes out, what comes is shown.

import { Connection } from "./connection.js";
import * as frames from "./frames.js";
import { Held, NONE, buttonOfKey, buttonOfPad } from "./held.js";
import { Recent } from "./numbers.js";
import { Atlas, Way, showFacts, showOdds } from "./panels.js";
import { Records } from "./records.js";
import { Screens } from "./screens.js";
import { TreeView } from "./tree_view.js";

const $ = (id) => document.getElementById(id);
const LINK_EVERY = 25; // steps after which the page asks how to play them again

const held = new Held();
const times = new Recent(200);
const serverTimes = new Recent(200);
const asked = new Map(); // number of the buttons -> when they were pressed
let count = 0;
let state = { who: "person" };
let step = null;
let sinceLink = 0;
let wanted = ""; // what a link is asked for: "link", "log", or "" to keep it
let link = new URLSearchParams(location.hash.slice(1)).get("play");

const screens = new Screens($("dream"), $("real"), drawn);
const tree = new TreeView($("tree"), (moment) => say({ t: "go", moment }));
const atlas = new Atlas($("map"));
const records = new Records($("records"), (episode, row) => {
  note("The episode is played again up to here.", false);
  say({ t: "record", episode, row, goes_on: $("goes-on").checked });
});
const way = new Way($("way"), $("way-text"));
const connection = new Connection({ text: hear, frame: hearFrame, status });

function say(message) {
  connection.say(message);
}

// What comes.

function status(word, text = "") {
  const plays = word === "playing";
  $("status").textContent = word;
  $("status").className = plays ? "pill good" : "pill warm";
  if (!plays) {
    $("veil").hidden = false;
    $("veil").textContent = text;
    held.releaseAll();
    asked.clear();
  }
}

function note(text, bad) {
  $("note").textContent = text;
  $("note").hidden = !text;
  clearTimeout(note.timer);
  if (text) note.timer = setTimeout(() => note("", false), bad ? 12000 : 6000);
}

const hears = {
  loading: () => status("loading", "The model is being loaded."),
  full: (message) => status("full", message.text),
  note: (message) => note(message.text, message.error),
  welcome,
  state: showState,
  step: showStep,
  tree: (message) => tree.set(message),
  link: showLink,
};

function hear(message) {
  if (Object.hasOwn(hears, message.t)) hears[message.t](message);
}

function hearFrame(buffer) {
  const frame = frames.readFrame(buffer);
  if (frame.kind === frames.DREAM) screens.showDream(frame);
  else if (frame.kind === frames.REAL) screens.showReal(frame);
  else {
    tree.picture(frame);
    tree.draw();
  }
}

function welcome(message) {
  const had = sessionStorage.getItem("session");
  const kept = sessionStorage.getItem("link");
  sessionStorage.setItem("session", message.session);
  count = 0;
  held.releaseAll();
  asked.clear();
  status("playing");
  $("veil").hidden = true;
  $("model").textContent = `${message.game}, model ${message.model}`;
  const options = $("who").options;
  options[1].disabled = !message.policy;
  options[2].disabled = !message.demonstrator;
  fill($("goal"), [["-1", "none"], ...message.goals.map((words, i) => [`${i}`, words])]);
  $("goal-label").hidden = !message.goals.length;
  fill($("start"), [["", "power-on"], ...message.starts.map((name) => [name, name])]);
  atlas.know(message.maps);
  records.know(message.records);
  if (link) {
    say({ t: "play", link });
    link = null;
    history.replaceState(null, "", location.pathname);
  } else if (had && had !== message.session && kept) {
    say({ t: "play", link: kept }); // the server was started anew
  }
}

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === before)) select.value = before;
}

function showState(message) {
  state = message;
  $("who").value = message.who === "log" ? "person" : message.who;
  $("goal").value = `${message.goal}`;
  $("speed").value = `${message.speed}`;
  $("likely").checked = message.likely;
  $("beside").checked = message.beside;
  $("luck").title = `luck ${message.luck} (L)`;
  $("mine").disabled = message.who === "person";
  $("status").textContent = message.who === "log" ? "played again" : "playing";
  if (document.activeElement !== $("seed")) $("seed").value = message.seed;
  $("start").value = message.start;
  if (!message.beside) screens.forgetReal();
}

function showStep(message) {
  const moved = !step || step.moment !== message.moment;
  step = message;
  showFacts($("facts"), message.beliefs);
  showOdds($("odds"), message.beliefs);
  atlas.show(message.beliefs);
  way.add(message);
  way.draw();
  if (!message.seen) screens.forgetReal();
  showAgreement(message);
  if (moved) {
    const { latest } = screens;
    const shown = latest && latest.moment === message.moment;
    tree.step(message, shown ? latest.shades : null);
    if (++sinceLink >= LINK_EVERY) askLink("");
  }
}

function showAgreement(message) {
  const pill = $("agree");
  const different = screens.different();
  if (!message.seen) {
    pill.textContent = "not beside";
    pill.className = "pill";
    $("differs").textContent = "\u00a0";
    return;
  }
  pill.textContent = `${message.agreed} ${message.agreed === 1 ? "step" : "steps"} in agreement`;
  const equal = different === null ? message.agreed > 0 || message.steps === 0 : different === 0;
  pill.className = equal ? "pill good" : "pill warm";
  $("differs").textContent = equal ? "Every pixel agrees." : `${different ?? "Some"} pixels differ.`;
  if (held.current === NONE) tellReader(message, equal);
}

function tellReader(message, equal) {
  clearTimeout(tellReader.timer);
  tellReader.timer = setTimeout(() => {
    const place = message.beliefs.dream.place;
    const where = place ? `, ${place.name} column ${place.x} row ${place.y}` : "";
    $("told").textContent = `Step ${message.steps}${where}. ${equal ? "Agrees" : "Differs"}.`;
  }, 600);
}

function drawn(frame) {
  if (frame.acknowledge) say({ t: "ack", n: frame.acknowledge });
  const start = asked.get(frame.answers);
  if (start !== undefined) {
    asked.delete(frame.answers);
    times.add(performance.now() - start);
    serverTimes.add(frame.serverMs);
    const ms = (value) => (value === null ? "" : value.toFixed(1));
    $("pace").textContent = `Key to pixel: p50 ${ms(times.quantile(0.5))} ms, `
      + `p99 ${ms(times.quantile(0.99))} ms; of it the server `
      + `${ms(serverTimes.quantile(0.5))} and ${ms(serverTimes.quantile(0.99))} ms `
      + `(${times.values.length} presses)`;
  }
  if (step) showAgreement(step);
}

// What goes out.

// `when` is the time of the event: what waited for the page counts as well.
function tellHeld(when = performance.now()) {
  if (!connection.ready) return;
  count++;
  if (held.current !== NONE) {
    asked.set(count, when);
    if (asked.size > 50) asked.delete(asked.keys().next().value);
  }
  say({ t: "keys", n: count, held: held.current });
}

// Whether a key plays, or is for what has the focus: a button has use for two
// keys alone, a field for all.
function playsKeys(event) {
  const { target, code } = event;
  if (!(target instanceof Element) || target === $("dream")) return true;
  if (target.closest("select, textarea, input:not([type=checkbox])")) return false;
  const pressed = target.closest("button, summary, input");
  return !pressed || (code !== "Enter" && code !== "Space");
}

const shortcuts = {
  Backspace: () => say({ t: "rewind", steps: 1 }),
  KeyF: () => save(""),
  KeyL: () => say({ t: "luck" }),
  KeyG: () => say({ t: "sync", side: "dream" }),
  KeyP: () => who(state.who === "person" ? "policy" : "person"),
};

addEventListener("keydown", (event) => {
  if (!playsKeys(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = buttonOfKey(event.code);
  if (button !== NONE) {
    event.preventDefault();
    if (!event.repeat && held.press(event.code, button)) tellHeld(event.timeStamp);
  } else if (Object.hasOwn(shortcuts, event.code)) {
    event.preventDefault();
    if (!event.repeat || event.code === "Backspace") shortcuts[event.code]();
  }
});
addEventListener("keyup", (event) => {
  if (held.release(event.code)) tellHeld();
});
for (const lost of ["blur", "pagehide"]) {
  addEventListener(lost, () => { if (held.releaseAll()) tellHeld(); });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden && held.releaseAll()) tellHeld();
});

for (const button of $("pads").querySelectorAll("button")) {
  const number = Number(button.dataset.button);
  const up = (event) => {
    button.classList.remove("on");
    if (held.release(`finger${event.pointerId}`)) tellHeld();
  };
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    button.classList.add("on");
    if (held.press(`finger${event.pointerId}`, number)) tellHeld(event.timeStamp);
  });
  button.addEventListener("pointerup", up);
  button.addEventListener("pointercancel", up);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  // A press by keyboard or screen reader is no pointer: a short one.
  button.addEventListener("click", (event) => {
    if (event.detail !== 0) return;
    if (held.press("click", number)) tellHeld();
    if (held.release("click")) tellHeld();
  });
}

function readPads() {
  for (const pad of navigator.getGamepads ? navigator.getGamepads() : []) {
    if (!pad) continue;
    const name = `pad${pad.index}`;
    const button = buttonOfPad(pad);
    if (held.down.get(name) === button) continue;
    if (button === NONE ? held.release(name) : held.press(name, button)) tellHeld();
  }
  if (pads) requestAnimationFrame(readPads);
}
let pads = 0;
addEventListener("gamepadconnected", () => { if (pads++ === 0) readPads(); });
addEventListener("gamepaddisconnected", (event) => {
  pads = Math.max(0, pads - 1);
  if (held.release(`pad${event.gamepad.index}`)) tellHeld();
});

function who(name) {
  say({ t: "who", who: name, goal: Number($("goal").value) });
}

function save(name) {
  if (step) say({ t: "save", moment: step.moment, name: name || `step ${step.steps}` });
}

const clicks = {
  back1: () => say({ t: "rewind", steps: 1 }),
  back10: () => say({ t: "rewind", steps: 10 }),
  save: () => save(""),
  luck: () => say({ t: "luck" }),
  redo: () => say({ t: "redo" }),
  mine: () => who("person"),
  follow: () => say({ t: "sync", side: "dream" }),
  enter: () => say({ t: "sync", side: "game" }),
  begin: () => say({ t: "begin", state: $("start").value, seed: Number($("seed").value) >>> 0 }),
  log: () => askLink("log"),
  link: () => askLink("link"),
  mp4: () => clip("mp4"),
  gif: () => clip("gif"),
  theme: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
$("who").addEventListener("change", () => who($("who").value));
$("goal").addEventListener("change", () => who(state.who === "person" ? "policy" : state.who));
$("speed").addEventListener("change", () => say({ t: "speed", speed: Number($("speed").value) }));
$("likely").addEventListener("change", () => say({ t: "likely", on: $("likely").checked }));
$("beside").addEventListener("change", () => say({ t: "beside", on: $("beside").checked }));
$("light").addEventListener("change", () => {
  screens.lights = $("light").checked;
  screens.ask();
});
$("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  save($("name").value);
  $("name").value = "";
});

// Links, logs and clips.

function askLink(why) {
  wanted = why || wanted;
  sinceLink = 0;
  say({ t: "link" });
}

function showLink(message) {
  sessionStorage.setItem("link", message.link);
  const why = wanted;
  wanted = "";
  if (why === "log") download(new Blob([message.log], { type: "application/json" }), "dream.json");
  if (why !== "link") return;
  const address = `${location.origin}/#play=${message.link}`;
  $("link-label").hidden = false;
  $("link-text").value = address;
  $("link-text").select();
  if (navigator.clipboard) {
    navigator.clipboard.writeText(address).then(() => note("The link is copied.", false), () => {});
  }
}

function download(blob, name) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
}

async function clip(kind) {
  note("The clip is being made.", false);
  const session = sessionStorage.getItem("session") || "";
  const answer = await fetch(`/clip.${kind}`, { headers: { "X-Session": session } });
  if (!answer.ok) {
    note(answer.status === 429 ? "Wait a moment for the next clip." : "No clip could be made.", true);
    return;
  }
  const blob = await answer.blob();
  download(blob, `dream.${blob.type.split("/")[1]}`);
  note("", false);
}

// Sizes and colours.

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  way.draw();
}

function fit() {
  const high = Math.max(288, innerHeight - 230);
  screens.dream.fit($("dream-box").clientWidth, high);
  screens.real.fit(Math.min(480, $("real-box").clientWidth), high);
  way.draw();
}

const dark = matchMedia("(prefers-color-scheme: dark)").matches;
setTheme(localStorage.getItem("theme") || (dark ? "dark" : "light"));
addEventListener("resize", fit);
addEventListener("hashchange", () => {
  const given = new URLSearchParams(location.hash.slice(1)).get("play");
  if (given) say({ t: "play", link: given });
});
fit();
connection.open();
