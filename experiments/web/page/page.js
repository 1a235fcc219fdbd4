// The page: buttons, time, what is shown. The dream itself is in dream.js.
(function (own) {
  "use strict";

  const STEP_MS = 402; // of a step in the game, for held buttons
  const MOST = 10000; // moments that one can go back to
  const KEPT = 200; // saved moments
  const TOLD_MS = 600; // between what a screen reader is told
  const find = (id) => document.getElementById(id);
  const held = new Held();

  let dream, mapView;
  let names = { maps: {}, species: {}, model: "" };
  let path = []; // moments from the start to the last step
  let here = 0; // which of them is shown
  let luck = 0;
  let timer = 0;
  let toldAt = 0;
  let telling = 0;

  function moment(state, steps) {
    return { state, steps, tiles: Uint16Array.from(dream.tiles(state)) };
  }

  function begin(first) {
    path = [first];
    here = 0;
    show();
  }

  function press(button) {
    const began = performance.now();
    const now = path[here];
    const chance = find("likely").checked ? null : own.chance(luck, now.steps);
    path.length = here + 1; // what came after is given up
    path.push(moment(dream.step(now.state, button, chance), now.steps + 1));
    if (path.length > MOST) path.shift();
    here = path.length - 1;
    show();
    find("speed").textContent = `The last step took ${(performance.now() - began).toFixed(1)} ms.`;
  }

  function go(index) {
    here = Math.max(0, Math.min(path.length - 1, index));
    show();
  }

  // What is shown.

  function show() {
    const { state, steps, tiles } = path[here];
    own.paintShades(find("dream"), dream.atlas.shades(tiles), 160);
    find("when").max = path.length - 1;
    find("when").value = here;
    find("when").setAttribute("aria-valuetext", `step ${steps}`);
    find("step").textContent = steps;
    find("back1").disabled = find("back10").disabled = here === 0;
    const facts = believed(state);
    showFacts(facts);
    mapView?.show(...dream.config.place.map((at) => state.tokens[at]));
    const words = facts.filter(([name]) => ["Place", "HP", "Battle", "Text"].includes(name));
    tell(words.map(([name, text]) => (name === "Place" ? text : `${name} ${text}`)).join(", "));
  }

  // Not at every step: a reader would never come to an end.
  function tell(words) {
    clearTimeout(telling);
    telling = setTimeout(() => {
      toldAt = performance.now();
      if (find("status").textContent !== words) find("status").textContent = words;
    }, Math.max(0, TOLD_MS - (performance.now() - toldAt)));
    find("dream").setAttribute("aria-label", `The dream: ${words}`);
  }

  function believed(state) {
    const value = {};
    dream.config.tokens.forEach(({ name }, i) => { value[name] = state.tokens[i]; });
    const first = (...list) => value[list.find((name) => name in value)];
    const outOf = (now, most) => (most === undefined ? now : `${now} of ${most}`);
    const battle = ["none", "wild", "trainer", "lost"][value.battle ?? 0];
    const facts = [
      ["Place", `${names.maps[value.map] ?? `map ${value.map}`} ${value.x}, ${value.y}`],
      ["HP", outOf(first("active_hp", "hp"), first("active_max_hp", "max_hp"))],
      ["Level", value.level],
      ["Badges", value.badges],
      ["Party", value.party_size],
      ["Species", value.dex_owned],
      ["Battle", battle],
      ["Text", value.dialog === undefined ? undefined : value.dialog ? "open" : "none"],
    ];
    if (value.battle === 1 || value.battle === 2) {
      const who = names.species[value.enemy_species] ?? `species ${value.enemy_species}`;
      const level = value.enemy_level === undefined ? "" : ` level ${value.enemy_level},`;
      const hp = value.enemy_hp === undefined ? "" : ` ${outOf(value.enemy_hp, value.enemy_max_hp)} HP`;
      facts.push(["Enemy", `${who}${level}${hp}`]);
    }
    return facts.filter(([, text]) => text !== undefined);
  }

  function showFacts(facts) {
    find("facts").replaceChildren(...facts.map(([name, text]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(head, cell);
      return row;
    }));
  }

  function thumbnail(one, label, onclick) {
    const button = document.createElement("button");
    button.type = "button";
    const picture = document.createElement("canvas");
    picture.setAttribute("aria-hidden", "true");
    own.paintShades(picture, dream.atlas.shades(one.tiles), 160);
    const text = document.createElement("span");
    text.textContent = label;
    button.append(picture, text);
    button.onclick = onclick;
    return button;
  }

  // Saved with the way there, so that one can also go back from it.
  function save() {
    const kept = { path: path.slice(0, here + 1), luck };
    const one = path[here];
    const strip = find("saved");
    strip.prepend(thumbnail(one, `step ${one.steps}`, () => {
      path = kept.path.slice();
      useLuck(kept.luck);
      go(path.length - 1);
      find("dream").focus();
    }));
    while (strip.children.length > KEPT) strip.lastChild.remove();
    tell(`Saved at step ${one.steps}`);
  }

  function useLuck(value) {
    luck = value >>> 0;
    find("seed").textContent = luck;
  }

  function newLuck() {
    useLuck(crypto.getRandomValues(new Uint32Array(1))[0]);
    find("likely").checked = false;
  }

  // Buttons: a press is a step at once, a held one a step every 402 ms.

  function changed() {
    clearTimeout(timer);
    for (const pad of document.querySelectorAll("[data-button]")) {
      pad.classList.toggle("held", Number(pad.dataset.button) === held.current);
    }
    if (held.current === NONE) return;
    const next = performance.now() + STEP_MS;
    press(held.current);
    repeat(next);
  }

  function repeat(due) {
    timer = setTimeout(() => {
      if (held.current === NONE) return;
      press(held.current);
      // After a pause (a tab in the background) steps are not made up for.
      repeat(Math.max(due + STEP_MS, performance.now()));
    }, Math.max(0, due - performance.now()));
  }

  const COMMANDS = { Backspace: () => go(here - 1), KeyF: save, KeyL: newLuck };

  // Whether a key means something to the control that has the focus.
  function belongsTo(target, code) {
    if (code === "Space" || code === "Enter") return target.matches("button, input, a");
    return code.startsWith("Arrow") && target.matches("input[type=range]");
  }

  function listen() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (belongsTo(event.target, event.code)) return;
      const command = COMMANDS[event.code];
      const button = buttonOfKey(event.code);
      if (!command && button === NONE) return;
      event.preventDefault();
      if (command) command();
      else if (!event.repeat && held.press(event.code, button)) changed();
    });
    document.addEventListener("keyup", (event) => {
      if (held.release(event.code)) changed();
    });
    for (const pad of document.querySelectorAll("[data-button]")) {
      const button = Number(pad.dataset.button);
      pad.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        pad.setPointerCapture(event.pointerId);
        if (held.press(`pointer ${event.pointerId}`, button)) changed();
      });
      for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
        pad.addEventListener(kind, (event) => {
          if (held.release(`pointer ${event.pointerId}`)) changed();
        });
      }
      // Enter or Space on it, or a screen reader: fingers and mice came above.
      pad.addEventListener("click", (event) => { if (event.detail === 0) press(button); });
      pad.addEventListener("contextmenu", (event) => event.preventDefault());
    }
    const leave = () => { if (held.releaseAll()) changed(); };
    addEventListener("blur", leave);
    document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); });
    addEventListener("gamepadconnected", () => requestAnimationFrame(readPads));
    addEventListener("resize", fit);
    find("back1").onclick = () => go(here - 1);
    find("back10").onclick = () => go(here - 10);
    find("when").oninput = () => go(Number(find("when").value));
    find("save").onclick = save;
    find("luck").onclick = newLuck;
    find("theme").onclick = () => theme(document.documentElement.dataset.theme !== "dark");
  }

  function readPads() {
    const pads = Array.from(navigator.getGamepads()).filter((pad) => pad);
    for (const pad of pads) {
      const who = `pad ${pad.index}`;
      const button = buttonOfPad(pad);
      if (button === NONE ? held.release(who) : held.down.get(who) !== button && held.press(who, button)) changed();
    }
    if (pads.length) requestAnimationFrame(readPads);
    else if (held.releaseAll()) changed();
  }

  function theme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    find("theme").textContent = dark ? "Light" : "Dark";
  }

  // The largest whole number of device pixels for each of the dream's.
  function fit() {
    const ratio = devicePixelRatio || 1;
    const box = find("dream").parentElement;
    const style = getComputedStyle(box);
    const wide = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const high = Math.max(288, innerHeight - 320);
    const scale = Math.max(1, Math.floor(Math.min((wide * ratio) / 160, (high * ratio) / 144)));
    find("dream").style.width = `${(160 * scale) / ratio}px`;
    find("dream").style.height = `${(144 * scale) / ratio}px`;
  }

  async function main() {
    theme(matchMedia("(prefers-color-scheme: dark)").matches);
    fit();
    if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack the weights, a newer one can");
    if (!globalThis.pokeDreamerModel || !globalThis.pokeDreamerStarts) throw new Error("model.js or starts.js is missing or damaged");
    dream = await own.open(pokeDreamerModel);
    delete globalThis.pokeDreamerModel; // its text is as large again
    names = pokeDreamerStarts;
    find("model").textContent = names.model;
    const firsts = names.starts.map(own.readStart);
    listen();
    // The title screen comes first; the second one can be walked in.
    begin(moment((firsts[1] ?? firsts[0]).state, 0));
    find("dream").focus({ preventScroll: true });
    document.documentElement.dataset.ready = `${Math.round(performance.now())}`;
    await new Promise((done) => setTimeout(done)); // the frame is seen first
    mapView = new own.MapView(find("map"), dream.atlas);
    show();
    for (const first of firsts) {
      await new Promise((done) => setTimeout(done)); // keys come in between
      addStart(first);
    }
    document.documentElement.dataset.whole = "true";
  }

  function addStart({ name, state }) {
    const one = moment(state, 0);
    find("starts").append(thumbnail(one, name, () => {
      begin(one);
      find("dream").focus();
    }));
  }

  main().catch((error) => {
    find("status").textContent = "";
    find("note").textContent = `The dream cannot begin: ${error.message}`;
    find("note").hidden = false;
  });
})((globalThis.PokeDreamer ??= {}));
